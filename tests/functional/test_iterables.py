"""The application's iterable: closed once, whatever happens, by a thread that runs applications."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, errors_in, exceptions_in, get, set_at_end
from tests.support.rows import each_row
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Pieces:
    """An iterable that keeps what is done with it; an exception among its pieces is raised."""

    def __init__(self, *pieces: bytes | BaseException, close_error: BaseException | None = None) -> None:
        self._pieces = pieces
        self._close_error = close_error
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.threads.add(threading.current_thread())
        self.calls.append("iter")
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                self.calls.append("raise")
                raise piece
            yield piece
        self.calls.append("end")

    def close(self) -> None:
        self.threads.add(threading.current_thread())
        self.calls.append("close")
        self.closed.set()
        if self._close_error is not None:
            raise self._close_error


class SizedPieces(Pieces):
    """Has a length too, as a list has."""

    def __len__(self) -> int:
        return len(self._pieces)


class OwnError(Exception):
    """An application's own."""


def returning(pieces: Iterable[bytes], *headers: tuple[str, str], status: str | None = "200 OK") -> WSGIApplication:
    """Make an application that returns this; without a status it does not call start_response."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            start_response("200 OK", [])
            return [b"next"]
        if status is not None:
            start_response(status, list(headers))
        return pieces

    return application


@pytest.mark.promise("S82")
@each_row("kind", [Pieces, SizedPieces])
@each_row("pieces", [(), (b"",), (b"abc",), (b"abc", b"def"), (bytes(1_000_000),) * 30])
@each_row("method", ["GET", "HEAD"])
@each_row("version", ["1.0", "1.1"])
def test_close_is_called_once_at_the_end(kind: type[Pieces], pieces: Any, method: str, version: str) -> None:
    body = kind(*pieces)
    with running(returning(body)) as server, server.client() as client:
        client.send(f"{method} / HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        response = client.response(method)
        assert body.closed.wait(SECONDS)
        if version == "1.1":
            assert client.get("/next").body == b"next"
    assert response.body == (b"" if method == "HEAD" else b"".join(pieces))
    assert body.calls.count("close") == 1
    assert body.calls[-1] == "close"
    assert body.calls.count("iter") <= 1
    assert len(body.threads) == 1


@pytest.mark.promise("S82")
@each_row(
    ("pieces", "headers", "status"),
    [
        pytest.param((b"abc",), [], "204 No Content", id="no-content"),
        pytest.param((b"abc", b"def"), [], "304 Not Modified", id="not-modified"),
        pytest.param((b"abc", b"def"), [("Content-Length", "2")], "200 OK", id="more-than-content-length"),
        pytest.param((b"abc",), [("Content-Length", "20")], "200 OK", id="less-than-content-length"),
        pytest.param((b"abc",), [], None, id="start-response-not-called"),
        pytest.param((), [], None, id="start-response-not-called-and-no-output"),
        pytest.param((OwnError(),), [], "200 OK", id="raises-at-once"),
        pytest.param((b"abc", OwnError()), [], "200 OK", id="raises-after-output"),
        pytest.param((b"", OwnError()), [], "200 OK", id="raises-after-empty-piece"),
        pytest.param((b"abc", SystemExit()), [], "200 OK", id="system-exit"),
        pytest.param((b"abc", "def"), [], "200 OK", id="piece-of-str"),
        pytest.param(("abc",), [], "200 OK", id="first-piece-of-str"),
    ],
)
@each_row("kind", [Pieces, SizedPieces])
@each_row("method", ["GET", "HEAD"])
def test_close_is_called_once_whatever_happens(
    pieces: Any, headers: Any, status: str | None, kind: type[Pieces], method: str
) -> None:
    body = kind(*pieces)
    with running(returning(body, *headers, status=status)) as server:
        with server.client() as client:
            client.send(f"{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            client.rest()
        assert body.closed.wait(SECONDS)
        with server.client() as other:
            assert other.get("/next").body == b"next"
    assert body.calls.count("close") == 1
    assert body.calls[-1] == "close"
    assert len(body.threads) == 1


@pytest.mark.promise("S82")
def test_close_is_called_when_iter_raises() -> None:
    class NotIterable(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            raise OwnError

    body = NotIterable()
    with running(returning(body)) as server, server.client() as client:
        assert client.get("/").status == 500
        assert body.closed.wait(SECONDS)
    assert body.calls == ["close"]


@pytest.mark.promise("S82")
@pytest.mark.parametrize("error", [OwnError("in close"), SystemExit()])
@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"def")])
def test_a_fault_in_close_does_not_change_the_response(
    error: BaseException, pieces: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = Pieces(*pieces, close_error=error)
    with running(returning(body)) as server:
        with server.client() as client:
            assert client.get("/").body == b"".join(pieces)
            assert body.closed.wait(SECONDS)
        with server.client() as other:
            assert other.get("/next").body == b"next"
    assert body.calls.count("close") == 1
    assert error in exceptions_in(caplog.records)


@pytest.mark.promise("S82")
@pytest.mark.parametrize("body", [[b"abc", b"def"], (b"abc", b"def"), {b"abc": 1, b"def": 2}])
def test_an_iterable_needs_no_close(body: Iterable[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with running(returning(body)) as server, server.client() as client:
        assert client.get("/").body == b"abcdef"
        assert client.get("/next").body == b"next"
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S82")
def test_a_generator_runs_its_finally() -> None:
    ended: list[str] = []

    def generate(*pieces: Any) -> Iterator[bytes]:
        try:
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            ended.append("finally")

    for pieces in [(b"abc",), (b"abc", b"def"), (b"abc", OwnError())]:
        with running(returning(generate(*pieces))) as server, server.client() as client:
            client.send(get("Connection: close"))
            client.rest()
    with running(returning(generate(b"abc", b"def"), ("Content-Length", "3"))) as server, server.client() as client:
        assert client.get("/").body == b"abc"
        assert client.get("/next").body == b"next"
    assert ended == ["finally"] * 4


@pytest.mark.promise("S82")
@pytest.mark.parametrize("how", ["reset", "close"])
def test_close_is_called_when_the_client_has_left(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The endless body is given up, and its thread is free for the next."""

    class Endless(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(65536)

    body = Endless()
    with running(returning(body), threads=1) as server:
        client = server.client()
        client.send(get())
        assert client.socket.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        if how == "reset":
            client.reset()
        else:
            client.close()
        assert body.closed.wait(SECONDS)
        with server.client() as other:
            assert other.get("/next").body == b"next"
    assert body.calls == ["close"]
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S82")
def test_close_is_called_when_the_client_left_before_the_first_piece() -> None:
    has_left = threading.Event()
    entered = threading.Event()

    class Waiting(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            entered.set()
            assert has_left.wait(SECONDS)
            while True:
                yield b"x" * 65536

    body = Waiting()
    with running(returning(body), threads=1) as server, set_at_end(has_left):
        client = server.client()
        client.send(get())
        assert entered.wait(SECONDS)
        client.reset()
        has_left.set()
        assert body.closed.wait(SECONDS)
        with server.client() as other:
            assert other.get("/next").body == b"next"
    assert body.calls == ["close"]


@pytest.mark.promise("S82")
def test_close_is_called_when_the_server_is_closed() -> None:
    """`server.close()` cuts off the client that does not read, and the application gets its close."""

    class Endless(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(65536)

    body = Endless()
    with running(returning(body)) as server, server.client() as client:
        client.send(get())
        assert client.socket.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    assert body.calls == ["close"]


@pytest.mark.promise("S82")
def test_close_is_called_after_the_last_piece_has_been_taken_not_before() -> None:
    """A piece may be a view on what `close` gives back."""
    storage = bytearray(b"abc" * 100_000)

    class Views(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            for at in range(0, len(storage), 1000):
                yield bytes(storage[at : at + 1000])

        def close(self) -> None:
            storage[:] = bytes(len(storage))
            super().close()

    body = Views()
    with running(returning(body)) as server, server.client() as client:
        assert client.get("/").body == b"abc" * 100_000
    assert body.calls == ["close"]


def test_a_piece_may_be_changed_as_soon_as_the_next_is_asked_for() -> None:
    """An application that reads into one bytearray again and again, for a client that does not take it yet."""
    size, count = 1 << 20, 8
    all_given = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[Any]:
        start_response("200 OK", [("Content-Length", str(size * count))])
        piece = bytearray(size)
        for number in range(count):
            piece[:] = bytes([number]) * size
            yield piece
        all_given.set()

    with running(application, outbuf_high_watermark=2 * size * count) as server, server.client() as client:
        client.send(get())
        assert all_given.wait(SECONDS)
        assert client.response().body == b"".join(bytes([number]) * size for number in range(count))


@pytest.mark.promise("S82")
def test_close_runs_on_the_thread_of_the_application() -> None:
    threads: list[threading.Thread] = []
    body = Pieces(b"abc", b"def")

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        threads.append(threading.current_thread())
        start_response("200 OK", [])
        return body

    with running(application) as server, server.client() as client:
        assert client.get("/").body == b"abcdef"
        assert body.closed.wait(SECONDS)
    assert body.threads == set(threads)
