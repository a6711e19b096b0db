"""Clients and requests that are slow: what they hold up, and what they must not; pipelined requests; slow closing."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Recorder, get, post, set_at_end
from tests.support.client import Client
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MB = 1_000_000
BLOCK = bytes(range(250)) * 40  # 10,000 bytes


def blocks(size: int) -> Iterator[bytes]:
    """Return so many bytes in pieces."""
    for _ in range(size // len(BLOCK)):
        yield BLOCK


class Closing:
    """An iterable that shows when the server has closed it: then the application is done with."""

    def __init__(self, pieces: Iterable[bytes], closed: threading.Event) -> None:
        self._pieces = pieces
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        self._closed.set()


KINDS: list[Any] = [
    pytest.param(lambda size, path: [BLOCK * (size // len(BLOCK))], id="one-piece"),
    pytest.param(lambda size, path: blocks(size), id="generated"),
    pytest.param(lambda size, path: list(blocks(size)), id="many-pieces"),
]


# --- S39: what waits is sent before the connection ends


@pytest.mark.promise("S39")
@pytest.mark.parametrize("make_body", KINDS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("size", [5 * MB, 20 * MB])
def test_all_of_a_response_arrives_before_the_connection_ends(
    make_body: Callable[[int, Any], Iterable[bytes]], version: str, size: int
) -> None:
    """The client reads only when the application is done, and all that is left waits in the server."""
    closed = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return Closing(make_body(size, None), closed)

    with running(application, outbuf_high_watermark=64 * MB) as server, server.client() as client:
        client.send(get("Connection: close", version=version))
        assert closed.wait(SECONDS)
        response = client.response()
        assert response.header("Connection") == "close"
        assert response.body == BLOCK * (size // len(BLOCK))
        assert client.rest() == b""


@pytest.mark.promise("S39")
@pytest.mark.parametrize("make_body", KINDS)
def test_a_slow_reader_gets_all_of_a_response_beyond_the_watermark(
    make_body: Callable[[int, Any], Iterable[bytes]],
) -> None:
    """As by default: the application waits for the client, which takes a little at a time."""
    size = 20 * MB

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return make_body(size, None)

    with running(application) as server, server.client() as client:
        client.send(get("Connection: close", version="1.0"))
        received = bytearray()
        while data := client.socket.recv(20_000):
            received += data
    assert received.partition(b"\r\n\r\n")[2] == BLOCK * (size // len(BLOCK))


@pytest.mark.promise("S39")
def test_a_client_that_has_ended_its_output_still_gets_everything() -> None:
    closed = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Closing(blocks(10 * MB), closed)

    with running(application) as server, server.client() as client:
        client.send(get())
        client.end_output()
        assert closed.wait(SECONDS)
        assert client.response().body == BLOCK * 1000
        assert client.rest() == b""


@pytest.mark.promise("S39")
def test_what_waits_for_the_client_is_sent_before_an_error_answer() -> None:
    """A pipelined request that is refused ends the connection, not the response before it."""
    closed = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Closing(blocks(10 * MB), closed)

    with running(application) as server, server.client() as client:
        client.send(get() + b"bad\r\n\r\n")
        assert closed.wait(SECONDS)
        assert client.response().body == BLOCK * 1000
        assert client.response().status == 400
        assert client.rest() == b""


@pytest.mark.promise("S39")
def test_an_idle_connection_that_is_told_to_close_sends_what_is_on_its_way() -> None:
    """Many clients at once, each with its last response still on its way."""
    size = 2 * MB

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return blocks(size)

    with running(application) as server:
        clients = [server.client() for _ in range(20)]
        for client in clients:
            client.send(get("Connection: close"))
        for client in reversed(clients):
            assert client.response().body == BLOCK * (size // len(BLOCK))
            assert client.rest() == b""
            client.close()


# --- S40: a client that reads slowly


def slow_clients_application(path: Path) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kind = environ["PATH_INFO"][1:]
        start_response("200 OK", [])
        if kind == "one-piece":
            return [BLOCK * 500]
        if kind == "generated":
            return blocks(5 * MB)
        if kind == "file":
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
            return wrapped
        if kind == "file-in-memory":
            in_memory: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(BLOCK * 500))
            return in_memory
        return [b"quick"]

    return application


@pytest.mark.promise("S40")
@pytest.mark.parametrize("kind", ["one-piece", "generated", "file", "file-in-memory"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_client_that_does_not_read_holds_no_thread(kind: str, warm: bool, tmp_path: Path) -> None:
    """There is one thread, and several clients leave 5 MB each in the server."""
    path = tmp_path / "file"
    path.write_bytes(BLOCK * 500)
    with running(slow_clients_application(path), threads=1) as server, server.client() as quick:
        for _ in range(50 if warm else 0):
            assert quick.get("/quick").body == b"quick"
        slow = [server.client() for _ in range(4)]
        for client in slow:
            client.send(get(target=f"/{kind}"))
        for client in slow:  # once its response has started, the thread has seen to it
            assert client.socket.recv(1, socket.MSG_PEEK)
        for _ in range(50):
            assert quick.get("/quick").body == b"quick"
        with server.client() as another:
            assert another.get("/quick").body == b"quick"
        for client in slow:
            assert client.response().body == BLOCK * 500
            assert client.get("/quick").body == b"quick"
            client.close()


@pytest.mark.promise("S40")
@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", post("Content-Length: 5", body=b"hell")])
def test_a_client_that_does_not_send_holds_no_thread(sent: bytes) -> None:
    with running(Recorder(), threads=1) as server, server.client() as quick:
        slow = [server.client() for _ in range(10)]
        for client in slow:
            client.send(sent)
        for _ in range(20):
            assert quick.get("/quick").body == b"ok"
        for client in slow:
            client.close()


@pytest.mark.promise("S40")
def test_the_application_waits_for_the_client_at_the_watermark() -> None:
    """Output without end is neither kept in memory nor on the disk; the client that reads again gets it in order."""
    is_ahead = threading.Event()
    allowed = 60 * MB  # far beyond the watermark and what the system's buffers hold
    made = 0

    def numbered() -> Iterator[bytes]:
        nonlocal made
        for number in range(100 * MB // 10_000):
            made += 10_000
            if made > allowed:
                is_ahead.set()
            yield b"%09d\n" % number * 1000

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return numbered() if environ["PATH_INFO"] == "/endless" else [b"quick"]

    with running(application, threads=2, outbuf_high_watermark=MB) as server, server.client() as client:
        client.send(get(target="/endless", version="1.0"))
        assert client.socket.recv(1, socket.MSG_PEEK)
        with server.client() as other:
            for _ in range(200):
                assert other.get("/quick").body == b"quick"
        assert not is_ahead.wait(0.3)
        received = client.rest()
    body = received.partition(b"\r\n\r\n")[2]
    assert is_ahead.is_set()
    assert len(body) == 100 * MB
    assert body == b"".join(b"%09d\n" % number * 1000 for number in range(100 * MB // 10_000))


# --- S41: a request that takes long


class Slow:
    """/slow waits for `may_end`; anything else is answered at once."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            self.entered.release()
            assert self.may_end.wait(SECONDS)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]


@pytest.mark.promise("S41")
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("warm", [0, 1, 50, 500], ids=lambda count: f"after-{count}-quick-ones")
def test_slow_requests_do_not_block_other_connections(threads: int, warm: int) -> None:
    """All threads but one are held, whichever of them was the reactor."""
    application = Slow()
    with running(application, threads=threads) as server, set_at_end(application.may_end), server.client() as quick:
        for _ in range(warm):
            assert quick.get("/quick").body == b"/quick"
        slow = [server.client() for _ in range(threads - 1)]
        for client in slow:
            client.send(get(target="/slow"))
        for _ in slow:
            assert application.entered.acquire(timeout=SECONDS)
        for _ in range(20):
            assert quick.get("/quick").body == b"/quick"
        with server.client() as another:
            assert another.get("/another").body == b"/another"
        application.may_end.set()
        for client in slow:
            assert client.response().body == b"/slow"
            assert client.get("/again").body == b"/again"
            client.close()


@pytest.mark.promise("S41")
@pytest.mark.parametrize("threads", [1, 4])
def test_more_slow_requests_than_threads_wait_and_are_all_answered(threads: int) -> None:
    application = Slow()
    with running(application, threads=threads) as server, set_at_end(application.may_end):
        clients = [server.client() for _ in range(threads * 5)]
        for client in clients:
            client.send(get(target="/slow"))
        for _ in range(threads):
            assert application.entered.acquire(timeout=SECONDS)
        assert not application.entered.acquire(timeout=0.1)
        application.may_end.set()
        for client in clients:
            assert client.response().body == b"/slow"
            client.close()


@pytest.mark.promise("S41")
def test_as_many_requests_run_at_once_as_there_are_threads() -> None:
    """Each waits for the others: with one thread less none would end."""
    meeting = threading.Barrier(4)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        meeting.wait(SECONDS)
        start_response("200 OK", [])
        return [b"met"]

    with running(application, threads=4) as server:
        clients = [server.client() for _ in range(4)]
        for _ in range(20):
            for client in clients:
                client.send(get())
            for client in clients:
                assert client.response().body == b"met"
        for client in clients:
            client.close()


@pytest.mark.promise("S41")
def test_with_one_thread_it_is_always_the_same() -> None:
    threads: set[int] = set()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        threads.add(threading.get_ident())
        start_response("200 OK", [])
        return [b"ok"]

    with running(application, threads=1) as server:
        for _ in range(20):
            with server.client() as client:
                for _ in range(5):
                    assert client.get("/").body == b"ok"
    assert len(threads) == 1


@pytest.mark.promise("S41")
def test_a_slow_iterable_does_not_block_other_connections() -> None:
    may_end = threading.Event()
    entered = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"entered;"
        entered.set()
        assert may_end.wait(SECONDS)
        yield b"ended"

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return pieces() if environ["PATH_INFO"] == "/slow" else [b"quick"]

    with running(application, threads=2) as server, set_at_end(may_end), server.client() as slow:
        slow.send(get(target="/slow"))
        assert entered.wait(SECONDS)
        with server.client() as quick:
            for _ in range(20):
                assert quick.get("/quick").body == b"quick"
        may_end.set()
        assert slow.response().body == b"entered;ended"


# --- S42: several requests on one connection


@pytest.mark.promise("S42")
@pytest.mark.parametrize("cut", ["one-segment", "a-segment-each", "byte-by-byte"])
@pytest.mark.parametrize("threads", [1, 4])
def test_pipelined_requests_are_answered_in_order(cut: str, threads: int) -> None:
    application = Slow()
    requests = [get(target="/slow"), get(target="/2"), get(target="/3")]
    with running(application, threads=threads) as server, set_at_end(application.may_end), server.client() as client:
        if cut == "one-segment":
            client.send(b"".join(requests))
        elif cut == "a-segment-each":
            for request in requests:
                client.send(request)
        else:
            for byte in b"".join(requests):
                client.send(bytes([byte]))
        assert application.entered.acquire(timeout=SECONDS)
        application.may_end.set()
        assert [client.response().body for _ in range(3)] == [b"/slow", b"/2", b"/3"]
        assert client.get("/4").body == b"/4"


@pytest.mark.promise("S42")
def test_two_requests_of_one_connection_never_run_at_once() -> None:
    """There are threads enough: the order is the connection's."""
    running_now = 0
    most = 0
    lock = threading.Lock()
    others = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        others.wait(0.01)
        with lock:
            running_now -= 1
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    with running(application, threads=4) as server, server.client() as client:
        client.send(b"".join(get(target=f"/{number}") for number in range(20)))
        assert [client.response().body for _ in range(20)] == [b"/%d" % number for number in range(20)]
    assert most == 1


@pytest.mark.promise("S42")
@pytest.mark.parametrize("count", [100, 3000])
@pytest.mark.parametrize("body_size", [0, 100])
def test_many_pipelined_requests_are_answered_in_order(count: int, body_size: int) -> None:
    """More than any buffer for reading ahead holds."""
    recorder = Recorder()
    fields = f"Host: a\r\nContent-Length: {body_size}\r\n\r\n".encode() + b"x" * body_size
    with running(recorder) as server, server.client() as client:
        sender = threading.Thread(
            target=client.send,
            args=(b"".join(b"PUT /%d HTTP/1.1\r\n" % number + fields for number in range(count)),),
        )
        sender.start()
        assert [client.response().status for _ in range(count)] == [200] * count
        sender.join(SECONDS)
    assert recorder.paths == [f"/{number}" for number in range(count)]
    assert set(recorder.bodies) == {b"x" * body_size}


@pytest.mark.promise("S42")
def test_requests_of_every_kind_can_follow_each_other() -> None:
    recorder = Recorder()
    chunked = post("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    requests = [
        (get(target="/a"), "GET"),
        (chunked, "POST"),
        (b"HEAD" + get(target="/b")[3:], "HEAD"),
        (post("Content-Length: 5", body=b"hello"), "POST"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS"),
        (get("Upgrade: h2c", "Connection: Upgrade", target="/c"), "GET"),
        (chunked, "POST"),
        (get("Connection: keep-alive", target="/d", version="1.0"), "GET"),
        (get(target="/e"), "GET"),
    ]
    with running(recorder) as server, server.client() as client:
        client.send(b"".join(request for request, _ in requests * 3))
        for _, method in requests * 3:
            assert client.response(method).status == 200
    assert recorder.paths == ["/a", "/", "/b", "/", "", "/c", "/", "/d", "/e"] * 3
    assert recorder.bodies == [b"", b"hello", b"", b"hello", b"", b"", b"hello", b"", b""] * 3


@pytest.mark.promise("S42")
@pytest.mark.parametrize(
    "last", [get("Connection: close", target="/2"), get(target="/2", version="1.0")], ids=["close", "http-1.0"]
)
def test_nothing_is_served_after_the_last_response(last: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(get(target="/1") + last + get(target="/3") + get(target="/4"))
        assert [client.response().status for _ in range(2)] == [200, 200]
        assert client.rest() == b""
    assert recorder.paths == ["/1", "/2"]


@pytest.mark.promise("S42")
@pytest.mark.parametrize("cut", ["one-segment", "later"])
def test_nothing_is_served_after_a_fault_of_the_application(cut: str) -> None:
    """The 500 ends the connection; what was sent behind the request is not taken for another."""
    called: list[str] = []
    entered, may_end = threading.Event(), threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        entered.set()
        assert may_end.wait(SECONDS)
        raise ValueError

    with running(application) as server, set_at_end(may_end), server.client() as client:
        client.send(get(target="/1") + (get(target="/2") if cut == "one-segment" else b""))
        assert entered.wait(SECONDS)
        if cut == "later":
            client.send(get(target="/2"))
        may_end.set()
        assert client.response().status == 500
        assert client.rest() == b""
    assert called == ["/1"]


@pytest.mark.promise("S42")
def test_pipelined_requests_before_the_end_of_input_are_all_answered() -> None:
    application = Slow()
    with running(application) as server, set_at_end(application.may_end), server.client() as client:
        client.send(get(target="/slow") + get(target="/2") + get(target="/3") + b"GET /4 HT")
        client.end_output()
        assert application.entered.acquire(timeout=SECONDS)
        application.may_end.set()
        assert [client.response().body for _ in range(3)] == [b"/slow", b"/2", b"/3"]
        rest = client.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.0 400 ")


@pytest.mark.promise("S42", "S41")
def test_pipelines_of_many_clients_do_not_mix() -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        name = environ["PATH_INFO"].encode()
        return [name] if name.endswith(b"0") else iter([name[:3], name[3:]])

    def talk(client: Client, name: int) -> None:
        for turn in range(10):
            client.send(b"".join(get(target=f"/{name}/{turn}/{number}") for number in range(20)))
            for number in range(20):
                if client.response().body != f"/{name}/{turn}/{number}".encode():
                    return
        done.append(name)

    done: list[int] = []
    with running(application) as server:
        clients = [server.client() for _ in range(16)]
        talkers = [threading.Thread(target=talk, args=(client, name)) for name, client in enumerate(clients)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join(SECONDS)
        for client in clients:
            client.close()
    assert sorted(done) == list(range(16))
