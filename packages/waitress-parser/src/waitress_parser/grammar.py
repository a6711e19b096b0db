"""The bytes and tokens that every part of a request is made of. Constants and predicates only.

RFC 9110 section 5.6 defines token, quoted-string and the whitespace around them; RFC 9112 section 2.2 defines the end
of a line. Each pattern is under its ABNF rule. None can backtrack over more than it has just read, so the time of a
match is linear in the input (in CVE-2020-5236 it was not).
"""

import re
from typing import Final

CRLF: Final = b"\r\n"
HEAD_END: Final = b"\r\n\r\n"
CR: Final = 0x0D

# RFC 8446 section 5.1: how a TLS connection starts: type handshake, legacy version 3.x.
TLS_HANDSHAKE: Final = 0x16
TLS_MAJOR_VERSION: Final = 0x03

# OWS = *( SP / HTAB ). Only these two are ever stripped: str.strip() without an argument would also strip VT, FF, NEL
# and NBSP, and so turn `Transfer-Encoding:\x0bchunked` into a field that a proxy has not seen (CVE-2019-16789).
OWS: Final = " \t"

# A line may have HTAB, SP, VCHAR and obs-text. A block of lines without these bytes is only its CRLFs.
ALLOWED_IN_LINES: Final = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))

# The same, as a table for bytes.translate: each byte that no line may have becomes NUL.
_FORBIDDEN = bytes(range(0x100)).translate(None, ALLOWED_IN_LINES)
FORBIDDEN_TO_NUL: Final = bytes.maketrans(_FORBIDDEN, bytes(len(_FORBIDDEN)))

# Of a value that is taken apart here: Host, Connection, Expect, Transfer-Encoding; all lines of a field together. They
# have less than a hundred. RFC 9110 section 5.6.1.2: accept a reasonable number of empty members of a list, but not so
# many that they deny the service; 250 kB of commas took 20 ms.
MAX_EXAMINED_CHARACTERS: Final = 1024

# Sixteen digits are 64 bits. More would be padding, or an attempt to overflow a proxy in front of the server.
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
    """Return whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def is_digits(text: str) -> bool:
    """Return whether `text` is 1*DIGIT in ASCII; str.isdigit alone would accept superscripts such as `\\xb2`."""
    return text.isascii() and text.isdigit()
