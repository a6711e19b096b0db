"""Request ids: which a proxy may give, and new ones.

A new id is a UUID of version 7 (RFC 9562 5.7), as text: ids sort by the time at which they were made.
"""

import os
import sys
import time

MAX_CHARACTERS = 128  # as long as an id may be that others give


def is_request_id(text: str) -> bool:
    """Whether this can be an id: 1 to 128 visible ASCII characters."""
    return 0 < len(text) <= MAX_CHARACTERS and text.isascii() and text.isprintable() and " " not in text


if sys.version_info >= (3, 14):
    from uuid import uuid7

    def new_request_id() -> str:
        """Return an id that nothing else has."""
        return str(uuid7())

else:

    def new_request_id() -> str:
        """Return an id that nothing else has."""
        # 48 bits of milliseconds, 4 of the version, 12 random, 2 of the variant, 62 random
        milliseconds = time.time_ns() // 1_000_000
        value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
        digits = f"{value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
