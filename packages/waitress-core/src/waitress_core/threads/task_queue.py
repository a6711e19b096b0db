"""The queue of the application threads: tasks that wait for one of them, and messages to them.

It counts what waits or is worked on, and reports a queue that is worth a log record. An internal task that waits is no
request: its thread is busy with it, but the queue is no longer for it. Items are taken in the order in which they were
put.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from ..safe_logger import SafeLogger
from .message_queue import MessageQueue, message_queue
from .queue_log import QueueLog
from .running import ThreadSlot
from .tasks import InternalTask, Task

logger = SafeLogger(logging.getLogger("waitress.queue"))

Message = TypeVar("Message")

_now = time.perf_counter


class TaskQueue(Generic[Message]):
    """Tasks, each with the instant at which it was queued, and messages. Thread: any, unless a method says which."""

    def __init__(self, thread_count: int, warning_seconds: float) -> None:
        self.thread_count = thread_count  # of application threads; set before they start
        # For each item there is a wake-up. Threads wait for a wake-up, then take an item: an exception that another
        # thread raises in one of them arrives when its wait ends, and a task in its hands would be lost.
        self._items: deque[tuple[Task, float] | Message] = deque()
        self._wake_ups: MessageQueue[None] = message_queue()
        # Guarded by self._lock: without it two threads could count one item once, and `reserve_thread` could promise
        # a thread that is busy
        self._lock = threading.Lock()
        self._outstanding = 0  # items that are waiting, or that an application thread works on
        self._internal = 0  # internal tasks that are waiting
        self._log = QueueLog(warning_seconds)

    # --- what there is

    @property
    def waiting_count(self) -> int:
        """Requests that no thread is free for."""
        return max(0, self._depth())

    def _depth(self) -> int:
        """Return how many requests no thread is free for; below 0 if more threads are free."""
        return self._outstanding - self.thread_count - self._internal

    @property
    def busy_count(self) -> int:
        """Threads that work on an item."""
        return min(self._outstanding, self.thread_count)

    @property
    def oldest_waiting_seconds(self) -> float:
        """For how long the oldest request has waited; 0 with none."""
        with suppress(IndexError):  # By index: without the GIL no deque can be iterated that others change
            for index in range(len(self._items)):
                item = self._items[index]
                if isinstance(item, tuple) and not isinstance(item[0], InternalTask):
                    return max(0.0, _now() - item[1])
        return 0.0

    # --- putting

    def put_task(self, task: Task) -> None:
        """Queue a task."""
        now, is_internal = _now(), isinstance(task, InternalTask)
        with self._lock:
            self._outstanding += 1
            self._internal += is_internal
            depth = self._depth()
            is_logged = depth > 0 and not is_internal and self._log.grow(depth, now)
        self._items.append((task, now))
        self._wake_ups.put(None)
        if is_logged:
            logger.warning("Task queue depth is %d", depth)

    def put(self, message: Message) -> None:
        """Queue a message, which does not count; after `reserve_thread` it does."""
        self._items.append(message)
        self._wake_ups.put(None)

    def reserve_thread(self) -> bool:
        """Count the message that is put next, if a thread is free for it; otherwise return False."""
        with self._lock:
            if self._outstanding >= self.thread_count:
                return False
            self._outstanding += 1
            return True

    # --- taking

    def get(self) -> tuple[Task, float] | Message | None:
        """Wait for an item and take it; None if it has been cancelled meanwhile. Call `release` when it is done."""
        self._wake_ups.get()
        try:
            item = self._items.popleft()
        except IndexError:
            return None
        if isinstance(item, tuple) and isinstance(item[0], InternalTask):
            with self._lock:
                self._internal -= 1
        return item

    def note_start(self, task: Task, queued_at: float, now: float) -> None:
        """A task has been taken: log the depth of the queue if that is due, because a request has waited too long."""
        is_late = now - queued_at > self._log.late_seconds or self._log.logged_depth
        if is_late and not isinstance(task, InternalTask):
            self._note_wait(now - queued_at, now, is_taken=True)

    def release(self, slot: ThreadSlot) -> None:
        """The thread of this slot is done with an item."""
        with self._lock:
            if not slot.is_lost:  # or it was counted when it was lost
                self._outstanding -= 1

    def lose_thread(self, slot: ThreadSlot, task: object) -> bool:
        """Count the thread of this slot no more, if it still runs this task, and is not lost already."""
        with self._lock:
            running = slot.running
            if running is None or running[0] is not task or slot.is_lost:
                return False
            slot.is_lost = True
            self._outstanding -= 1
            return True

    def take_tasks(self, stays: Callable[[Task], bool]) -> list[Task]:
        """Take all tasks but those that stay, and return them."""
        tasks: list[Task] = []
        kept = []
        with suppress(IndexError):
            while True:
                item = self._items.popleft()
                if not isinstance(item, tuple) or stays(item[0]):
                    kept.append(item)
                    continue
                tasks.append(item[0])
                with self._lock:
                    self._outstanding -= 1
                    self._internal -= isinstance(item[0], InternalTask)
        for item in kept:  # for the threads that still run a task
            self._items.append(item)
            self._wake_ups.put(None)
        return tasks

    # --- once a second, and after a fault

    def tick(self) -> None:
        """Log that a request waits too long, or that the queue is empty again."""
        now, oldest = _now(), self.oldest_waiting_seconds
        if oldest:
            self._note_wait(oldest, now)
        if self._log.logged_depth:
            with self._lock:
                episode = self._log.end_if_quiet(self._depth(), now)
            if episode is not None:
                logger.info(
                    "Task queue is empty again: its greatest depth was %d, the longest wait %.3f seconds", *episode
                )

    def _note_wait(self, seconds: float, now: float, *, is_taken: bool = False) -> None:
        """Log the depth of the queue if that is due, because a request has waited; it still does unless `is_taken`."""
        with self._lock:
            waiting = self._depth() + is_taken
            depth = self._log.note_wait(seconds, max(1, waiting), now)
        if depth:
            logger.warning("Task queue depth is %d", depth)

    def wake_one(self) -> None:
        """Make a thread check for an item: one that has failed may have got a wake-up, and no item."""
        self._wake_ups.put(None)

    def wake_for_all(self) -> None:
        """Put the wake-ups that items lack."""
        for _ in range(len(self._items) - self._wake_ups.qsize()):
            self._wake_ups.put(None)

    def abandon_after_fork(self) -> None:
        """Drop all items in a forked child, in which another thread may have held a lock."""
        self._lock = threading.Lock()
        self._items, self._wake_ups = deque(), message_queue()
