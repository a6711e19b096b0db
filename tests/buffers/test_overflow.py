"""OverflowBuffer: when it is in memory, when on disk, and its state after a failed spill."""

import sys
from pathlib import Path

import pytest

from tests.buffers.helpers import open_descriptors
from waitress_buffers import OverflowBuffer, StorageUnavailableError


def test_it_is_in_memory_below_the_overflow_and_on_disk_from_there() -> None:
    before = open_descriptors()
    queue = OverflowBuffer(10)
    queue.append(b"123456789")
    assert not queue.is_on_disk
    assert open_descriptors() == before
    queue.append(b"0")
    assert queue.is_on_disk
    assert open_descriptors() == before + 1
    assert queue.peek() == b"1234567890"
    queue.close()


def test_only_unread_bytes_count() -> None:
    queue = OverflowBuffer(10)
    for _ in range(100):
        queue.append(b"123456")
        queue.skip(6)
    assert not queue.is_on_disk


def test_an_overflow_of_zero_means_always_on_disk() -> None:
    queue = OverflowBuffer(0)
    queue.append(b"")
    assert not queue.is_on_disk
    queue.append(b"1")
    assert queue.is_on_disk
    queue.close()


def test_a_negative_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match="overflow -1 is negative"):
        OverflowBuffer(-1)


@pytest.mark.promise("S38", "S86")
def test_a_drained_queue_is_back_in_memory_without_its_descriptor() -> None:
    before = open_descriptors()
    queue = OverflowBuffer(10)
    for _ in range(10):
        queue.append(b"123456")
        queue.append(b"7890..")
        assert queue.is_on_disk
        queue.skip(11)
        assert queue.is_on_disk
        queue.skip(1)
        assert not queue.is_on_disk
        assert open_descriptors() == before
    queue.append(b"small")
    assert not queue.is_on_disk
    assert queue.peek() == b"small"


def test_a_drained_queue_keeps_a_file_that_was_opened() -> None:
    before = open_descriptors()
    queue = OverflowBuffer(5)
    queue.append(b"content")
    with queue.open_file() as file:
        queue.skip(7)
        assert file.read() == b"content"
    queue.close()
    assert open_descriptors() == before


def test_a_spill_that_fails_leaves_the_content_readable(tmp_path: Path) -> None:
    before = open_descriptors()
    queue = OverflowBuffer(10, str(tmp_path / "missing"))
    queue.append(b"held ")
    queue.append(b"here")
    for _ in range(3):
        with pytest.raises(StorageUnavailableError):
            queue.append(b"too much")
    assert not queue.is_on_disk
    assert queue.peek() == b"held here"
    with queue.open_file() as file:
        assert file.read() == b"held here"
    queue.skip(5)
    queue.append(b"!")
    assert queue.peek() == b"here!"
    queue.close()
    queue.close()
    assert open_descriptors() == before


def test_an_interrupted_spill_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    before = open_descriptors()
    queue = OverflowBuffer(10)
    queue.append(b"held")
    with monkeypatch.context() as patch:
        patch.setattr("waitress_buffers.positioned.write_at", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.append(b"too much")
    assert open_descriptors() == before
    assert queue.peek() == b"held"


def test_a_large_append_goes_to_the_file_without_passing_through_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(*_: object) -> None:
        raise AssertionError("copied into memory")

    queue = OverflowBuffer(10)
    with monkeypatch.context() as patch:
        patch.setattr("waitress_buffers.MemoryBuffer.append", not_here)
        queue.append(memoryview(bytearray(1000)))
    assert queue.is_on_disk
    queue.close()


def test_an_empty_queue_is_small_and_opens_nothing() -> None:
    before = open_descriptors()
    queue = OverflowBuffer(1)
    assert not hasattr(queue, "__dict__")
    assert sys.getsizeof(queue, 0) < 150
    assert open_descriptors() == before
