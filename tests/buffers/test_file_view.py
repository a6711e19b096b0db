"""FileView: a range of bytes as a raw file."""

import errno
import io

import pytest

from waitress_buffers import positioned
from waitress_buffers.file_view import FileView

CONTENT = b"0123456789"


def read(size: int, offset: int) -> bytes:
    assert 0 < size <= len(CONTENT) - offset
    return CONTENT[offset : offset + size]


def read_into(target: memoryview, offset: int) -> int:
    with target.cast("B") as as_bytes:
        as_bytes[:] = read(len(as_bytes), offset)
        return len(as_bytes)


def view_of(start: int, end: int) -> FileView:
    return FileView(read, read_into, start, end)


def test_it_has_its_range_and_no_more() -> None:
    view = view_of(2, 6)
    assert view.read() == b"2345"
    assert view.read(1) == b""
    assert view.seek(-1, io.SEEK_END) == 3
    assert view.read(5) == b"5"
    assert view.seek(-3, io.SEEK_CUR) == 1
    assert view.read(2) == b"34"
    assert view.tell() == 3


def test_reading_all_is_one_read() -> None:
    reads: list[tuple[int, int]] = []

    def read(size: int, offset: int) -> bytes:
        reads.append((size, offset))
        return bytes(size)

    with io.BufferedReader(FileView(read, read_into, 0, 1_000_000)) as file:
        assert len(file.read()) == 1_000_000
    assert reads == [(1_000_000, 0)]


def test_it_reads_into_any_writable_buffer() -> None:
    target = bytearray(b"........")
    assert view_of(0, 3).readinto(memoryview(target)[1:7].cast("H")) == 3
    assert target == b".012...."
    view = view_of(0, 10)
    assert view.readinto(target) == 8
    assert view.readinto(bytearray()) == 0
    assert view.readinto(target) == 2
    assert target == b"89234567"


def test_one_read_into_a_buffer_is_no_more_than_one_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positioned, "MAX_CALL_BYTES", 3)
    view = view_of(0, 10)
    assert view.readinto(bytearray(8)) == 3
    assert view.tell() == 3
    with io.BufferedReader(view) as file:
        assert file.read(7) == b"3456789"


def test_the_error_of_a_read_holds_no_view_of_the_target() -> None:
    def fail(target: memoryview, offset: int) -> int:
        raise OSError(errno.EIO, "broken")

    target = bytearray(20)
    for end in (20, 10):
        view = FileView(read, fail, 0, end)
        with pytest.raises(OSError, match="broken") as raised:
            view.readinto(target)
        target.append(0)  # BufferError if something had a view of it
        assert raised.value.__traceback__ is not None
        assert view.tell() == 0


def test_beyond_the_end_is_nothing_and_before_the_start_is_refused() -> None:
    view = view_of(2, 6)
    assert view.seek(100) == 100
    assert view.read() == view.read(5) == b""
    for offset, whence in ((-1, io.SEEK_SET), (-101, io.SEEK_CUR), (-5, io.SEEK_END)):
        with pytest.raises(ValueError, match="before the start"):
            view.seek(offset, whence)
    with pytest.raises(ValueError, match="whence 9"):
        view.seek(0, 9)
    assert view.tell() == 100


def test_it_cannot_be_written_and_has_no_descriptor() -> None:
    view = view_of(0, 10)
    assert not view.writable()
    with pytest.raises(io.UnsupportedOperation):
        view.fileno()


def test_a_closed_view_refuses_everything() -> None:
    view = view_of(0, 10)
    view.close()
    for call in (view.read, view.readall, view.tell, lambda: view.seek(0), lambda: view.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            call()
