"""ReadOnlyFileBuffer: the file wrapper."""

# ruff: noqa: SIM115  (the wrapper closes the files)

import gzip
import io
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.buffers.helpers import GIB, open_descriptors
from waitress_buffers import ReadOnlyFileBuffer, positioned

CONTENT = bytes(range(256)) * 40


class Overriding(io.BufferedReader):
    """A file with content that is not that of its descriptor."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size).swapcase()


class OnlyRead:
    """The smallest file that PEP 3333 allows."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.sizes: list[int] = []

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        return self._file.read(size)


class OldStyle(OnlyRead):
    """Can seek, but has no `seekable`, like old file objects."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def named_temporary(_: Path) -> Any:
    file = tempfile.NamedTemporaryFile()
    file.write(CONTENT)
    file.seek(0)
    return file


def anonymous_temporary(_: Path) -> Any:
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.seek(0)
    return file


def spooled(_: Path) -> Any:
    file = tempfile.SpooledTemporaryFile()
    file.write(CONTENT)
    file.rollover()
    file.seek(0)
    return file


def gzipped(path: Path) -> Any:
    with gzip.open(path, "wb") as file:
        file.write(CONTENT)
    return gzip.open(path, "rb")


Opener = Callable[[Path], Any]

REGULAR: dict[str, Opener] = {
    "buffered": lambda path: open(path, "rb"),
    "unbuffered": lambda path: open(path, "rb", buffering=0),
    "read-and-write": lambda path: open(path, "r+b"),
    "temporary": anonymous_temporary,
    "named-temporary": named_temporary,
}
PRETENDING: dict[str, Opener] = {
    "memory": lambda _: io.BytesIO(CONTENT),
    "gzip": gzipped,
    "spooled": spooled,
    "subclass": lambda path: Overriding(io.FileIO(path)),
    "old-style": lambda _: OldStyle(CONTENT),
}
SEEKABLE = REGULAR | PRETENDING

every_seekable = pytest.mark.parametrize("open_it", SEEKABLE.values(), ids=SEEKABLE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "content").write_bytes(CONTENT)
    return tmp_path / "content"


@pytest.fixture
def wrap() -> Iterator[Callable[..., ReadOnlyFileBuffer]]:
    """Wrap files, and close them after the test."""
    with ExitStack() as stack:

        def wrap(file: Any, *arguments: int) -> ReadOnlyFileBuffer:
            wrapper = ReadOnlyFileBuffer(file, *arguments)
            stack.callback(wrapper.close)
            return wrapper

        yield wrap


Wrap = Callable[..., ReadOnlyFileBuffer]


@pytest.fixture(params=["by-position", "by-seeking"])
def _both_ways_of_access(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by-seeking":
        monkeypatch.setattr(positioned, "read_at", positioned.read_at_by_seek)


def content_of(file: Any) -> bytes:
    position = file.tell()
    content: bytes = file.read(-1)
    file.seek(position)
    return content


@every_seekable
@pytest.mark.usefixtures("_both_ways_of_access")
@pytest.mark.promise("S31", "S32")
def test_the_prepared_range_is_the_file_from_its_position_on(open_it: Opener, path: Path, wrap: Wrap) -> None:
    file = open_it(path)
    file.read(100)
    expected = content_of(file)
    wrapper = wrap(file)
    assert len(wrapper) == 0
    assert wrapper.prepare() == len(wrapper) == len(expected) == len(CONTENT) - 100
    assert wrapper.offset == 100
    sent = bytearray()
    for size in (1, 1, 500, 3000, 5, 4000, 9000):
        peeked = wrapper.peek(size)
        assert peeked == expected[len(sent) :][:size]
        assert wrapper.peek(size // 2) == peeked[: size // 2]
        taken = len(peeked) * 2 // 3  # a socket takes less than it is offered
        wrapper.skip(taken)
        sent += peeked[:taken]
        assert wrapper.offset == 100 + len(sent)
    sent += wrapper.peek()
    wrapper.skip(len(wrapper))
    assert bytes(sent) == expected
    assert wrapper.peek() == wrapper.peek(5) == b""


@every_seekable
@pytest.mark.usefixtures("_both_ways_of_access")
def test_peek_and_skip_never_exceed_the_prepared_range(open_it: Opener, path: Path, wrap: Wrap) -> None:
    wrapper = wrap(open_it(path))
    assert wrapper.prepare() == len(CONTENT)
    assert wrapper.prepare(100) == 100
    assert len(wrapper.peek()) == len(wrapper.peek(5000)) == 100
    with pytest.raises(ValueError, match=r"^Can't skip 101 bytes in buffer of 100 bytes$"):
        wrapper.skip(101)
    with pytest.raises(ValueError, match=r"^Can't skip -1 bytes in buffer of 100 bytes$"):
        wrapper.skip(-1)
    wrapper.skip(100)
    assert wrapper.peek() == b""
    assert wrapper.prepare(10**6) == len(CONTENT) - 100


@every_seekable
@pytest.mark.usefixtures("_both_ways_of_access")
def test_preparing_again_goes_on_where_skip_stopped(open_it: Opener, path: Path, wrap: Wrap) -> None:
    file = open_it(path)
    expected = content_of(file)
    wrapper = wrap(file)
    wrapper.prepare()
    wrapper.peek(5000)
    wrapper.skip(20)
    assert wrapper.prepare(30) == 30
    assert wrapper.peek() == expected[20:50]
    wrapper.skip(5)
    assert wrapper.prepare() == len(CONTENT) - 25
    wrapper.peek(10)
    assert wrapper.prepare() == len(CONTENT) - 25
    assert wrapper.peek() == expected[25:]


@every_seekable
def test_preparing_again_after_a_skip_without_a_peek_goes_on_there(open_it: Opener, path: Path, wrap: Wrap) -> None:
    wrapper = wrap(open_it(path))
    wrapper.prepare()
    wrapper.skip(20)
    assert wrapper.prepare() == len(CONTENT) - 20
    assert wrapper.offset == 20


@every_seekable
def test_bytes_can_be_skipped_without_a_peek(open_it: Opener, path: Path, wrap: Wrap) -> None:
    file = open_it(path)
    expected = content_of(file)
    wrapper = wrap(file)
    wrapper.prepare()
    wrapper.peek(10)
    wrapper.skip(4000)
    assert wrapper.peek(10) == expected[4000:4010]


def test_a_file_positioned_beyond_its_end_has_nothing(path: Path, wrap: Wrap) -> None:
    file = open(path, "rb")
    file.seek(10**6)
    assert wrap(file).prepare() == 0
    assert wrap(io.BytesIO()).prepare() == 0
    assert wrap(io.BytesIO(CONTENT)).prepare(-5) == 0


@pytest.mark.parametrize("open_it", REGULAR.values(), ids=REGULAR)
def test_a_regular_file_has_a_descriptor(open_it: Opener, path: Path, wrap: Wrap) -> None:
    file = open_it(path)
    wrapper = wrap(file)
    assert wrapper.file_descriptor is None  # before prepare(), `offset` would mean nothing
    wrapper.prepare()
    assert wrapper.file_descriptor == file.fileno()
    wrapper.close()
    assert wrapper.file_descriptor is None


@pytest.mark.parametrize("open_it", PRETENDING.values(), ids=PRETENDING)
def test_a_file_that_is_not_plainly_regular_has_no_descriptor(open_it: Opener, path: Path, wrap: Wrap) -> None:
    wrapper = wrap(open_it(path))
    assert wrapper.prepare() == len(CONTENT)
    assert wrapper.file_descriptor is None


def test_a_device_and_a_file_open_for_writing_have_no_descriptor(path: Path, wrap: Wrap) -> None:
    device = wrap(open(os.devnull, "rb"))
    assert device.prepare() == 0
    assert device.file_descriptor is None
    writing = wrap(open(path, "ab", buffering=0))
    writing.seek(0)
    assert writing.prepare() == len(CONTENT)
    assert writing.file_descriptor is None


def test_a_file_that_others_closed_has_no_descriptor_and_cannot_be_read(path: Path, wrap: Wrap) -> None:
    file = open(path, "rb")
    wrapper = wrap(file)
    wrapper.prepare()
    file.close()
    with open(path, "rb"):  # takes the same number, and must not be sent in its place
        assert wrapper.file_descriptor is None
        with pytest.raises(ValueError, match="closed"):
            wrapper.peek()


def test_sendfile_sends_what_peek_shows(path: Path, wrap: Wrap) -> None:
    if sys.platform == "win32":
        pytest.skip("needs os.sendfile")
    file = open(path, "rb")
    file.read(10)  # a buffered reader: its descriptor has another position
    wrapper = wrap(file)
    wrapper.prepare(1000)
    wrapper.skip(5)
    left, right = socket.socketpair()
    with left, right:
        assert wrapper.file_descriptor is not None
        assert os.sendfile(left.fileno(), wrapper.file_descriptor, wrapper.offset, len(wrapper)) == 995
        received = right.recv(2000)
    assert received == wrapper.peek() == CONTENT[15:1010]


@pytest.mark.promise("S36")
def test_a_file_of_more_than_two_gib_is_prepared_whole(tmp_path: Path, wrap: Wrap) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as made:
        made.truncate(3 * GIB)
        made.seek(0, io.SEEK_END)
        made.write(b"tail")
    wrapper = wrap(open(path, "rb"))
    assert wrapper.prepare() == len(wrapper) == 3 * GIB + 4
    wrapper.skip(3 * GIB)
    assert wrapper.offset == 3 * GIB
    assert wrapper.peek() == b"tail"


def test_a_gzip_file_is_never_sought_back(path: Path, wrap: Wrap) -> None:
    file = gzipped(path)
    wrapper = wrap(file)
    wrapper.prepare()
    sought: list[int] = []
    file.seek = sought.append
    while len(wrapper):
        wrapper.skip(len(wrapper.peek(1000)) - len(wrapper) // 3000)
    assert sought == []


@pytest.mark.parametrize("open_it", [REGULAR["buffered"], PRETENDING["old-style"]], ids=["regular", "object"])
def test_a_file_that_became_shorter_gives_its_rest_and_then_an_error(open_it: Opener, path: Path, wrap: Wrap) -> None:
    file = open_it(path)
    wrapper = wrap(file)
    wrapper.prepare()
    if isinstance(file, OldStyle):
        file._file.truncate(50)
    else:
        os.truncate(path, 50)
    assert wrapper.peek(100) == CONTENT[:50]
    wrapper.skip(50)
    with pytest.raises(EOFError, match=f"ended {len(CONTENT) - 50} bytes early"):
        wrapper.peek(100)


def pipe(_: Path) -> Any:
    reading, writing = os.pipe()
    os.close(writing)
    return open(reading, "rb")


UNSEEKABLE: dict[str, Opener] = {
    "only-read": lambda _: OnlyRead(CONTENT),
    "pipe": pipe,
    "text": lambda path: open(path, encoding="latin-1"),
    "named-text": lambda _: tempfile.NamedTemporaryFile("w+"),
}


@pytest.mark.parametrize("open_it", UNSEEKABLE.values(), ids=UNSEEKABLE)
@pytest.mark.promise("S33")
def test_text_and_files_that_cannot_seek_are_left_to_iteration(open_it: Opener, path: Path, wrap: Wrap) -> None:
    wrapper = wrap(open_it(path))
    assert wrapper.prepare() == wrapper.prepare(5) == len(wrapper) == 0
    assert wrapper.file_descriptor is None
    assert wrapper.peek() == b""


def test_a_seek_that_fails_means_not_seekable(wrap: Wrap) -> None:
    class Broken(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            raise OSError("not this one")

    assert wrap(Broken(CONTENT)).prepare() == 0


@pytest.mark.promise("S30", "S33")
@pytest.mark.parametrize(("arguments", "size"), [((), 32768), ((1000,), 1000)], ids=["default", "given"])
def test_iteration_reads_in_pieces_of_the_block_size(arguments: tuple[int, ...], size: int, wrap: Wrap) -> None:
    file = OnlyRead(CONTENT)
    wrapper = wrap(file, *arguments)
    assert wrapper.block_size == size
    assert iter(wrapper) is wrapper
    assert b"".join(wrapper) == CONTENT
    assert set(file.sizes) == {size}


@pytest.mark.promise("S37")
def test_it_is_an_iterator_and_true_even_when_empty(wrap: Wrap) -> None:
    wrapper = wrap(io.BytesIO(b"x"))
    assert wrapper
    assert next(wrapper) == b"x"
    assert wrapper
    with pytest.raises(StopIteration):
        next(wrapper)
    empty = wrap(io.BytesIO())
    assert empty.prepare() == 0
    assert bool(empty) is True


def test_iteration_after_preparing_starts_at_the_position_of_the_file(path: Path, wrap: Wrap) -> None:
    for open_it in SEEKABLE.values():
        file = open_it(path)
        file.read(10)
        expected = content_of(file)
        wrapper = wrap(file)
        wrapper.prepare(20)
        assert b"".join(wrapper) == expected


def test_seek_tell_and_seekable_exist_only_if_the_file_has_them(wrap: Wrap) -> None:
    names = ("seek", "tell", "seekable")
    assert [hasattr(wrap(io.BytesIO()), name) for name in names] == [True, True, True]
    assert [hasattr(wrap(OldStyle(b"")), name) for name in names] == [True, True, False]
    assert [hasattr(wrap(OnlyRead(b"")), name) for name in names] == [False, False, False]
    assert not hasattr(wrap(io.BytesIO()), "readline")
    wrapper = wrap(io.BytesIO(CONTENT))
    assert wrapper.seek(7) == wrapper.tell() == 7
    assert wrapper.seekable() is True
    assert wrapper.prepare() == len(CONTENT) - 7


def test_it_cannot_be_appended_to(wrap: Wrap) -> None:
    with pytest.raises(NotImplementedError):
        wrap(io.BytesIO()).append(b"more")


@pytest.mark.promise("S35")
def test_close_closes_the_file_once_if_it_can_be_closed() -> None:
    class Counting(OnlyRead):
        closed = 0

        def close(self) -> None:
            self.closed += 1
            raise RuntimeError("the application's own")

    ReadOnlyFileBuffer(OnlyRead(b"")).close()
    file = Counting(CONTENT)
    wrapper = ReadOnlyFileBuffer(file)
    with pytest.raises(RuntimeError, match="the application's own"):
        wrapper.close()
    wrapper.close()
    assert file.closed == 1


def test_a_closed_wrapper_has_nothing() -> None:
    wrapper = ReadOnlyFileBuffer(io.BytesIO(CONTENT))
    wrapper.prepare()
    wrapper.peek(10)
    wrapper.close()
    assert wrapper.prepare() == len(wrapper) == 0
    assert wrapper.peek() == b""


@pytest.mark.promise("S34", "S35", "S86")
def test_no_descriptor_is_made_or_left(path: Path) -> None:
    before = open_descriptors()
    for _ in range(10):
        wrapper = ReadOnlyFileBuffer(open(path, "rb"))
        wrapper.prepare()
        wrapper.peek()
        assert open_descriptors() == before + 1
        wrapper.close()
        assert open_descriptors() == before
