"""MemoryBuffer: what is copied, and what it costs."""

import io
import sys
import time
from collections.abc import Callable

import pytest

from tests.buffers.helpers import GIB
from waitress_buffers import MemoryBuffer
from waitress_buffers.memory import GATHERED_BYTES, KEPT_BYTES


def seconds_of(work: Callable[[], object]) -> float:
    """Return the processor time of `work`, the best of three: other work of the machine only adds to it."""
    durations = []
    for _ in range(3):
        start = time.process_time()
        work()
        durations.append(time.process_time() - start)
    return min(durations)


def test_one_bytes_object_comes_out_as_it_went_in() -> None:
    for data in (b"small", bytes(100_000)):
        queue = MemoryBuffer()
        queue.append(data)
        assert queue.peek() is data


def test_a_part_of_a_large_piece_is_peeked_without_copying() -> None:
    data = bytes(100_000)
    queue = MemoryBuffer()
    queue.append(data)
    queue.skip(10)
    part = queue.peek(50_000)
    assert isinstance(part, memoryview)
    assert part.obj is data


def test_a_large_piece_after_others_is_kept_without_copying() -> None:
    data = bytes(KEPT_BYTES)
    queue = MemoryBuffer()
    queue.append(b"small")
    queue.append(data)
    queue.skip(5)
    assert queue.peek() is data


def test_joined_pieces_are_joined_once() -> None:
    queue = MemoryBuffer()
    queue.append(b"head")
    queue.append(bytes(100_000))
    assert queue.peek() is queue.peek()


def test_small_pieces_cost_little_more_than_their_content() -> None:
    queue = MemoryBuffer()
    for number in range(100_000):
        queue.append(number.to_bytes(3, "big"))
    assert queue._rest is not None
    held = sum(sys.getsizeof(piece, 0) for piece in queue._rest)
    assert held < 1.5 * len(queue) + 1000
    assert max(len(piece) for piece in queue._rest) < GATHERED_BYTES + KEPT_BYTES


@pytest.mark.promise("S36")
def test_more_than_two_gib_are_counted_correctly() -> None:
    piece = bytes(64 << 20)  # kept, not copied: one such object however often it is appended
    queue = MemoryBuffer()
    for _ in range(40):
        queue.append(piece)
    queue.append(b"tail")
    assert len(queue) == 40 * len(piece) + 4 > 2 * GIB
    queue.skip(40 * len(piece))
    assert queue.peek() == b"tail"


def test_a_huge_piece_in_small_steps_costs_no_more_per_step_than_a_small_one() -> None:
    def consume(size: int, steps: int) -> None:
        queue = MemoryBuffer()
        queue.append(bytes(size))
        for _ in range(steps):
            queue.peek(50)
            queue.skip(50)
            queue.prune()

    # Slicing what remains at each step would take half a minute for the huge one.
    assert seconds_of(lambda: consume(64 << 20, 2000)) < 20 * seconds_of(lambda: consume(100_000, 2000)) + 1


def test_the_cost_of_tiny_pieces_is_proportional_to_their_number() -> None:
    def fill_and_drain(count: int) -> None:
        queue = MemoryBuffer()
        for _ in range(count):
            queue.append(b"ab")
        while queue:
            queue.skip(len(queue.peek(1000)))

    # Shifting the rest at each step would take a minute for the many.
    assert seconds_of(lambda: fill_and_drain(200_000)) < 40 * seconds_of(lambda: fill_and_drain(20_000)) + 1


def test_pruning_frees_the_consumed_part_of_a_piece() -> None:
    queue = MemoryBuffer()
    queue.append(bytes(100_000) + b"tail")
    queue.skip(100_000)
    assert len(queue._front) == 100_004
    queue.prune()
    assert queue._front == queue.peek() == b"tail"


def test_pruning_copies_no_more_than_was_consumed() -> None:
    data = bytes(100_000)
    queue = MemoryBuffer()
    queue.append(data)
    queue.skip(10)
    queue.prune()
    assert queue._front is data


@pytest.mark.promise("S38")
def test_a_drained_queue_holds_no_content() -> None:
    queue = MemoryBuffer()
    for _ in range(5):
        queue.append(bytes(5000))
    queue.skip(25_000)
    assert queue._front == b""
    assert queue._rest is None


def test_an_empty_queue_is_small() -> None:
    queue = MemoryBuffer()
    assert not hasattr(queue, "__dict__")
    assert sys.getsizeof(queue, 0) < 150


def test_the_opened_file_is_valid_after_close() -> None:
    queue = MemoryBuffer()
    queue.append(b"content")
    file = queue.open_file()
    queue.close()
    assert isinstance(file, io.BytesIO)
    assert file.read() == b"content"
