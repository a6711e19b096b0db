"""The octets and tokens that every part of a request is made of. Constants and predicates only.

RFC 9110 section 5.6 defines token, quoted-string and the whitespace around them; RFC 9112 section 2.2 says which octets
end a line. Each pattern stands under the ABNF rule that it spells. None of them can backtrack over more than it has
just read: the time of a match grows linearly with the input (CVE-2020-5236 was one that did not).
"""

from __future__ import annotations

import re
from typing import Final

CRLF: Final = b"\r\n"
HEAD_END: Final = b"\r\n\r\n"
CR: Final = 0x0D

# OWS = *( SP / HTAB ). Only these two are ever stripped: str.strip() without an argument would also take VT, FF, NEL
# and NBSP, and so turn `Transfer-Encoding:\x0bchunked` into a field that others have not seen (CVE-2019-16789).
OWS: Final = " \t"

# What a line may have: HTAB, SP, VCHAR and obs-text. Deleting these octets from a block of lines must leave its CRLFs.
LINE_OCTETS: Final = bytes(octet for octet in range(256) if octet == 0x09 or 0x20 <= octet <= 0x7E or octet >= 0x80)

# Sixteen digits are 64 bits. More would be padding, or meant to overflow a recipient that we stand behind.
MAX_CHUNK_SIZE_DIGITS: Final = 16

# tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
TCHAR: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

# token = 1*tchar
_TOKEN = re.compile(TCHAR + "+")

# qdtext = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text ; quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )
# quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
_QDTEXT = r"[\t \x21\x23-\x5B\x5D-\x7E\x80-\xFF]*"
QUOTED_STRING: Final = rf'"{_QDTEXT}(?:\\[\t \x21-\x7E\x80-\xFF]{_QDTEXT})*"'


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def is_digits(text: str) -> bool:
    """Whether `text` is 1*DIGIT in ASCII; str.isdigit alone would accept superscripts such as `\\xb2`."""
    return text.isascii() and text.isdigit()
