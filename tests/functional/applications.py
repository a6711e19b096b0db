"""Small applications for the tests in this folder, and what they saw."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tests.support.client import Response
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECONDS = 30.0  # bound of every wait for an event: only a fault takes so long

Headers = list[tuple[str, str]]


class Recorder:
    """Answers each request with `ok`; keeps its environ and its body."""

    def __init__(self) -> None:
        self.environs: list[WSGIEnvironment] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.environs.append(environ)
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    @property
    def paths(self) -> list[str]:
        """The paths of the requests, in the order of their calls."""
        return [environ["PATH_INFO"] for environ in self.environs]


class Held:
    """Answers when `released` is set; `entered` is set when it is called."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.entered.set()
        assert self.released.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]


def answering(body: Iterable[bytes], *headers: tuple[str, str], status: str = "200 OK") -> WSGIApplication:
    """Make an application that gives this answer, the same iterable each time."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return application


def environ_of(request: bytes, **settings: Any) -> WSGIEnvironment:
    """Return the environ that the application gets for the bytes of one request, which must be answered with 200."""
    recorder = Recorder()
    with running(recorder, **settings) as server, server.client() as client:
        client.send(request)
        response = client.response(request.partition(b" ")[0].decode())
    assert response.status == 200, response
    [environ] = recorder.environs
    return environ


def get(*fields: str, target: str = "/", version: str = "1.1") -> bytes:
    """Write a GET request with a Host field and these field lines."""
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: localhost", *fields, "", ""]).encode("latin-1")


def post(*fields: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """Write a POST request with a Host field, these field lines and this body; the lines say the length."""
    return "\r\n".join([f"POST / HTTP/{version}", "Host: localhost", *fields, "", ""]).encode("latin-1") + body


def refusal_of(request: bytes, recorder: Recorder | None = None, **settings: Any) -> Response:
    """Return the answer to bytes that a server refuses: the application is not called, and the connection ends.

    A request that follows them is not served, nor is there a second answer.
    """
    recorder = recorder or Recorder()
    with running(recorder, **settings) as server, server.client() as client:
        client.send(request + get(target="/smuggled"))
        response = client.response()
        assert client.rest() == b""
    assert response.header("Connection") == "close"
    assert recorder.paths == []
    return response


@contextlib.contextmanager
def set_at_end(*events: threading.Event) -> Iterator[None]:
    """Set the events that applications wait for, also when the test fails: the server can end then."""
    try:
        yield
    finally:
        for event in events:
            event.set()


def errors_in(records: Iterable[logging.LogRecord]) -> list[str]:
    """Return the messages of level WARNING and above; a queue that grows is no error."""
    return [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING and record.name != "waitress.queue"
    ]


def error_lines_in(log: Iterable[str]) -> list[str]:
    """Return the same of the log of another process, as whole lines: a machine under load lets a request wait."""
    return [line for line in log if re.match("(?!.*waitress.queue).*(WARNING|ERROR)", line)]


def exceptions_in(records: Iterable[logging.LogRecord]) -> list[BaseException]:
    """Return the exceptions with tracebacks in the log records."""
    return [record.exc_info[1] for record in records if record.exc_info and record.exc_info[1]]


# A program for a process that is to run out of descriptors
CROWDED = """
import resource
def application(environ, start_response):
    if environ["PATH_INFO"] == "/lower-the-limit":  # a server that starts with it accepts no more than fit
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    start_response("200 OK", [])
    return [b"ok"]
"""
