"""Nothing is left of a request when it is over: no descriptor, no temporary file, no memory, no thread."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import random
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.functional.applications import get, post
from tests.support.client import Client
from tests.support.processes import (
    Program,
    becomes_true,
    needs_proc,
    open_descriptors,
    resident_bytes,
    serving_program,
)
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MEGABYTE = 1_000_000

needs_proc_and_prompt_memory = pytest.mark.skipif(
    platform.python_implementation() != "CPython" or not Path("/proc/self/statm").exists(),
    reason="needs /proc, and an interpreter that gives memory back when it is let go, as CPython does",
)

APPLICATION = """
import io
import os

def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = []
    if path == "/file":
        body = environ["wsgi.file_wrapper"](open("data", "rb"))
    elif path == "/file-part":
        file = open("data", "rb")
        file.seek(1000)
        body = environ["wsgi.file_wrapper"](file)
    elif path == "/file-in-memory":
        body = environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 100_000))
    elif path == "/file-without-a-body":
        start_response("304 Not Modified", [])
        return environ["wsgi.file_wrapper"](open("data", "rb"))
    elif path == "/megabyte":
        body = [b"x" * 1_000_000]
    elif path == "/pieces":
        body = (b"x" * 1000 for _ in range(100))
    elif path == "/fault":
        raise ValueError("fault")
    elif path == "/late-fault":
        body = pieces_and_fault()
    elif path == "/threads":
        import threading
        body = [str(threading.active_count()).encode()]
    else:
        body = [b"%d" % len(environ["wsgi.input"].read())]
    start_response("200 OK", headers)
    return body

def pieces_and_fault():
    yield b"x" * 1000
    raise ValueError("late fault")

logging.getLogger("waitress").setLevel(logging.CRITICAL)
"""


@contextlib.contextmanager
def program(tmp_path: Path, **settings: Any) -> Iterator[Program]:
    """Serve the application above; its temporary files lie in `tmp_path / "temporary"`."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "data").write_bytes(bytes(range(256)) * 1000)
    source = f"import tempfile\ntempfile.tempdir = {str(tmp_path / 'temporary')!r}\n{APPLICATION}"
    source = source.replace(
        ".setLevel(logging.CRITICAL)", ".addFilter(lambda record: record.levelno < logging.WARNING)"
    )
    with serving_program(source, tmp_path, **settings) as served:
        yield served


def ends_with_as_many_descriptors(served: Program, before: int) -> bool:
    """Whether all that was opened is closed again; the server may need a moment to see that the clients have left."""
    return becomes_true(lambda: open_descriptors(served.id) <= before)


@needs_proc
@pytest.mark.promise("S35")
@pytest.mark.parametrize("path", ["/file", "/file-part", "/file-in-memory", "/file-without-a-body"])
def test_a_file_is_closed_when_it_has_been_sent(path: str, tmp_path: Path) -> None:
    with program(tmp_path) as served, served.client() as client:
        assert client.get(path).status in (200, 304)
        before = open_descriptors(served.id)
        most = before
        for number in range(500):
            client.get(path)
            if number % 50 == 0:
                most = max(most, open_descriptors(served.id))
        assert ends_with_as_many_descriptors(served, before)
        assert most <= before + 5


class Watched(io.BytesIO):
    """A file that counts how often it is closed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.closings = 0

    def close(self) -> None:
        self.closings += 1
        super().close()


@pytest.mark.promise("S35")
@pytest.mark.parametrize("ending", ["read-to-the-end", "head", "client-resets", "length-too-small", "http-1.0"])
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_the_server_closes_the_file_it_was_given(ending: str, kind: str, tmp_path: Path) -> None:
    size = 20 * MEGABYTE
    (tmp_path / "data").write_bytes(bytes(size))
    given: list[IO[bytes]] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        file: IO[bytes] = Watched(bytes(size)) if kind == "memory" else open(tmp_path / "data", "rb")  # noqa: SIM115
        given.append(file)
        start_response("200 OK", [("Content-Length", "5")] if ending == "length-too-small" else [])
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    with running(application, threads=1) as server:
        with server.client() as client:
            if ending == "head":
                client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.response("HEAD").header("Content-Length") == str(size)
            elif ending == "client-resets":
                client.send(get())
                assert client.socket.recv(1000)
                client.reset()
            elif ending == "http-1.0":
                assert len(client.get(version="1.0").body) == size
            else:
                assert len(client.get().body) == (5 if ending == "length-too-small" else size)
        assert becomes_true(lambda: bool(given) and given[0].closed)
    if kind == "memory":
        assert isinstance(given[0], Watched)
        assert given[0].closings == 1


def grows(served: Program, client: Client, path: str, rounds: int) -> int:
    """Return how much more memory the process has after so many requests than after the first few."""
    for _ in range(rounds // 5):
        assert client.get(path).status == 200
    before = resident_bytes(served.id)
    for _ in range(rounds):
        assert client.get(path).status == 200
    return resident_bytes(served.id) - before


@needs_proc_and_prompt_memory
@pytest.mark.promise("S38")
@pytest.mark.parametrize(("path", "rounds"), [("/megabyte", 1000), ("/pieces", 1000), ("/file", 1000)])
def test_a_persistent_connection_does_not_gather_memory(path: str, rounds: int, tmp_path: Path) -> None:
    with program(tmp_path) as served, served.client() as client:
        assert grows(served, client, path, rounds) < 20 * MEGABYTE


@needs_proc_and_prompt_memory
@pytest.mark.promise("S38")
def test_uploads_do_not_gather_memory(tmp_path: Path) -> None:
    request = post(f"Content-Length: {MEGABYTE}", body=bytes(MEGABYTE))
    with program(tmp_path, inbuf_overflow=500_000) as served, served.client() as client:

        def upload(count: int) -> int:
            for _ in range(count):
                client.send(request)
                assert client.response().body == str(MEGABYTE).encode()
            return resident_bytes(served.id)

        assert -upload(50) + upload(300) < 20 * MEGABYTE


@needs_proc_and_prompt_memory
@pytest.mark.promise("S38")
def test_what_a_connection_held_is_given_back_at_its_end(tmp_path: Path) -> None:
    """Each of a few hundred connections has had a megabyte of output."""
    with program(tmp_path) as served:

        def ask(count: int) -> int:
            for _ in range(count):
                with served.client() as client:
                    assert len(client.get("/megabyte").body) == MEGABYTE
            return resident_bytes(served.id)

        assert -ask(50) + ask(300) < 20 * MEGABYTE


def good(client: Client) -> None:
    for path in ("/", "/file", "/pieces", "/file-in-memory", "/file-without-a-body"):
        assert client.get(path).status in (200, 304)


def upload_in_a_file(client: Client) -> None:
    client.send(post("Content-Length: 200000", body=bytes(200_000)))
    assert client.response().body == b"200000"


def chunked_upload_in_a_file(client: Client) -> None:
    client.send(post("Transfer-Encoding: chunked", body=b"30d40\r\n" + bytes(200_000) + b"\r\n0\r\n\r\n"))
    assert client.response().body == b"200000"


def half_an_upload(client: Client) -> None:
    client.send(post("Content-Length: 200000", body=bytes(150_000)))


def half_an_upload_and_reset(client: Client) -> None:
    client.send(post("Content-Length: 200000", body=bytes(150_000)))
    client.reset()


def broken_upload(client: Client) -> None:
    client.send(post("Transfer-Encoding: chunked", body=b"186a0\r\n" + bytes(100_000) + b"\r\nzz\r\n"))
    assert client.response().status == 400


def bad_request(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nno field\r\n\r\n")
    assert client.response().status == 400


def half_a_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: local")


def nothing(client: Client) -> None:
    pass


def fault(client: Client) -> None:
    assert client.get("/fault").status == 500


def late_fault(client: Client) -> None:
    client.send(get(target="/late-fault"))
    client.rest()


def left_while_reading(client: Client) -> None:
    client.send(get(target="/megabyte") * 5)
    client.socket.recv(10_000)
    client.reset()


def left_before_reading(client: Client) -> None:
    client.send(get(target="/file"))
    client.reset()


def half_closed(client: Client) -> None:
    client.send(get(target="/megabyte"))
    client.end_output()
    assert len(client.response().body) == MEGABYTE


REQUESTS = (
    good,
    upload_in_a_file,
    chunked_upload_in_a_file,
    half_an_upload,
    half_an_upload_and_reset,
    broken_upload,
    bad_request,
    half_a_head,
    nothing,
    fault,
    late_fault,
    left_while_reading,
    left_before_reading,
    half_closed,
)


@needs_proc
@pytest.mark.promise("S86")
def test_a_thousand_mixed_connections_leave_nothing(tmp_path: Path) -> None:
    choice = random.Random(86)
    with program(tmp_path, inbuf_overflow=100_000, outbuf_overflow=100_000, connection_limit=1000) as served:

        def some(count: int) -> None:
            for behave in choice.choices(REQUESTS, k=count):
                with served.client() as client:
                    behave(client)

        with served.client() as client:
            for behave in REQUESTS[:3]:
                behave(client)
            before = open_descriptors(served.id)
            threads = client.get("/threads").body
            some(1000)
            # Two may be opened once, at the first need.
            assert ends_with_as_many_descriptors(served, before + 2)
            assert client.get("/threads").body == threads
            assert list((tmp_path / "temporary").iterdir()) == []


@needs_proc
@pytest.mark.promise("S86")
def test_idle_connections_give_their_descriptors_back(tmp_path: Path) -> None:
    with program(tmp_path, connection_limit=1000) as served, served.client() as client:
        assert client.get().status == 200
        before = open_descriptors(served.id)
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(served.client())
            assert becomes_true(lambda: open_descriptors(served.id) >= before + 300)
        assert ends_with_as_many_descriptors(served, before)


@pytest.mark.plain  # the memory of TLS is measured by the case tls-memory of the benchmarks
@needs_proc_and_prompt_memory
@pytest.mark.promise("S86")
def test_an_idle_connection_is_cheap(tmp_path: Path) -> None:
    """After a request with a large body and a large answer it holds no buffer.

    The least of three rounds: some megabytes come once, when a further thread of the server first allocates.
    """
    with program(tmp_path, connection_limit=1000) as served, contextlib.ExitStack() as stack:

        def connect(count: int) -> int:
            for _ in range(count):
                client = stack.enter_context(served.client())
                client.send(post("Content-Length: 100000", body=bytes(100_000)))
                assert client.response().status == 200
                assert len(client.get("/megabyte").body) == MEGABYTE
            return resident_bytes(served.id)

        sizes = [connect(50), *(connect(200) for _ in range(3))]
        assert min(after - before for before, after in pairwise(sizes)) / 200 < 20_000


@needs_proc
@pytest.mark.promise("S86")
def test_temporary_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing is left of them, however the process ends."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    named: list[Path] = []
    nameless: list[str] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        named.extend(tmp_path.iterdir())
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                nameless.append(os.readlink(descriptor))
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    with running(application, inbuf_overflow=1000, outbuf_overflow=1000) as server, server.client() as client:
        client.send(post("Content-Length: 5000000", body=bytes(5 * MEGABYTE)))
        assert len(client.response().body) == 5 * MEGABYTE
    assert named == list(tmp_path.iterdir()) == []
    assert any(path.startswith(str(tmp_path)) for path in nameless), "the body is in no temporary file"


def test_threads_come_and_go_with_the_server_not_with_requests() -> None:
    counts: set[int] = set()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        counts.add(threading.active_count())
        start_response("200 OK", [])
        return [b"ok"]

    with running(application) as server:
        with server.client() as client:
            client.get()
        counts.clear()
        for _ in range(100):
            with server.client() as client:
                assert client.get().status == 200
    assert len(counts) == 1
