"""Every kind of response: how it is framed, and whether the connection persists. The client has h11 judge each."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from tests.support.client import Client, Response
from tests.support.servers import Running, running

PIECES = [b"one ", b"two ", b"three"]
BODY = b"".join(PIECES)
LENGTHS = {"none": None, "right": len(BODY), "short": len(BODY) - 4, "long": len(BODY) + 4}  # as the application says
STATUSES = ["200 OK", "204 No Content", "205 Reset Content", "304 Not Modified", "404 Not Found"]
WITHOUT_BODY = ("204", "205", "304")
REQUESTS = {
    "1.1": ("1.1", "", True),
    "1.1-close": ("1.1", "Connection: close\r\n", False),
    "1.0": ("1.0", "", False),
    "1.0-keep-alive": ("1.0", "Connection: Keep-Alive\r\n", True),
}
METHODS = ["GET", "HEAD", "POST"]
IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")

Body = Callable[[dict[str, Any], Callable[[bytes], Any]], Iterable[bytes]]


def generated() -> Iterator[bytes]:
    yield b""
    yield from PIECES


def written(environ: dict[str, Any], write: Callable[[bytes], Any]) -> Iterable[bytes]:
    write(PIECES[0])
    return PIECES[1:]


BODIES: dict[str, Body] = {
    "list": lambda environ, write: list(PIECES),
    "one-piece": lambda environ, write: [BODY],
    "generator": lambda environ, write: generated(),
    "write": written,
    "file": lambda environ, write: environ["wsgi.file_wrapper"](io.BytesIO(BODY), 5),
    "empty": lambda environ, write: [],
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer as the path says: /status/body/length."""
    _, status, body, length = environ["PATH_INFO"].split("/")
    headers = [("Content-Type", "text/plain")]
    if LENGTHS[length] is not None:
        headers.append(("Content-Length", str(LENGTHS[length])))
    return BODIES[body](environ, start_response(STATUSES[int(status)], headers))


class Case(NamedTuple):
    request: str
    method: str
    status: str
    body: str
    length: str

    @property
    def sent(self) -> bytes:
        """What of the body the client gets."""
        if self.method == "HEAD" or self.status[:3] in WITHOUT_BODY:
            return b""
        body = b"" if self.body == "empty" else BODY
        length = LENGTHS[self.length]
        return body if length is None else body[:length]

    @property
    def is_cut_short(self) -> bool:
        """Whether the application gives less than it has promised: only the end of the connection shows it."""
        if self.body == "file":
            return False  # its own length is sent where it is the shorter one
        has_body = self.method != "HEAD" and self.status[:3] not in WITHOUT_BODY
        return has_body and len(self.sent) < (LENGTHS[self.length] or 0)

    @property
    def is_delimited(self) -> bool:
        """Whether the client can find the end of the response without that of the connection."""
        version = REQUESTS[self.request][0]
        is_known = LENGTHS[self.length] is not None or self.body in ("one-piece", "empty", "file")
        return version == "1.1" or is_known or self.method == "HEAD" or self.status[:3] in WITHOUT_BODY

    @property
    def persists(self) -> bool:
        return REQUESTS[self.request][2] and self.is_delimited and not self.is_cut_short


CASES = [Case(*case) for case in product(REQUESTS, METHODS, STATUSES, BODIES, LENGTHS)]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(application) as server:
        yield server


def ask(client: Client, case: Case) -> None:
    version, fields, _ = REQUESTS[case.request]
    path = f"/{STATUSES.index(case.status)}/{case.body}/{case.length}"
    client.send(f"{case.method} {path} HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode())


def check_head(case: Case, response: Response) -> None:
    names = [name.lower() for name, _ in response.headers]
    assert f"{response.status} {response.reason}" == case.status
    assert response.version == f"HTTP/{REQUESTS[case.request][0]}"
    for name in ("date", "server"):
        assert names.count(name) == 1
    assert IMF_FIXDATE.fullmatch(response.header("Date") or "")
    assert not ("content-length" in names and "transfer-encoding" in names)
    if response.status in (204, 304):
        assert "transfer-encoding" not in names
    if response.status == 204:
        assert "content-length" not in names
    if response.status == 205:
        assert response.header("Content-Length") == "0"
    if response.version == "HTTP/1.0":
        assert "transfer-encoding" not in names
    version, _, is_asked = REQUESTS[case.request]
    if not (is_asked and case.is_delimited):
        expected: str | None = "close"
    else:
        expected = "Keep-Alive" if version == "1.0" else None
    assert response.header("Connection") == expected


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_response_is_framed_as_the_request_and_the_application_allow(
    request_: str, method: str, server: Running
) -> None:
    for case in CASES:
        if (case.request, case.method) != (request_, method):
            continue
        with server.client() as client:
            ask(client, case)
            if case.is_cut_short:
                with pytest.raises(AssertionError, match="ended within a response"):
                    client.response(method)
                continue
            response = client.response(method)
            check_head(case, response)
            assert response.body == case.sent, case
            if case.persists:
                ask(client, case)
                again = client.response(method)
                assert (again.status, again.body) == (response.status, response.body), case
            else:
                assert client.rest() == b"", case
