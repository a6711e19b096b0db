"""Numbers of the errors that systems have for sockets, by name.

Windows has its own number for many, which Python names with WSA before it.
"""

import errno


def error_numbers(*names: str) -> frozenset[int]:
    """Return the numbers of these errors and of their twins on Windows; a system need not have all of them."""
    return frozenset(
        number
        for name in names
        for number in (getattr(errno, name, None), getattr(errno, f"WSA{name}", None))
        if number is not None
    )
