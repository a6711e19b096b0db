"""Errors as responses, HTTP dates and loggers, by the names of waitress 3.0.

For programs that raise or catch its errors, take `logger` or `queue_logger` to set levels, or format dates with it.
"""

import logging
import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from waitress_core.http.dates import imf_fixdate
from waitress_core.http.error_responses import ERROR_CONTENT_TYPE, error_body
from waitress_parser import ProtocolError

from ._modules import old_module
from .rfc7230 import QUOTED_PAIR_RE, QUOTED_STRING_RE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = [
    "BadRequest",
    "Error",
    "InternalServerError",
    "RequestEntityTooLarge",
    "RequestHeaderFieldsTooLarge",
    "ServerNotImplemented",
    "build_http_date",
    "cleanup_unix_socket",
    "find_double_newline",
    "logger",
    "parse_http_date",
    "queue_logger",
    "undquote",
]

logger = logging.getLogger("waitress")
queue_logger = logging.getLogger("waitress.queue")


class Error:
    """An error response; `body` says what was wrong with the request. A value, not an exception."""

    code = 500
    reason = "Internal Server Error"

    def __init__(self, body: str) -> None:
        self.body = body

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return the status, the headers and the body of the response; `ident` is the name of the server."""
        headers = [("Content-Type", ERROR_CONTENT_TYPE)]
        return f"{self.code} {self.reason}", headers, error_body(self.reason, self.body, ident)

    def wsgi_response(self, environ: Any, start_response: "StartResponse") -> Iterator[bytes]:
        """Answer as a WSGI application."""
        status, headers, body = self.to_response()
        start_response(status, headers)
        yield body


class BadRequest(Error):
    """The request breaks a rule of HTTP."""

    code = 400
    reason = "Bad Request"


class RequestHeaderFieldsTooLarge(BadRequest):
    """The head of the request is larger than `max_request_header_size`."""

    code = 431
    reason = "Request Header Fields Too Large"


class RequestEntityTooLarge(BadRequest):
    """The body of the request is larger than `max_request_body_size`."""

    code = 413
    reason = "Request Entity Too Large"


class InternalServerError(Error):
    """The application has failed."""


class ServerNotImplemented(Error):
    """The request asks for something that the server does not implement."""

    code = 501
    reason = "Not Implemented"


_BY_CODE: dict[int, type[Error]] = {
    kind.code: kind for kind in (BadRequest, RequestHeaderFieldsTooLarge, RequestEntityTooLarge, ServerNotImplemented)
}


def error_of(error: ProtocolError) -> Error:
    """Return the old error for one of the parser; a BadRequest with its own code where waitress 3.0 had no class."""
    refused = _BY_CODE.get(error.status, BadRequest)(error.detail)
    refused.code, refused.reason = error.status, error.reason
    return refused


def error_with(status: str, detail: str) -> Error:
    """Return the old error for a status, code and reason, that the server answers with itself."""
    code, _, reason = status.partition(" ")
    error = InternalServerError(detail) if code == "500" else _BY_CODE.get(int(code), BadRequest)(detail)
    error.code, error.reason = int(code), reason
    return error


def find_double_newline(s: bytes) -> int:
    """Return the index after the first empty line, which ends a head; -1 without one."""
    end = s.find(b"\r\n\r\n")
    return -1 if end < 0 else end + 4


def build_http_date(when: float) -> str:
    """Return an instant, in seconds since the epoch, as the value of a Date header."""
    return imf_fixdate(when)


def parse_http_date(d: str) -> int:
    """Return the seconds since the epoch of a date as HTTP writes it, or used to; 0 for anything else."""
    # Imported here: they take longer to import than the rest, and few programs parse dates.
    import calendar
    import email.utils

    parsed = email.utils.parsedate(d)
    return 0 if parsed is None else calendar.timegm(parsed)


def undquote(value: str) -> str:
    """Return the content of a quoted-string (RFC 9110 5.6.4), or a value without quotes as it is.

    Raises:
        ValueError: quotes that do not match.
    """
    if not value.startswith('"') and not value.endswith('"'):
        return value
    if not QUOTED_STRING_RE.fullmatch(value):
        raise ValueError("Invalid quoting in value")
    return re.sub(QUOTED_PAIR_RE, r"\1", value[1:-1])


def cleanup_unix_socket(path: str) -> None:
    """Remove a unix socket that an earlier server has left; any other file stays.

    Raises:
        OSError: the path cannot be read or removed.
    """
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if is_socket:
        os.remove(path)


old_module(
    __name__,
    "calendar concat daymap errno group hms_reg join long_day_reg long_days monmap monthname months "
    "months_reg rfc822_date rfc822_reg rfc850_date rfc850_reg short_day_reg short_days time unpack_rfc822 "
    "unpack_rfc850 weekdayname",
)
