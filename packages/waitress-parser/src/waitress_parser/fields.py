"""Field lines: names and values of a header or trailer section (RFC 9112 section 5, RFC 9110 section 5).

    field-line = field-name ":" OWS field-value OWS      the name is a token, directly followed by the colon
    obs-fold   = OWS CRLF 1*( SP / HTAB )                a continuation line; each becomes one SP

Two ways with one result. The quick one, `read_known_fields`, takes a section with known names only, in a short loop
that calls only C. A continuation line, a bad name or a missing colon is no known name; a repeated name makes the dict
shorter than the list. Any of these sends the section to the careful one, `parse_fields`, which goes line by line and
knows what to refuse.

Rules: lines.py or head.py has checked the bytes of the lines, so only the whitespace at the ends of a value is left to
strip. The name cache is bounded and never evicts; otherwise one client could flush it with made-up names. A name with
an underscore is a name like any other; it is never merged with the name that has a hyphen instead.
"""

from .errors import DuplicateField, FoldedField, FoldWithoutField, InvalidFieldLine
from .grammar import OWS, is_token

# fmt: off
_COMMON_NAMES = (
    "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Access-Control-Request-Headers",
    "Access-Control-Request-Method", "Authorization", "Baggage", "Cache-Control", "CF-Connecting-IP", "CF-IPCountry",
    "CF-Ray", "CF-Visitor", "Connection", "Content-Disposition", "Content-Encoding", "Content-Language",
    "Content-Length", "Content-Type", "Cookie", "Date", "DNT", "Expect", "Forwarded", "From", "Host", "HTTP2-Settings",
    "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Max-Forwards",
    "Origin", "Pragma", "Prefer", "Priority", "Proxy-Connection", "Range", "Referer", "Sec-CH-UA", "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-GPC", "TE",
    "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent",
    "Via", "X-Amzn-Trace-Id", "X-CSRF-Token", "X-CSRFToken", "X-Forwarded-By", "X-Forwarded-For", "X-Forwarded-Host",
    "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "X-Request-ID", "X-Requested-With",
)
# fmt: on

MAX_REMEMBERED_NAMES = 1024
MAX_REMEMBERED_NAME_CHARACTERS = 64

# Name as sent, with its colon -> lower-case name. Only valid names get in, so a hit needs no check.
_known_names = {f"{name}:": name.lower() for known in _COMMON_NAMES for name in (known, known.lower())}

# What becomes of a field that is no list if it comes in several lines: the separator that joins the values, or None for
# DuplicateField. Any other field is a list or unknown, and is joined by ", " (RFC 9110 section 5.3).
# docs/reference/http.md shows it. Transfer-Encoding is a list; framing.py refuses all lists but one.
IF_REPEATED: dict[str, str | None] = {
    # These frame, route or authorise, and a proxy in front may have used the other line. Equal ones are refused too:
    # RFC 9112 section 6.3 step 5, RFC 9110 sections 7.2, 8.3 and 11.6.2.
    **dict.fromkeys(("authorization", "content-length", "content-type", "host", "proxy-authorization")),
    # RFC 9113 section 8.2.3: HTTP/2 clients send a line for each cookie, and not every proxy joins them for HTTP/1.1.
    "cookie": "; ",
    # No value of such a field is a list, so the joined one is invalid and the application can see that. Some of them it
    # must ignore then (RFC 9110 sections 13.1.3, 13.1.4, 14.2); and waitress has always joined them.
    **dict.fromkeys(
        (
            "access-control-request-method", "content-disposition", "content-location", "content-range", "date",
            "early-data", "from", "http2-settings", "if-modified-since", "if-range", "if-unmodified-since",
            "max-forwards", "origin", "range", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
            "sec-fetch-user", "sec-websocket-key", "traceparent", "upgrade-insecure-requests", "user-agent",
        ),
        ", ",
    ),
}  # fmt: skip
_REFUSED = frozenset(name for name, separator in IF_REPEATED.items() if separator is None)
_SEPARATORS = [(name, separator) for name, separator in IF_REPEATED.items() if separator not in (None, ", ")]

# RFC 9112 section 5.2 lets a server refuse any fold. In other fields waitress has always read it. In these fields a
# proxy that reads the lines as two fields would frame, route or authorise another request (CVE-2019-16786).
_NEVER_FOLDED = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "expect",
        "authorization",
        "forwarded",
    }
)

# RFC 9110 section 6.5.1: fields that are needed before the content, for framing, routing, authentication, request
# modifiers or content processing, have no meaning in a trailer section.
# fmt: off
_NEVER_TRAILERS = frozenset((
    "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "cookie2", "expect", "forwarded", "host", "http2-settings", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "proxy-connection", "range", "set-cookie", "te", "trailer",
    "transfer-encoding", "upgrade", "via", "www-authenticate",
))
# fmt: on


def read_known_fields(lines: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]] | None:
    """Return the same as `parse_fields`, or None if anything in the section is unusual."""
    fields: list[tuple[str, str]] = []
    values: dict[str, str] = {}
    try:
        for line in lines:
            name, _, value = line.partition(" ")  # nearly every line is `Name: value`: the name still has its colon
            name = _known_names[name]
            value = value.strip(" \t")  # OWS; a literal is quicker
            fields.append((name, value))
            values[name] = value
    except KeyError:
        return None
    return (fields, values) if len(values) == len(fields) else None


def parse_fields(lines: list[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the fields of a header section: `[(lower-case name, value)]` in wire order, and `{name: value}`.

    The dict has the values of a repeated field joined, as IF_REPEATED says. Source: RFC 9112 section 5. Raises
    InvalidFieldLine, FoldWithoutField, FoldedField or DuplicateField (400), for the first line that is wrong.
    """
    fields: list[tuple[str, str]] = []
    grouped: dict[str, list[str]] = {}
    for name_as_sent, name, value in _read_lines(lines):
        fields.append((name, value))
        group = grouped.setdefault(name, [])
        if group and name in _REFUSED:
            raise DuplicateField(name_as_sent)
        group.append(value)
    # One join: adding part by part would copy the value again for each of them.
    values = {name: ", ".join(group) for name, group in grouped.items()}
    for name, separator in _SEPARATORS:
        if name in values:
            values[name] = separator.join(grouped[name])
    return fields, values


def parse_trailers(lines: list[str]) -> list[tuple[str, str]]:
    """Return `[(lower-case name, value)]` of a trailer section in wire order, without those that have no meaning there.

    Source: RFC 9112 section 7.1.2. Raises the errors of `parse_fields`, except DuplicateField.
    """
    return [
        (name, value)
        for _, name, value in _read_lines(lines)
        # X-Forwarded-* routes too. With an underscore a name could pose as the one with a hyphen later.
        if (plain := name.replace("_", "-")) not in _NEVER_TRAILERS and not plain.startswith("x-forwarded-")
    ]


def _read_lines(lines: list[str]) -> list[tuple[str, str, str]]:
    """Return (name as sent, lower-case name, value) of every field, continuation lines joined."""
    read: list[tuple[str, str, str]] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith((" ", "\t")):
            raise FoldWithoutField(line)
        name_as_sent, colon, value = line.partition(":")
        try:
            name = _known_names[name_as_sent + colon]
        except KeyError:
            name = _learn(name_as_sent)
        if not colon or not name:
            raise InvalidFieldLine
        parts = [value.strip(OWS)]
        while position < len(lines) and lines[position].startswith((" ", "\t")):
            if name in _NEVER_FOLDED or name.startswith("x-forwarded-"):
                raise FoldedField(name_as_sent)
            parts.append(lines[position].strip(OWS))  # OWS before a fold belongs to it
            position += 1
        read.append((name_as_sent, name, " ".join(parts).strip(OWS)))
    return read


def _learn(name_as_sent: str) -> str:
    """Return the lower-case name, or "" if it is not a token; add it to the cache while there is room."""
    if not is_token(name_as_sent):
        return ""
    name = name_as_sent.lower()
    # Threads that add at the same time may exceed the bound by their number, which is harmless.
    if len(_known_names) < MAX_REMEMBERED_NAMES and len(name) <= MAX_REMEMBERED_NAME_CHARACTERS:
        _known_names[name_as_sent + ":"] = name
    return name
