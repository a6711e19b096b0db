"""Reading and writing all bytes at an offset."""

import errno
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from waitress_buffers import positioned


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile(buffering=0) as opened:
        yield opened


def test_more_bytes_than_one_call_moves_take_several(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positioned, "MAX_CALL_BYTES", 7)
    data = bytes(range(100))
    positioned.write_fully(file, data, 5)
    assert positioned.read_fully(file, 100, 5) == data
    assert positioned.read_fully(file, 105, 0) == bytes(5) + data


def test_calls_that_do_less_than_asked_are_continued(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    read_at, write_at = positioned.read_at, positioned.write_at
    monkeypatch.setattr(positioned, "read_at", lambda file, size, offset: read_at(file, min(size, 3), offset))
    monkeypatch.setattr(positioned, "write_at", lambda file, data, offset: write_at(file, data[:3], offset))
    positioned.write_fully(file, b"ten bytes.", 0)
    assert positioned.read_fully(file, 10, 0) == b"ten bytes."


@pytest.mark.parametrize("way", [positioned.read_into_at, positioned.read_into_at_by_copy])
def test_a_read_into_a_buffer_fills_its_start_with_what_the_file_has(
    way: Callable[[IO[bytes], memoryview, int], int], file: IO[bytes]
) -> None:
    positioned.write_fully(file, b"short", 0)
    target = bytearray(b"......")
    with memoryview(target) as view, view.cast("H") as pairs:
        assert way(file, view, 2) == 3
        assert target == b"ort..."
        assert way(file, pairs, 0) == 5
        assert way(file, view, 5) == 0
    assert target == b"short."


def test_reading_past_the_end_gives_the_bytes_before_it(file: IO[bytes]) -> None:
    positioned.write_fully(file, b"short", 0)
    assert positioned.read_fully(file, 100, 2) == b"ort"
    assert positioned.read_fully(file, 100, 50) == b""


def test_a_write_that_takes_nothing_is_an_error_and_no_endless_loop(
    file: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positioned, "write_at", lambda file, data, offset: 0)
    with pytest.raises(OSError) as raised:
        positioned.write_fully(file, b"data", 0)
    assert raised.value.errno == errno.ENOSPC


def test_the_error_of_a_write_holds_no_view_of_the_data(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: IO[bytes], data: memoryview, offset: int) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(positioned, "write_at", fail)
    data = bytearray(b"data")
    with pytest.raises(OSError, match="broken") as raised:
        positioned.write_fully(file, data, 0)
    data.clear()  # BufferError if something had a view of it
    assert raised.value.__traceback__ is not None
