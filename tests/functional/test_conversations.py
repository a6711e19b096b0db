"""Conversations: requests of all kinds in any order, cut anywhere, are answered in their order as each is alone.

What each request is answered with is in the tests of its kind; here is what they could do to one another on one
connection.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.client import Client
from tests.support.servers import Running, running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATTERN = bytes(range(256)) * 1200


def pattern(size: int, start: int) -> bytes:
    """Return so many bytes that no other request's could be taken for, at the same place."""
    return PATTERN[start : start + size]


# --- the application: `/kind/size/start`


def one_piece(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [body]


def with_length(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return iter([body[:1], b"", body[1:]])


def pieces(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield from (body[at : at + 5000] for at in range(0, len(body), 5000))


def written(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    write = start_response("200 OK", [])
    write(body[:100])
    return [body[100:]]


def file(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [])
    stored = tempfile.TemporaryFile()  # noqa: SIM115  # the server closes it
    stored.write(body)
    stored.seek(0)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](stored)
    return wrapped


def echo(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def no_content(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return [body]


def not_modified(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("304 Not Modified", [])
    return [body]


def surplus(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body, b"and more"]


def failing(environ: WSGIEnvironment, start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    raise ZeroDivisionError


Kind = Callable[["WSGIEnvironment", "StartResponse", bytes], Iterable[bytes]]
KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        one_piece, with_length, pieces, written, file, echo, no_content, not_modified, surplus, failing,
    )
}  # fmt: skip
WITHOUT_LENGTH = {"pieces", "written"}
STATUS = {"no_content": 204, "not_modified": 304, "failing": 500}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, kind, size, start = environ["PATH_INFO"].split("/")
    return KINDS[kind](environ, start_response, pattern(int(size), int(start)))


# --- the client


@dataclass
class Asked:
    """One request, and what it has to be answered with."""

    method: str
    version: str
    kind: str
    size: int
    start: int
    body: bytes
    chunks: list[int]  # where the body is cut into chunks; sent with its length when there are none
    asks_to_persist: bool

    @property
    def wire(self) -> bytes:
        """The bytes of the request."""
        lines = [f"{self.method} /{self.kind}/{self.size}/{self.start} HTTP/{self.version}", "Host: localhost"]
        if self.asks_to_persist != (self.version == "1.1"):
            lines.append("Connection: " + ("keep-alive" if self.asks_to_persist else "close"))
        body = self.body
        if self.chunks and self.version == "1.1":
            lines.append("Transfer-Encoding: chunked")
            parts = [part for part in cut(body, self.chunks) if part]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUS.get(self.kind, 200)

    @property
    def answer(self) -> bytes | None:
        """The body of the answer; None for the server's own."""
        if self.method == "HEAD" or self.status in (204, 304):
            return b""
        if self.status == 500:
            return None
        return self.body if self.kind == "echo" else pattern(self.size, self.start)

    @property
    def persists(self) -> bool:
        """Whether the connection goes on after it."""
        is_open_ended = (
            self.version == "1.0" and self.kind in WITHOUT_LENGTH and self.size > 0 and self.method != "HEAD"
        )
        return self.asks_to_persist and self.status != 500 and not is_open_ended


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the parts of bytes between these places, which are in per mille of the length."""
    ends = sorted(len(data) * place // 1000 for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


sizes = st.one_of(st.integers(0, 300), st.integers(0, 40_000), st.integers(100_000, 250_000))
places = st.lists(st.integers(0, 1000), max_size=6)
requests = st.builds(
    Asked,
    method=st.sampled_from(["GET", "GET", "POST", "HEAD"]),
    version=st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
    kind=st.sampled_from(sorted(KINDS)),
    size=sizes,
    start=st.integers(0, 1000),
    body=st.builds(pattern, st.integers(0, 3000), st.integers(0, 255)),
    chunks=places,
    asks_to_persist=st.sampled_from([True, True, True, False]),
)


def talk(client: Client, asked: list[Asked], cuts: list[int], ends_output: bool) -> None:
    """Send the requests in these cuts, and hold each answer to what it has to be."""
    with suppress(ConnectionError):  # the server may end it before all is sent
        for part in cut(b"".join(request.wire for request in asked), cuts):
            client.send(part)
        if ends_output:
            client.end_output()
    for request in asked:
        response = client.response(request.method)
        assert response.status == request.status
        if request.answer is not None:
            assert response.body == request.answer
        if not request.persists:
            assert client.rest() == b""
            return
    if ends_output:
        assert client.rest() == b""


SETTINGS: list[dict[str, int]] = [
    {},
    {"threads": 1, "inbuf_overflow": 500, "outbuf_overflow": 1000, "outbuf_high_watermark": 5000, "recv_bytes": 700},
]


@pytest.fixture(scope="module", params=SETTINGS, ids=["as-they-are", "small-buffers"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(application, **request.param) as server:
        yield server


@settings(max_examples=150)
@given(asked=st.lists(requests, min_size=1, max_size=6), cuts=places, ends_output=st.booleans())
def test_requests_of_all_kinds_are_answered_as_each_is_alone(
    server: Running, asked: list[Asked], cuts: list[int], ends_output: bool
) -> None:
    asked = until_the_client_ends(asked)
    with server.client() as client:
        talk(client, asked, cuts, ends_output)


def until_the_client_ends(asked: list[Asked]) -> list[Asked]:
    """Leave out what follows a request after which its client sends no more (RFC 9112 9.6)."""
    for count, request in enumerate(asked, 1):
        if not request.asks_to_persist:
            return asked[:count]
    return asked
