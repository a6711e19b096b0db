"""The format of the access log: the fields of a line, and how each value is escaped.

A format is `combined` (the combined format of Apache and nginx), `json`, or a text with fields in braces:
`{remote_addr} {method} {target} {status}`. It is read once, together with the settings.

Guarantees
- A line is printable ASCII without a line break, whatever a client, a proxy or an application sends.
- A value has a quotation mark or a backslash only as an escape, and only `referer`, `user_agent` and `client_dn`, which
  are meant to be quoted, have blanks. So no value can end its own field and pose as the next one.
- From a line of `json` every value can be read back unchanged, as far as it was kept.
- A line has a bounded length: of each value at most MAX_VALUE_CHARACTERS are kept, before it is escaped.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from string import Formatter
from typing import Any, NamedTuple

from ..http.dates import MONTHS

COMBINED = '{remote_addr} - {remote_user} [{time}] "{request}" {status} {bytes} "{referer}" "{user_agent}"'
# As long as a line of nginx's error log. Doubled: lines of 64 KiB of nothing but escapes.
MAX_VALUE_CHARACTERS = 4096
UNKNOWN = "-"  # in a text; null in JSON

_NOT_IN_TEXT = re.compile(r'[^ -~]|["\\]')
_NOT_IN_WORD = re.compile(r'[^!-~]|["\\]')


class Access(NamedTuple):
    """What is known about one request; None is unknown, for example the target of a request that could not be read."""

    remote_addr: str
    remote_user: str | None
    time: float  # when it was complete: wall clock, seconds since the epoch
    method: str | None
    target: str | None
    version: str | None  # "1.1"
    status: int | None  # None if no response was started
    bytes: int  # of the body, chunk framing included, given to the system
    duration: float  # seconds from the end of the request to the last byte of the response
    queue_time: float  # seconds from the end of the request to the call of the application
    referer: str | None
    user_agent: str | None
    request_id: str | None = None  # with the setting request_id_header
    trace_id: str | None = None  # of the field traceparent
    tls_version: str | None = None  # "TLSv1.3"
    tls_cipher: str | None = None
    client_dn: str | None = None  # of the client's certificate


Format = Callable[[Access], str]


def make_format(text: str) -> Format:
    """Return the function that writes a line in this format.

    Raises:
        ValueError: names the part that is not a field.
    """
    if text == "json":
        return _make_json()
    return _make_text(COMBINED if text == "combined" else text)


def format_fault(text: str) -> str | None:
    """Return what is accepted in place of an invalid format, None for a valid one: a check of the settings."""
    try:
        make_format(text)
    except ValueError as error:
        return (
            f"combined, json, or a text of one line with the fields {' '.join(map('{{{}}}'.format, FIELDS))}; {error}"
        )
    return None


# --- text


def _text(value: str | None) -> str:
    """Escape a value that is quoted."""
    return _NOT_IN_TEXT.sub(_escape, value) if value else UNKNOWN


def _word(value: str | None) -> str:
    """Escape a value that ends at a blank."""
    return _NOT_IN_WORD.sub(_escape, value) if value else UNKNOWN


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _request(access: Access) -> str:
    if access.method and access.target and access.version:
        return f"{_word(access.method)} {_word(access.target)} HTTP/{_word(access.version)}"
    return UNKNOWN


@lru_cache(maxsize=8)  # consecutive lines mostly have the same second
def _clf_time(seconds: int) -> str:
    """Return `25/Nov/2026:09:30:00 +0100`."""
    there = time.localtime(seconds)
    day = f"{there.tm_mday:02}/{MONTHS[there.tm_mon - 1]}/{there.tm_year}"
    hours, minutes = divmod(abs(there.tm_gmtoff) // 60, 60)
    zone = f"{'-' if there.tm_gmtoff < 0 else '+'}{hours:02}{minutes:02}"
    return f"{day}:{there.tm_hour:02}:{there.tm_min:02}:{there.tm_sec:02} {zone}"


FIELDS: dict[str, Format] = {
    "remote_addr": lambda access: _word(access.remote_addr),
    "remote_user": lambda access: _word(access.remote_user),
    "time": lambda access: _clf_time(int(access.time)),
    "request": _request,
    "method": lambda access: _word(access.method),
    "target": lambda access: _word(access.target),
    "version": lambda access: _word(access.version),
    "status": lambda access: UNKNOWN if access.status is None else str(access.status),
    "bytes": lambda access: str(access.bytes),
    "duration": lambda access: f"{access.duration:.6f}",
    "queue_time": lambda access: f"{access.queue_time:.6f}",
    "referer": lambda access: _text(access.referer),
    "user_agent": lambda access: _text(access.user_agent),
    "request_id": lambda access: _word(access.request_id),
    "trace_id": lambda access: _word(access.trace_id),
    "tls_version": lambda access: _word(access.tls_version),
    "tls_cipher": lambda access: _word(access.tls_cipher),
    "client_dn": lambda access: _text(access.client_dn),
}


def _make_text(text: str) -> Format:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it has a line break or another character that is not printable ASCII")
    parts: list[tuple[str, Format]] = []
    end = ""
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is None:
            end += literal
        elif name not in FIELDS or spec or conversion:
            raise ValueError(
                f"{{{name}{'!' * bool(conversion)}{conversion or ''}{':' * bool(spec)}{spec}}} is not a field"
            )
        else:
            parts.append((end + literal, FIELDS[name]))
            end = ""
    if not parts:
        raise ValueError("it has no field")

    def write(access: Access) -> str:
        return "".join([literal + value(access) for literal, value in parts]) + end

    return write


# --- JSON


def _make_json() -> Format:
    # lazy import: few servers need them, and they take time to import
    import json
    from datetime import datetime, timezone

    encode = json.JSONEncoder(separators=(",", ":")).encode  # ASCII: everything else is escaped

    def write(access: Access) -> str:
        values: dict[str, Any] = access._asdict()
        values["time"] = datetime.fromtimestamp(access.time, timezone.utc).isoformat(timespec="milliseconds")
        for name in ("duration", "queue_time"):
            values[name] = round(values[name], 6)
        return encode(values)

    return write
