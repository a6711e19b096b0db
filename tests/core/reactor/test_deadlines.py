"""DeadlineQueue: which descriptors are due, in which order, at which cost."""

import pytest

from waitress_core.reactor.deadlines import DeadlineQueue

A, B, C = 7, 8, 9  # descriptors


def queue_of(seconds: float, *armed: tuple[int, float]) -> DeadlineQueue[str]:
    queue = DeadlineQueue[str](seconds, lambda handler: None)
    for descriptor, at in armed:
        queue.arm(descriptor, at)
    return queue


def due(queue: DeadlineQueue[str], now: float) -> list[int]:
    """Remove all that are due, and return them."""
    descriptors = []
    while (descriptor := queue.pop_due(now)) is not None:
        descriptors.append(descriptor)
    return descriptors


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (109.9, []),
        (110.0, [A]),
        (110.9, [A]),
        (111.0, [A, B]),
        (1000.0, [A, B, C]),
        (0.0, []),
    ],
)
def test_descriptors_are_due_after_the_seconds_in_the_order_of_arming(now: float, expected: list[int]) -> None:
    queue = queue_of(10, (A, 100), (B, 101), (C, 102))
    assert due(queue, now) == expected
    assert len(queue) == 3 - len(expected)


def test_a_queue_keeps_what_to_call_for_a_handler_that_is_due() -> None:
    called: list[str] = []
    queue = DeadlineQueue[str](10, called.append)
    queue.on_due("handler")
    assert called == ["handler"]


def test_a_descriptor_is_due_once() -> None:
    queue = queue_of(10, (A, 100))
    assert due(queue, 200) == [A]
    assert due(queue, 300) == []


def test_arming_again_restarts_the_time_and_goes_to_the_end() -> None:
    queue = queue_of(10, (A, 100), (B, 101), (A, 102))
    assert len(queue) == 2
    assert due(queue, 111) == [B]
    assert due(queue, 112) == [A]


def test_a_disarmed_descriptor_is_never_due() -> None:
    queue = queue_of(10, (A, 100), (B, 100))
    queue.disarm(A)
    queue.disarm(C)  # which was never armed
    assert due(queue, 200) == [B]


def test_a_descriptor_that_is_armed_when_it_is_due_waits_its_whole_time() -> None:
    queue = queue_of(10, (A, 100))
    assert queue.pop_due(200) == A
    queue.arm(A, 200)
    assert due(queue, 209) == []
    assert due(queue, 210) == [A]


def test_the_longest_armed_is_the_one_that_is_due_next() -> None:
    queue = queue_of(10)
    assert queue.longest_armed() is None
    queue.arm(A, 100)
    queue.arm(B, 101)
    assert queue.longest_armed() == (A, 100)
    queue.arm(A, 102)
    assert queue.longest_armed() == (B, 101)


def test_checking_a_long_queue_touches_its_front_only() -> None:
    hashes = 0

    class Counted(int):
        def __hash__(self) -> int:
            nonlocal hashes
            hashes += 1
            return int(self)

    queue = DeadlineQueue[str](10, lambda handler: None)
    for number in range(1000):
        queue.arm(Counted(number), 100)
    hashes = 0
    assert queue.pop_due(105) is None
    assert queue.pop_due(110) is not None
    assert hashes < 5


def test_a_queue_knows_since_when_a_descriptor_is_armed() -> None:
    queue = queue_of(10, (A, 100))
    assert (queue.armed_at(A), queue.armed_at(B)) == (100, None)
