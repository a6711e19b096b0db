"""The queue by which threads wait, of the standard library or of what a program has put into `threading`."""

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from waitress_core.threads.message_queue import GreenQueue, MessageQueue, message_queue

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once

each_queue = pytest.mark.parametrize("make", [message_queue, GreenQueue], ids=["stock", "green"])


@each_queue
def test_items_leave_in_the_order_in_which_they_came(make: Callable[[], MessageQueue[int]]) -> None:
    made = make()
    for item in range(3):
        made.put(item)
    assert made.qsize() == 3
    assert [made.get(), made.get(), made.get()] == [0, 1, 2]
    assert made.qsize() == 0


@each_queue
def test_a_thread_waits_for_an_item(make: Callable[[], MessageQueue[int]]) -> None:
    made = make()
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(made.get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for item in range(4):
        made.put(item)
    for thread in threads:
        thread.join(SOON)
    assert sorted(got) == [0, 1, 2, 3]


def test_threads_of_the_interpreter_get_the_queue_of_the_standard_library() -> None:
    assert isinstance(message_queue(), queue.SimpleQueue)


def _patched_lock() -> Any:
    class Lock:
        """A lock of greenlets, as the module that patches has it."""

    return Lock()


class _PatchedQueue:
    """A queue of greenlets, where threads are real."""


@pytest.mark.parametrize(
    ("owner", "name", "patch"),
    [(threading, "Lock", _patched_lock), (queue, "SimpleQueue", _PatchedQueue)],
    ids=["threads", "queues-only"],
)
def test_where_threads_or_queues_are_patched_the_queue_waits_as_threads_do(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, patch: Any
) -> None:
    monkeypatch.setattr(owner, name, patch)
    with monkeypatch.context() as context:
        context.setattr(threading, "Semaphore", lambda value: f"a semaphore of {value}")
        made: MessageQueue[int] = message_queue()
    assert isinstance(made, GreenQueue)
    assert vars(made)["_count"] == "a semaphore of 0"
