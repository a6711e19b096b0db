"""Host and authority: `uri-host [ ":" port ]`, nothing more (RFC 9110 section 7.2, RFC 3986 section 3.2).

    uri-host  = IP-literal / IPv4address / reg-name
    reg-name  = *( unreserved / pct-encoded / sub-delims )           an IPv4address is one too
    port      = *DIGIT

Choices where the RFCs leave one:

- An empty host is refused: a URI of scheme http or https without a host is invalid (RFC 9110 section 4.2.1).
- A comma is refused, though sub-delims has it: two Host fields that a proxy has joined look like this.
- `host:` with an empty port is accepted, as in the grammar; a port has at most five digits and is at most 65535.
- Text longer than MAX_EXAMINED_CHARACTERS is refused: a name in the DNS has at most 253.
- Userinfo is refused (RFC 9110 section 4.2.4), and so are IPvFuture and IPv6 zone identifiers, which name nothing here.

Pure, except for a bounded cache of valid values, because a server sees the same few all the time. The cache never
evicts: a client that fills it with made-up names costs the others one match of a regex, and no more.
"""

import re

from .grammar import MAX_EXAMINED_CHARACTERS

_PORT = r"(?::(?P<port>[0-9]{0,5}))?"

# unreserved / pct-encoded / sub-delims without ",", at least one. Unrolled: no character can be matched in two ways.
_PLAIN = r"[A-Za-z0-9\-._~!$&'()*+;=]*"
_NAME = re.compile(rf"(?=[^:]){_PLAIN}(?:%[0-9A-Fa-f]{{2}}{_PLAIN})*{_PORT}")

# Text, which `re` compiles for the first client that names a server by its address, and keeps.
# IP-literal = "[" IPv6address "]"
_LITERAL = rf"\[(?P<address>[0-9A-Fa-f:.]{{2,45}})\]{_PORT}"
_DIGITS_16_BITS = r"[0-9A-Fa-f]{1,4}"
_DECIMAL_8_BITS = r"25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]"

MAX_REMEMBERED = 256
MAX_REMEMBERED_CHARACTERS = 255
_known_valid: set[str] = set()


def is_authority(text: str) -> bool:
    """Return whether `text` is a non-empty uri-host with an optional port."""
    if text in _known_valid:
        return True
    if len(text) > MAX_EXAMINED_CHARACTERS:
        return False
    match = re.fullmatch(_LITERAL, text) if text.startswith("[") else _NAME.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    if text.startswith("[") and not is_ipv6_address(match["address"]):
        return False
    # Threads that add at the same time may exceed the bound by their number, which is harmless.
    if len(_known_valid) < MAX_REMEMBERED and len(text) <= MAX_REMEMBERED_CHARACTERS:
        _known_valid.add(text)
    return True


def is_ipv6_address(text: str) -> bool:
    """Return whether `text` is an IPv6address: eight groups of 16 bits, one run of zeros as `::`.

    The last two groups may be written as an IPv4 address. Source: RFC 3986 section 3.2.2. The ipaddress module takes
    2 ms to import, and accepts zone identifiers.
    """
    head, gap, tail = text.partition("::")
    groups = head.split(":") if head else []
    if gap:
        groups += tail.split(":") if tail else []
    if groups and "." in groups[-1] and not (gap and not tail):
        if not is_ipv4_address(groups.pop()):
            return False
        groups += ["0", "0"]
    if not all(re.fullmatch(_DIGITS_16_BITS, group) for group in groups):
        return False
    # In RFC 3986 "::" may replace a single group too; RFC 5952 only advises against it.
    return len(groups) <= 7 if gap else len(groups) == 8


def is_ipv4_address(text: str) -> bool:
    """Return whether `text` is an IPv4address: four decimal numbers up to 255, without leading zeros.

    Source: RFC 3986 section 3.2.2.
    """
    numbers = text.split(".")
    return len(numbers) == 4 and all(re.fullmatch(_DECIMAL_8_BITS, number) for number in numbers)
