"""The queue of the application threads: what waits is counted once, whoever takes it, gives it up or loses it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from waitress_core import Dispatcher
from waitress_core.threads.running import ThreadSlot
from waitress_core.threads.task_queue import TaskQueue
from waitress_core.threads.tasks import InternalTask

SOON = 20.0
STOP = "stop"


@pytest.fixture
def queue() -> TaskQueue[str]:
    return TaskQueue(1, 0.1)


def task() -> Any:
    return object()


class Internal(InternalTask):
    def service(self) -> None:
        raise AssertionError("no thread runs it")

    cancel = service


def test_tasks_and_messages_come_in_the_order_in_which_they_were_put(queue: TaskQueue[str]) -> None:
    first, second = task(), task()
    queue.put_task(first)
    queue.put(STOP)
    queue.put_task(second)
    taken = [queue.get() for _ in range(3)]
    assert [item[0] if isinstance(item, tuple) else item for item in taken] == [first, STOP, second]


def test_what_no_thread_is_free_for_waits(queue: TaskQueue[str]) -> None:
    slot = ThreadSlot()
    assert (queue.waiting_count, queue.busy_count, queue.oldest_waiting_seconds) == (0, 0, 0)
    queue.put_task(task())
    queue.put_task(task())
    assert (queue.waiting_count, queue.busy_count) == (1, 1)
    assert queue.oldest_waiting_seconds >= 0
    queue.get()
    queue.release(slot)
    assert (queue.waiting_count, queue.busy_count) == (0, 1)


def test_internal_tasks_that_wait_are_no_requests_that_wait(queue: TaskQueue[str]) -> None:
    slot = ThreadSlot()
    queue.put_task(task())
    queue.get()
    for _ in range(3):
        queue.put_task(Internal())
    assert (queue.waiting_count, queue.busy_count, queue.oldest_waiting_seconds) == (0, 1, 0)
    queue.put_task(task())
    assert queue.waiting_count == 1
    assert queue.oldest_waiting_seconds > 0
    for _ in range(3):
        queue.release(slot)
        queue.get()
        assert queue.waiting_count == 1
    queue.release(slot)
    queue.get()
    assert (queue.waiting_count, queue.busy_count, queue.oldest_waiting_seconds) == (0, 1, 0)
    queue.put_task(Internal())
    assert len(queue.take_tasks(lambda one: False)) == 1
    queue.put_task(task())
    assert queue.waiting_count == 1


class Changing(deque[Any]):
    """Changed by another thread at each moment: it has no items when they are asked for, and cannot be iterated."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("deque mutated during iteration")

    def copy(self) -> Changing:
        return Changing(iter(self))

    def __getitem__(self, index: Any) -> Any:
        raise IndexError(index)


def test_what_other_threads_change_meanwhile_is_read_without_an_error(queue: TaskQueue[str]) -> None:
    queue._items = Changing([(task(), 0.0)])
    assert queue.oldest_waiting_seconds == 0
    dispatcher = Dispatcher(1)
    dispatcher.ready = Changing([task()])
    assert dispatcher.ready_count == 0
    dispatcher.ready = deque([task(), Internal(), task()])
    assert dispatcher.ready_count == 2


@pytest.mark.parametrize("warning_seconds", [0.0, 1e-9], ids=["each", "late"])
def test_no_internal_task_makes_a_queue_that_is_logged(
    warning_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    queue: TaskQueue[str] = TaskQueue(1, warning_seconds)
    queue.put_task(task())
    queue.get()
    queue.put_task(internal := Internal())
    queue.tick()
    queue.release(ThreadSlot())
    taken = queue.get()
    assert isinstance(taken, tuple)
    queue.note_start(internal, taken[1], taken[1] + 1)
    assert not caplog.records
    queue.put_task(task())
    queue.tick()
    assert [record.getMessage() for record in caplog.records] == ["Task queue depth is 1"]


def test_a_thread_is_reserved_only_while_one_is_free(queue: TaskQueue[str]) -> None:
    assert queue.reserve_thread()
    assert not queue.reserve_thread()
    queue.release(ThreadSlot())
    assert queue.reserve_thread()


def test_a_lost_thread_is_counted_once(queue: TaskQueue[str]) -> None:
    slot, running = ThreadSlot(), task()
    queue.put_task(running)
    queue.get()
    slot.running = (running, 0.0)
    assert not queue.lose_thread(slot, task())  # it runs another one
    assert queue.lose_thread(slot, running)
    assert not queue.lose_thread(slot, running)
    assert queue.busy_count == 0
    queue.release(slot)
    queue.put_task(task())
    assert queue.busy_count == 1


def test_tasks_that_are_taken_back_wake_a_thread_for_nothing_and_messages_stay(queue: TaskQueue[str]) -> None:
    stays, goes = task(), task()
    queue.put_task(goes)
    queue.put(STOP)
    queue.put_task(stays)
    assert queue.take_tasks(lambda one: one is stays) == [goes]
    taken = [queue.get() for _ in range(4)]
    assert [item[0] if isinstance(item, tuple) else item for item in taken if item is not None] == [STOP, stays]
    queue.release(ThreadSlot())
    assert queue.busy_count == 0


def test_an_item_without_a_wake_up_gets_one(queue: TaskQueue[str]) -> None:
    queue._items.append(STOP)
    taken: list[Any] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.get()), daemon=True)
    waiting.start()
    queue.wake_for_all()
    waiting.join(SOON)
    assert taken == [STOP]


def test_a_forked_child_finds_an_empty_queue_and_no_lock_held(queue: TaskQueue[str]) -> None:
    queue.put_task(task())
    assert queue._lock.acquire()
    queue.abandon_after_fork()
    queue.put(STOP)
    queue.put_task(task())
    assert queue.get() == STOP
