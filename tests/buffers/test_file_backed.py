"""FileBuffer: its file, and its state after storage fails."""

import errno
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

import pytest

from tests.buffers.helpers import GIB, open_descriptors, run_python
from waitress_buffers import FileBuffer, StorageFullError, StorageUnavailableError, file_backed, positioned

no_limits_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource: setrlimit")
needs_a_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")


def size_on_disk(queue: FileBuffer) -> int:
    assert queue._file is not None
    return os.fstat(queue._file.fileno()).st_size


def test_the_first_byte_creates_the_file_and_nothing_before_it_does(tmp_path: Path) -> None:
    before = open_descriptors()
    queue = FileBuffer(str(tmp_path / "missing"))
    queue.append(b"")
    queue.prune()
    assert open_descriptors() == before
    assert queue.open_file().read() == b""
    queue.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs files without a name: Windows removes them at close")
def test_the_file_has_no_name(tmp_path: Path) -> None:
    queue = FileBuffer(str(tmp_path))
    queue.append(b"content")
    assert list(tmp_path.iterdir()) == []
    queue.close()


@pytest.mark.promise("S86")
def test_no_descriptor_and_no_file_outlives_close(tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(10):
        queue = FileBuffer(str(tmp_path))
        queue.append(b"content")
        with queue.open_file() as file:
            assert open_descriptors() == before + 1
            assert file.read() == b"content"
        queue.close()
    assert open_descriptors() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("S36")
def test_more_than_two_gib_are_read_and_written(tmp_path: Path) -> None:
    queue = FileBuffer(str(tmp_path))
    queue.append(b"head")
    assert queue._file is not None
    queue._file.truncate(3 * GIB)  # a hole, as if so much had been appended
    queue._end = 3 * GIB
    queue.append(b"tail")
    assert len(queue) == 3 * GIB + 4
    assert queue.peek(4) == b"head"
    with queue.open_file() as file:
        assert file.seek(-6, io.SEEK_END) == 3 * GIB - 2
        assert file.read() == b"\0\0tail"
    queue.skip(3 * GIB)
    assert queue.peek() == b"tail"
    queue.close()


def test_data_is_written_from_the_callers_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    write_at = positioned.write_at
    sources = []

    def spy(file: IO[bytes], data: memoryview, offset: int) -> int:
        sources.append(data.obj)
        return write_at(file, data, offset)

    monkeypatch.setattr(positioned, "write_at", spy)
    data = bytearray(b"some content")
    queue = FileBuffer()
    queue.append(memoryview(data)[5:])
    assert sources == [data]
    assert sources[0] is data
    assert queue.peek() == b"content"
    queue.close()


def test_a_failed_append_leaves_the_buffer_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FileBuffer(str(tmp_path))
    queue.append(b"held before")
    queue.skip(5)
    write_at = positioned.write_at

    def full_at_fourteen(file: IO[bytes], data: memoryview, offset: int) -> int:
        if offset >= 14:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with data[: 14 - offset] as part:
            return write_at(file, part, offset)

    with monkeypatch.context() as patch:
        patch.setattr(positioned, "write_at", full_at_fourteen)
        data = bytearray(b"lost")
        with pytest.raises(StorageFullError) as raised:
            queue.append(data)
        data.clear()  # no view of it is left, though the error is
    assert raised.value.directory == str(tmp_path)
    assert isinstance(raised.value.__cause__, OSError)
    assert size_on_disk(queue) == len(b"held before")
    assert queue.peek() == b"before"
    queue.append(b" and after")
    assert queue.peek() == b"before and after"
    queue.close()


@needs_a_full_device
def test_a_full_device_is_a_full_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: io.FileIO("/dev/full", "r+"))
    before = open_descriptors()
    queue = FileBuffer()
    with pytest.raises(StorageFullError) as raised:
        queue.append(b"lost")
    assert raised.value.errno == errno.ENOSPC
    assert not queue
    queue.close()
    assert open_descriptors() == before


@no_limits_on_windows
def test_a_file_at_its_size_limit_is_a_full_storage_that_keeps_its_content(tmp_path: Path) -> None:
    program = """
import resource, sys
from waitress_buffers import FileBuffer, StorageFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
queue = FileBuffer(sys.argv[1])
queue.append(bytes(9_990))
try:
    queue.append(b"twenty bytes, twenty")
except StorageFullError as error:
    print(error.directory == sys.argv[1], error.__cause__.errno == error.errno)
queue.skip(9_980)
queue.append(b"ten bytes.")
print(queue.peek())
queue.close()
"""
    assert run_python(program, tmp_path) == f"True True\n{bytes(10) + b'ten bytes.'!r}\n"


@no_limits_on_windows
def test_no_descriptor_left_is_an_unavailable_storage(tmp_path: Path) -> None:
    program = """
import errno, os, resource, sys
from waitress_buffers import FileBuffer, OverflowBuffer, StorageUnavailableError
queue, overflow = FileBuffer(sys.argv[1]), OverflowBuffer(5, sys.argv[1])
overflow.append(b"held")
spare = os.open(os.devnull, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, spare + 1))
for each in (queue, overflow):
    try:
        each.append(b" more")
    except StorageUnavailableError as error:
        print(error.errno == errno.EMFILE, error.directory == sys.argv[1])
    print(each.peek())
os.close(spare)
overflow.append(b" again")
print(overflow.peek(), overflow.is_on_disk)
overflow.close()
queue.append(b"now")
print(queue.peek())
queue.close()
"""
    assert run_python(program, tmp_path).splitlines() == [
        "True True",
        "b''",
        "True True",
        "b'held'",
        "b'held again' True",
        "b'now'",
    ]


@pytest.mark.parametrize("place", ["missing", "a file/below it"], ids=["missing", "below-a-file"])
def test_a_folder_that_cannot_be_used_is_an_unavailable_storage(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_bytes(b"")
    folder = str(tmp_path / place)
    before = open_descriptors()
    queue = FileBuffer(folder)
    with pytest.raises(StorageUnavailableError) as raised:
        queue.append(b"lost")
    assert raised.value.directory == folder
    assert repr(folder) in str(raised.value)
    assert raised.value.errno in (errno.ENOENT, errno.ENOTDIR)
    assert isinstance(raised.value.__cause__, OSError)
    assert not queue
    queue.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("failing", ["peek", "prune", "read all of the file", "read some of the file"])
def test_a_read_that_fails_is_an_unavailable_storage_and_loses_nothing(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: IO[bytes], wanted: object, offset: int) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    queue = FileBuffer()
    queue.append(b"consumed content")
    queue.skip(9)
    file = queue.open_file() if failing.endswith("file") else io.BytesIO()
    calls: dict[str, Callable[[], object]] = {
        "peek": queue.peek,
        "prune": queue.prune,
        "read all of the file": file.read,
        "read some of the file": lambda: file.read(3),
    }
    with monkeypatch.context() as patch:
        patch.setattr(positioned, "read_at", broken)
        patch.setattr(positioned, "read_into_at", broken)
        with pytest.raises(StorageUnavailableError) as raised:
            calls[failing]()
    assert raised.value.errno == errno.EIO
    assert type(raised.value.__cause__) is OSError
    assert queue.peek() == b"content"
    file.close()
    queue.close()


def test_a_file_that_lost_its_end_is_an_error_and_not_less_data() -> None:
    queue = FileBuffer()
    queue.append(b"content")
    assert queue._file is not None
    queue._file.truncate(3)
    with pytest.raises(StorageUnavailableError, match="ended 4 bytes early"):
        queue.peek()
    with queue.open_file() as file, pytest.raises(StorageUnavailableError, match="ended 4 bytes early"):
        file.read(7)
    queue.close()


def test_a_move_that_fails_half_way_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed, "MOVED_BYTES", 4)
    write_at = positioned.write_at

    def full_at_four(file: IO[bytes], data: memoryview, offset: int) -> int:
        if offset == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_at(file, data, offset)

    queue = FileBuffer()
    queue.append(b"ten bytes." + b"content")
    queue.skip(10)
    with monkeypatch.context() as patch:
        patch.setattr(positioned, "write_at", full_at_four)
        with pytest.raises(StorageFullError):
            queue.prune()
        patch.setattr(file_backed, "RECLAIMED_BYTES", 10)
        queue.append(b" and more")  # would prune by itself; that it cannot is no reason to fail
    assert queue.peek() == b"content and more"
    queue.close()


def test_pruning_releases_the_disk_space_of_consumed_bytes() -> None:
    queue = FileBuffer()
    queue.append(bytes(1_000_000) + b"content")
    queue.skip(400_000)
    queue.prune()
    assert size_on_disk(queue) == 1_000_007  # more is unread than was consumed: moving it would cost too much
    queue.skip(600_000)
    queue.prune()
    assert size_on_disk(queue) == 7
    assert queue.peek() == b"content"
    queue.skip(7)
    queue.prune()
    assert size_on_disk(queue) == 0
    queue.close()


def test_a_stream_that_is_never_drained_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed, "RECLAIMED_BYTES", 50_000)
    queue = FileBuffer()
    queue.append(bytes(1000))
    sizes = []
    for _ in range(500):
        queue.append(bytes(1000))
        queue.skip(1000)
        sizes.append(size_on_disk(queue))
    assert max(sizes) < 55_000
    assert len(queue) == 1000
    queue.close()


def test_a_drained_file_is_written_from_its_start_again() -> None:
    queue = FileBuffer()
    for _ in range(10):
        queue.append(bytes(1000))
        queue.skip(1000)
    assert size_on_disk(queue) == 1000
    queue.close()


def test_an_opened_file_keeps_its_bytes_in_place() -> None:
    queue = FileBuffer()
    queue.append(b"first")
    with queue.open_file() as file:
        queue.skip(5)
        queue.prune()
        queue.append(b"other")
        assert file.read() == b"first"
    assert queue.peek() == b"other"
    queue.close()


def test_an_opened_file_is_closed_with_its_queue() -> None:
    queue = FileBuffer()
    queue.append(bytes(200_000))
    file = queue.open_file()
    assert len(file.read(10)) == 10
    queue.close()
    descriptor = os.open(__file__, os.O_RDONLY)  # takes the number that the queue gave back
    try:
        with pytest.raises(ValueError, match="closed"):
            file.read(150_000)
    finally:
        os.close(descriptor)
        file.close()


def test_an_error_on_closing_the_file_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    class LateError(io.BytesIO):
        def close(self) -> None:
            super().close()
            raise OSError(errno.EIO, "could not write all")

    queue = FileBuffer()
    queue._file = LateError()
    queue.close()
    assert not queue
