"""No byte of a request gets into the log but as printable ASCII: no forged line, nothing a terminal would act on.

What an application says in its own exceptions is the application's: its traceback is logged as it is.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, get, post
from tests.support.processes import becomes_true
from tests.support.servers import Running, running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Everything that a log line, a terminal or a log viewer could be made to misread. CR, LF, NUL and ESC must not even get
# past the parser; percent-encoded they may, and an application sees them decoded.
EVIL = "%0d%0aERROR%20forged%1b[31m%00%9b%e2%80%a8"
EVIL_IN_A_LINE = "%1b[31m%00%9b%e2%80%a8"
RAW = [
    "\ttab",
    "\r\nERROR forged",
    "\nERROR forged",
    "\rERROR forged",
    "\x1b[31m",
    "\x00",
    "\x7f",
    "\x9b31m",
    "\xff",
    "\x85",
]
FIELDS = [
    "Host",
    "X-Field",
    "Referer",
    "User-Agent",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
]
PROXIES: dict[str, dict[str, str]] = {
    "untrusted": {},
    "forwarded": {"trusted_proxy": "*", "trusted_proxy_headers": "forwarded"},
    "x-forwarded": {
        "trusted_proxy": "*",
        "trusted_proxy_headers": "x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port",
    },
}


class ApplicationError(Exception):
    """What the application says in it is not for the server to change."""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    kind = environ["PATH_INFO"].split("/")[1]
    size = {"few": "100", "many": "1"}.get(kind, "2")
    if kind == "raises":
        raise ApplicationError(environ["PATH_INFO"])
    if kind == "header":
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
    elif kind == "name":
        start_response("200 OK", [(environ["PATH_INFO"], "value")])
    elif kind == "status":
        start_response(f"200 {environ['PATH_INFO']}", [])
    elif kind == "length":
        start_response("200 OK", [("Content-Length", environ["PATH_INFO"])])
    elif kind == "empty":
        start_response("204 No Content", [])
    elif kind == "endless":
        start_response("200 OK", [])
        return iter(lambda: b"x" * 10_000, b"")
    elif kind == "file":
        start_response("200 OK", [("Content-Length", "100")])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"ok"))
        return wrapped
    else:
        start_response("200 OK", [("Content-Length", size)])
    return [b"ok"]


def requests() -> Iterator[bytes]:
    """Return requests that have something evil in each place."""
    for kind in ("ok", "raises", "header", "name", "status", "length", "empty", "few", "many", "file"):
        yield get(target=f"/{kind}/{EVIL}")
        yield get(target=f"/{kind}/{EVIL_IN_A_LINE}")
    for raw in RAW:
        yield get(target=f"/few/{raw}")
        yield get(target=f"/raises/{raw}")
        yield f"G{raw} / HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1")
        yield f"GET / HTTP/1.1{raw}\r\nHost: a\r\n\r\n".encode("latin-1")
        yield f"GET http://{raw}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1")
        yield get(f"{raw}: name")
        yield post("Transfer-Encoding: chunked", body=f"1;a={raw}\r\na\r\n0\r\n\r\n".encode("latin-1"))
        for name in FIELDS:
            yield get(f"{name}: {raw}")
            yield get(f'{name}: "{raw}')
            yield get(f"{name}: {raw}={raw};for=a")


def is_harmless(record: logging.LogRecord) -> bool:
    """Whether the message, and what the server's own exceptions say below it, is of one line and for a screen."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    has_harmless_error = error is None or isinstance(error, ApplicationError) or str(error).isprintable()
    return message.isascii() and message.isprintable() and has_harmless_error


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_is_logged_of_a_request_is_printable(proxy: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running(application, access_log=True, log_untrusted_proxy_headers=True, **PROXIES[proxy]) as server:
        for request in requests():
            with server.client() as client:
                client.send(request)
                client.end_output()
                client.rest()
        leave_within_a_response(server, caplog)
    assert len(caplog.records) > 20
    assert [record.getMessage() for record in caplog.records if not is_harmless(record)] == []


def leave_within_a_response(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with server.client() as client:
        client.send(get(target=f"/endless/{EVIL}"))
        client.socket.recv(1)
        client.reset()
    assert becomes_true(lambda: f"Client disconnected while serving /endless/{EVIL}" in caplog.messages, SECONDS)
