"""`wsgi.file_wrapper`: what is sent of a file, in what pieces, and that the server closes it."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Headers, errors_in, get
from tests.support.processes import becomes_true
from tests.support.rows import each_row
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTENT = bytes(range(256)) * 400  # 102,400 bytes, not a multiple of usual block sizes


def sending(
    open_file: Callable[[], Any],
    *headers: tuple[str, str],
    status: str = "200 OK",
    wrap: Callable[[Any, Any], Iterable[bytes]] = lambda wrapper, file: wrapper(file),
) -> WSGIApplication:
    """Make an application that returns a wrapped file, opened again for each request."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return wrap(environ["wsgi.file_wrapper"], open_file())

    return application


class Seekable:
    """Has read, seek and `tell`, and is nothing else: no descriptor, no base class. Counts its closes."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self._file = io.BytesIO(content)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell
        self.closes = 0
        self.closed = threading.Event()

    def close(self) -> None:
        self.closes += 1
        self.closed.set()


class ReadOnly:
    """Has `read` and `close` only; keeps the sizes that it was asked for."""

    def __init__(self, content: bytes = CONTENT, most: int | None = None) -> None:
        self._file = io.BytesIO(content)
        self._most = most
        self.sizes: list[int] = []
        self.closes = 0
        self.closed = threading.Event()

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        return self._file.read(size if self._most is None else min(size, self._most))

    def close(self) -> None:
        self.closes += 1
        self.closed.set()


class Pipe(io.RawIOBase):
    """A raw stream that cannot seek: it has the methods, and they raise."""

    def __init__(self) -> None:
        self._file = io.BytesIO(CONTENT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)


def spooled(in_memory: bool) -> Callable[[Path], IO[bytes]]:
    def make(path: Path) -> IO[bytes]:
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=0 if in_memory else 1)  # noqa: SIM115
        file.write(CONTENT)
        file.seek(0)
        return file

    return make


SEEKABLE = [
    pytest.param(lambda path: path.open("rb"), id="buffered"),
    pytest.param(lambda path: path.open("rb", buffering=0), id="unbuffered"),
    pytest.param(lambda path: path.open("r+b"), id="read-and-write"),
    pytest.param(lambda path: io.BytesIO(CONTENT), id="bytesio"),
    pytest.param(spooled(in_memory=True), id="spooled-in-memory"),
    pytest.param(spooled(in_memory=False), id="spooled-on-disk"),
    pytest.param(lambda path: Seekable(), id="own-object"),
]
STREAMS = [
    pytest.param(ReadOnly, id="only-read"),
    pytest.param(Pipe, id="raw-stream"),
    pytest.param(lambda: io.BufferedReader(Pipe()), id="buffered-stream"),
]
OpenPath = Callable[[Path], Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.promise("S30")
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda wrapper, file: wrapper(file), id="one-argument"),
        pytest.param(lambda wrapper, file: wrapper(file, 4096), id="two-arguments"),
        pytest.param(lambda wrapper, file: wrapper(file, block_size=4096), id="named-block-size"),
        pytest.param(lambda wrapper, file: wrapper(file, 1), id="smallest-block-size"),
    ],
)
@pytest.mark.parametrize("open_file", [lambda: io.BytesIO(b"some bytes"), lambda: ReadOnly(b"some bytes")])
def test_the_wrapper_takes_a_file_and_a_block_size(
    wrap: Callable[[Any, Any], Iterable[bytes]], open_file: Callable[[], Any]
) -> None:
    with running(sending(open_file, wrap=wrap)) as server, server.client() as client:
        assert client.get("/").body == b"some bytes"


@pytest.mark.promise("S31", "S32")
@each_row("open_file", SEEKABLE)
@each_row("position", [0, 1, 70_000, len(CONTENT) - 1, len(CONTENT)])
@each_row("version", ["1.0", "1.1"])
def test_a_file_is_sent_from_its_position_to_its_end(
    open_file: OpenPath, position: int, version: str, path: Path
) -> None:
    def at_position() -> Any:
        file = open_file(path)
        file.seek(position)
        return file

    with running(sending(at_position)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/", "Connection: keep-alive", version=version)
            assert response.body == CONTENT[position:]
            assert response.header("Content-Length") == str(len(CONTENT) - position)
            assert response.header("Transfer-Encoding") is None


@pytest.mark.promise("S31")
def test_a_file_that_has_been_read_from_is_sent_from_there(path: Path) -> None:
    """The position is what `tell` says: a buffered file has read ahead of it in its descriptor."""

    def partly_read() -> Any:
        file = path.open("rb")
        assert file.readline() == CONTENT[:11]
        return file

    with running(sending(partly_read)) as server, server.client() as client:
        assert client.get("/").body == CONTENT[11:]


@pytest.mark.promise("S31")
def test_files_of_pipelined_requests_come_in_order(path: Path) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        file = path.open("rb")
        file.seek(int(environ["QUERY_STRING"]))
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    with running(application) as server, server.client() as client:
        client.send(b"".join(get(target=f"/?{position}") for position in (50_000, 3, 102_400, 0, 99)))
        for position in (50_000, 3, 102_400, 0, 99):
            assert client.response().body == CONTENT[position:]


@pytest.mark.promise("S31", "S83")
@pytest.mark.parametrize("open_file", SEEKABLE)
def test_a_file_follows_what_was_written_before_it(open_file: OpenPath, path: Path) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])(b"written;")
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open_file(path))
        return wrapped

    with running(application) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.body == b"written;" + CONTENT
            assert response.header("Content-Length") is None


@pytest.mark.promise("S31")
@pytest.mark.parametrize("open_file", SEEKABLE)
def test_a_wrapper_inside_another_iterable_is_only_an_iterable(open_file: OpenPath, path: Path) -> None:
    """As when a middleware looks at each piece."""

    def wrap(wrapper: Any, file: Any) -> Iterable[bytes]:
        with contextlib.closing(wrapper(file, 1000)) as pieces:
            yield from pieces

    with running(sending(lambda: open_file(path), wrap=wrap)) as server, server.client() as client:
        for _ in range(2):
            assert client.get("/").body == CONTENT


@pytest.mark.promise("S31", "S32")
def test_a_file_beyond_every_buffer_is_sent_whole(tmp_path: Path) -> None:
    """40 MB: more than the socket buffers and the high watermark hold together."""
    block = os.urandom(1 << 20)
    large = tmp_path / "large"
    large.write_bytes(block * 40)

    def from_the_second_byte() -> Any:
        file = large.open("rb")
        file.seek(1)
        return file

    with running(sending(from_the_second_byte)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.header("Content-Length") == str((40 << 20) - 1)
            assert response.body == (block * 40)[1:]


@pytest.mark.promise("S31", "S32")
@pytest.mark.parametrize("open_file", SEEKABLE)
def test_head_of_a_file_says_its_length_and_sends_none_of_it(open_file: OpenPath, path: Path) -> None:
    with running(sending(lambda: open_file(path))) as server, server.client() as client:
        for _ in range(2):
            client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.response("HEAD").header("Content-Length") == str(len(CONTENT))
        assert client.get("/").body == CONTENT


@pytest.mark.promise("S31", "S64")
@pytest.mark.parametrize("open_file", SEEKABLE)
@pytest.mark.parametrize("status", ["304 Not Modified", "204 No Content"])
def test_a_status_without_content_sends_nothing_of_a_file(open_file: OpenPath, status: str, path: Path) -> None:
    with running(sending(lambda: open_file(path), status=status)) as server, server.client() as client:
        client.send(get() + get())
        for _ in range(3):
            response = client.response()
            assert f"{response.status} {response.reason}" == status
            assert response.header("Transfer-Encoding") is None
            client.send(get())


@each_row(
    ("said", "position", "sent"),
    [
        pytest.param(None, 0, 102_400, id="S32-none"),
        pytest.param(102_400, 0, 102_400, id="S32-exact"),
        pytest.param(200_000, 0, 102_400, id="S32-too-much"),
        pytest.param(102_400, 400, 102_000, id="S32-whole-file-but-moved-on"),
        pytest.param(1000, 0, 1000, id="S32-less"),
        pytest.param(1000, 400, 1000, id="S32-range"),
        pytest.param(1, 102_399, 1, id="S32-last-byte"),
        pytest.param(0, 0, 0, id="S32-nothing-of-it"),
    ],
)
@each_row("open_file", SEEKABLE)
@each_row("name", ["Content-Length", "content-length"])
def test_content_length_is_what_the_application_says_but_never_more_than_there_is(
    said: int | None, position: int, sent: int, open_file: OpenPath, name: str, path: Path
) -> None:
    def at_position() -> Any:
        file = open_file(path)
        file.seek(position)
        return file

    headers: Headers = [] if said is None else [(name, str(said))]
    with running(sending(at_position, *headers)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.header("Content-Length") == str(sent)
            assert response.body == CONTENT[position : position + sent]


@pytest.mark.parametrize("open_file", [lambda: io.BytesIO(), lambda: Seekable(b"")])
@pytest.mark.promise("S32")
def test_an_empty_file_has_content_length_0(open_file: Callable[[], Any]) -> None:
    with running(sending(open_file)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert (response.header("Content-Length"), response.body) == ("0", b"")


@pytest.mark.promise("S32")
def test_a_file_that_grows_is_sent_up_to_the_length_that_was_said(path: Path) -> None:
    class Growing(Seekable):
        """Has a new byte after each read."""

        def __init__(self) -> None:
            super().__init__()
            self.read = self._read_and_grow  # type: ignore[assignment]

        def _read_and_grow(self, size: int = -1) -> bytes:
            data = self._file.read(size)
            position = self._file.tell()
            self._file.seek(0, 2)
            self._file.write(b"!")
            self._file.seek(position)
            return data

    with running(sending(Growing)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.header("Content-Length") == str(len(CONTENT))
            assert response.body == CONTENT


@pytest.mark.promise("S32", "S84")
@pytest.mark.parametrize("has_descriptor", [True, False])
def test_a_file_that_shrinks_ends_the_connection(has_descriptor: bool, tmp_path: Path) -> None:
    """The client sees less than Content-Length, and never bytes of another response in its place."""
    large = tmp_path / "shrinking"
    size = 40 << 20
    with large.open("wb") as file:
        file.truncate(size)

    class Shrinking(Seekable):
        """Says at its end that it has 40 MB, and has far less."""

        def __init__(self) -> None:
            super().__init__()
            self.seek, self.tell = self._seek, self._tell
            self._is_at_end = False

        def _seek(self, offset: int, whence: int = 0) -> int:
            self._is_at_end = whence == 2
            return size if self._is_at_end else self._file.seek(offset, whence)

        def _tell(self) -> int:
            return size if self._is_at_end else self._file.tell()

    open_file: Callable[[], Any] = (lambda: large.open("rb")) if has_descriptor else Shrinking
    with running(sending(open_file)) as server, server.client() as client:
        client.send(get())
        received = client.socket.recv(10)
        if has_descriptor:
            os.truncate(large, size // 2)
        client.send(get())
        received += client.rest()
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert len(body) < size
    assert b"HTTP/1.1" not in body


@pytest.mark.promise("S33")
@pytest.mark.parametrize(
    ("wrap", "block_size"),
    [
        pytest.param(lambda wrapper, file: wrapper(file), 32_768, id="default"),
        pytest.param(lambda wrapper, file: wrapper(file, 1000), 1000, id="given"),
        pytest.param(lambda wrapper, file: wrapper(file, 1 << 20), 1 << 20, id="more-than-there-is"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_file_without_seek_is_read_in_pieces_of_the_block_size(
    wrap: Callable[[Any, Any], Iterable[bytes]], block_size: int, version: str
) -> None:
    file = ReadOnly()
    with running(sending(lambda: file, wrap=wrap)) as server, server.client() as client:
        response = client.get("/", version=version)
        assert file.closed.wait(SECONDS)
    assert response.body == CONTENT
    assert response.header("Content-Length") is None
    assert response.header("Transfer-Encoding") == ("chunked" if version == "1.1" else None)
    assert set(file.sizes) == {block_size}
    assert len(file.sizes) == -(-len(CONTENT) // block_size) + 1  # the last is that which finds the end


@pytest.mark.promise("S33")
@pytest.mark.parametrize("open_file", STREAMS)
def test_a_stream_that_cannot_seek_is_sent_whole(open_file: Callable[[], Any]) -> None:
    with running(sending(open_file)) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.body == CONTENT
            assert response.header("Transfer-Encoding") == "chunked"


@pytest.mark.promise("S33")
@pytest.mark.skipif(not hasattr(os, "pipe"), reason="os.pipe is missing")
def test_a_pipe_of_the_system_is_sent_as_it_is_filled() -> None:
    """It has a descriptor, and yet neither a size nor a position."""
    reading, writing = os.pipe()
    source, sink = open(reading, "rb", buffering=0), open(writing, "wb", buffering=0)  # noqa: SIM115
    with sink, source, running(sending(lambda: source)) as server, server.client() as client:
        client.send(get())
        sink.write(b"first;")
        received = b""
        while b"first;" not in received:
            received += client.socket.recv(65536)
        sink.write(b"second;")
        sink.close()
        while not received.endswith(b"0\r\n\r\n"):
            received += client.socket.recv(65536)
    assert b"second;" in received


@pytest.mark.promise("S33")
@pytest.mark.parametrize("missing", ["seek", "tell"])
def test_a_file_with_only_one_of_seek_and_tell_is_iterated(missing: str) -> None:
    def open_file() -> Any:
        file = Seekable()
        delattr(file, missing)
        return file

    with running(sending(open_file)) as server, server.client() as client:
        response = client.get("/")
    assert response.body == CONTENT
    assert response.header("Transfer-Encoding") == "chunked"


@pytest.mark.promise("S33")
def test_short_reads_are_not_the_end() -> None:
    with running(sending(lambda: ReadOnly(most=5000))) as server, server.client() as client:
        assert client.get("/").body == CONTENT


@pytest.mark.promise("S33")
def test_a_stream_is_cut_at_the_application_s_content_length() -> None:
    with running(sending(ReadOnly, ("Content-Length", "40000"))) as server, server.client() as client:
        for _ in range(2):
            response = client.get("/")
            assert response.header("Content-Length") == "40000"
            assert response.body == CONTENT[:40000]


ENDS = [
    pytest.param("GET", "200 OK", CONTENT, id="whole"),
    pytest.param("HEAD", "200 OK", CONTENT, id="head"),
    pytest.param("GET", "304 Not Modified", CONTENT, id="not-modified"),
    pytest.param("GET", "204 No Content", CONTENT, id="no-content"),
    pytest.param("GET", "200 OK", b"", id="empty"),
]


@pytest.mark.promise("S35", "S82")
@pytest.mark.parametrize("kind", [Seekable, ReadOnly])
@pytest.mark.parametrize(("method", "status", "content"), ENDS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_server_closes_the_file_once(kind: Any, method: str, status: str, content: bytes, version: str) -> None:
    file = kind(content)
    with running(sending(lambda: file, status=status)) as server, server.client() as client:
        client.send(f"{method} / HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        client.response(method)
        assert file.closed.wait(SECONDS)
    assert file.closes == 1


@pytest.mark.promise("S35")
@pytest.mark.parametrize(("method", "status", "content"), ENDS)
def test_the_server_closes_a_file_of_the_system(method: str, status: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file, running(sending(lambda: file, status=status)) as server, server.client() as client:
        client.send(f"{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        client.response(method)
        assert client.rest() == b""
        assert becomes_true(lambda: file.closed)


@pytest.mark.promise("S35")
@pytest.mark.parametrize("kind", ["file of the system", "seekable", "stream"])
def test_the_file_is_closed_when_the_client_leaves(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as large:
        large.truncate(64 << 20)
    if kind == "file of the system":
        file: Any = path.open("rb")
        is_closed: Callable[[], bool] = lambda: file.closed  # noqa: E731
    else:
        file = (Seekable if kind == "seekable" else ReadOnly)(bytes(64 << 20))
        is_closed = file.closed.is_set
    with running(sending(lambda: file)) as server:
        client = server.client()
        client.send(get())
        assert client.socket.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        client.reset()
        assert becomes_true(is_closed)


@pytest.mark.promise("S35")
@pytest.mark.parametrize("kind", [Seekable, ReadOnly])
def test_the_file_is_closed_when_the_response_never_started(kind: Any) -> None:
    file = kind()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    with running(application) as server, server.client() as client:
        assert client.get("/").status == 500
        assert file.closed.wait(SECONDS)
    assert file.closes == 1


@pytest.mark.promise("S35")
@pytest.mark.parametrize("kind", [Seekable, ReadOnly])
def test_a_file_without_close_is_sent_too(
    kind: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(kind, "close")
    with running(sending(kind)) as server, server.client() as client:
        for _ in range(2):
            assert client.get("/").body == CONTENT
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S35")
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="/proc/self/fd is missing: descriptors are not counted")
def test_500_requests_leave_no_descriptor(path: Path) -> None:
    files: list[IO[bytes]] = []  # kept: nothing but the server closes them

    def open_file() -> IO[bytes]:
        files.append(path.open("rb"))
        return files[-1]

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with running(sending(open_file)) as server:
        with server.client() as client:
            assert client.get("/").body == CONTENT
            assert becomes_true(lambda: files[0].closed)
            before = descriptors()
            for _ in range(300):
                assert client.get("/").body == CONTENT
            for number in range(200):
                with server.client() as other:
                    other.send((b"HEAD" if number % 3 else b"GET") + get("Connection: close")[3:])
                    other.rest()
        assert becomes_true(lambda: all(file.closed for file in files))
        assert becomes_true(lambda: descriptors() <= before)
    assert len(files) == 501


@pytest.mark.promise("S37")
def test_a_wrapper_is_a_true_iterator() -> None:
    seen: dict[str, Any] = {}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        wrapper = environ["wsgi.file_wrapper"]
        seen["truth of an empty file"] = bool(wrapper(io.BytesIO()))
        seen["truth of an empty stream"] = bool(wrapper(ReadOnly(b"")))
        seen["pieces of an empty file"] = list(wrapper(io.BytesIO()))
        for kind, file in [("file", io.BytesIO(b"abcdefgh")), ("stream", ReadOnly(b"abcdefgh"))]:
            wrapped = wrapper(file, 3)
            seen[f"iterator of the {kind}"] = iter(wrapped) is wrapped
            seen[f"pieces of the {kind}"] = [next(wrapped), next(wrapped), next(wrapped), next(wrapped, None)]
            seen[f"truth of the {kind} at its end"] = bool(wrapped)
        start_response("200 OK", [])
        return [b"ok"]

    with running(application) as server, server.client() as client:
        assert client.get("/").status == 200
    pieces = [b"abc", b"def", b"gh", None]
    assert seen == {
        "truth of an empty file": True,
        "truth of an empty stream": True,
        "pieces of an empty file": [],
        "iterator of the file": True,
        "pieces of the file": pieces,
        "truth of the file at its end": True,
        "iterator of the stream": True,
        "pieces of the stream": pieces,
        "truth of the stream at its end": True,
    }


@pytest.mark.promise("S37")
@pytest.mark.parametrize("file", [io.BytesIO, lambda: ReadOnly(b"")])
def test_an_empty_file_is_not_mistaken_for_no_result(file: Callable[[], Any]) -> None:
    """A middleware may say `result or []`, and would lose the close."""
    opened = []

    def wrap(wrapper: Any, file: Any) -> Iterable[bytes]:
        opened.append(file)
        result: Iterable[bytes] = wrapper(file) or [b"no result"]
        return result

    with running(sending(file, wrap=wrap)) as server, server.client() as client:
        assert client.get("/").body == b""


@pytest.mark.promise("S37")
def test_the_first_piece_can_be_taken_before_the_rest_is_sent() -> None:
    def wrap(wrapper: Any, file: Any) -> Iterable[bytes]:
        wrapped: Any = wrapper(file, 1000)
        assert next(wrapped) == CONTENT[:1000]
        return wrapped  # type: ignore[no-any-return]

    for open_file in (lambda: io.BytesIO(CONTENT), ReadOnly):
        with running(sending(open_file, wrap=wrap)) as server, server.client() as client:
            assert client.get("/").body == CONTENT[1000:]


@pytest.mark.promise("S31")
def test_a_wrapper_seeks_where_its_file_does() -> None:
    seen: list[Any] = []

    def wrap(wrapper: Any, file: Any) -> Iterable[bytes]:
        wrapped: Any = wrapper(file)
        wrapped.seek(100)
        seen.append((wrapped.tell(), wrapped.seekable(), hasattr(wrapper(ReadOnly()), "seek")))
        return wrapped  # type: ignore[no-any-return]

    with running(sending(lambda: io.BytesIO(CONTENT), wrap=wrap)) as server, server.client() as client:
        assert client.get("/").body == CONTENT[100:]
    assert seen == [(100, True, False)]
