"""The threads that run tasks, as `waitress.task.ThreadedTaskDispatcher` of waitress 3.0.

For programs that run tasks in a pool of their own, give a server one, watch the threads of a server, or patch
`add_task` to see every request.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from waitress_core import Dispatcher

from ._replacements import replaceable

logger = logging.getLogger("waitress")
queue_logger = logging.getLogger("waitress.queue")


class Runnable(Protocol):
    """What a dispatcher runs."""

    def service(self) -> None:
        """Run."""

    def cancel(self) -> None:
        """Give up: it will not run."""


@replaceable
class ThreadedTaskDispatcher:
    """A pool of threads that run tasks in the order in which they came.

    Guarded by `lock`, which both conditions are on: `queue`, `threads` (the numbers of those that run), `stop_count`
    (how many of them are to end) and `active_count` (how many run a task).
    """

    logger = logger
    queue_logger = queue_logger
    stop_count = 0
    active_count = 0

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.queue: deque[Any] = deque()
        self.lock = threading.Lock()
        self.queue_cv = threading.Condition(self.lock)
        self.thread_exit_cv = threading.Condition(self.lock)

    def start_new_thread(self, target: Any, thread_no: int) -> None:
        """Start a thread that calls `target` with its number."""
        threading.Thread(target=target, name=f"waitress-{thread_no}", args=(thread_no,), daemon=True).start()

    def handler_thread(self, thread_no: int) -> None:
        """Run tasks, until it is told to end: what each thread does."""
        while (task := self._next_task(thread_no)) is not None:
            try:
                task.service()
            except BaseException:  # a thread is never lost to a task
                self.logger.exception("Exception when servicing %r", task)
            with self.lock:
                self.active_count -= 1

    def _next_task(self, thread_no: int) -> Runnable | None:
        with self.lock:
            while not self.queue and not self.stop_count:
                self.queue_cv.wait()
            if self.stop_count:
                self.stop_count -= 1
                self.threads.discard(thread_no)
                self.thread_exit_cv.notify_all()
                return None
            self.active_count += 1
            task: Runnable = self.queue.popleft()
            return task

    def set_thread_count(self, count: int) -> None:
        """Have so many threads: start what is missing, tell what is too much to end."""
        with self.lock:
            running = len(self.threads) - self.stop_count
            numbers = (number for number in range(len(self.threads) + count) if number not in self.threads)
            started = [next(numbers) for _ in range(count - running)]
            self.threads.update(started)
            if count < running:
                self.stop_count += running - count
                self.queue_cv.notify_all()
        for number in started:
            self.start_new_thread(self.handler_thread, number)

    def add_task(self, task: Any) -> None:
        """Have a task run by one of the threads."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()
            depth = len(self.queue) - (len(self.threads) - self.stop_count - self.active_count)
        self._tell_depth(depth)

    def _tell_depth(self, depth: int) -> None:
        if depth > 0:
            self.queue_logger.warning("Task queue depth is %d", depth)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """End the threads, and wait for them so long; then cancel what waits. True if that was asked for."""
        self.set_thread_count(0)
        with self.lock:
            self.thread_exit_cv.wait_for(lambda: not self.threads, timeout)
            still_running = len(self.threads)
            cancelled = list(self.queue) if cancel_pending else []
            if cancel_pending:
                self.queue.clear()
        if still_running:
            self.logger.warning("%d thread(s) still running", still_running)
        if cancelled:
            self.logger.warning("Canceling %d pending task(s)", len(cancelled))
        for task in cancelled:
            task.cancel()
        return cancel_pending


class _Queue(deque[Any]):
    """The queue of a server's own threads, as the queue of a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def append(self, task: Any) -> None:
        """Have a task run."""
        self._dispatcher.add_task(task)

    def __len__(self) -> int:
        return self._dispatcher.waiting_count

    def __bool__(self) -> bool:
        return bool(len(self))


class ServerDispatcher(ThreadedTaskDispatcher):
    """The threads of a server, as `server.task_dispatcher` shows them: they are `waitress_core`'s."""

    def __init__(self, dispatcher: Dispatcher, end_server: Callable[[float], None]) -> None:
        self._dispatcher = dispatcher
        self._end_server = end_server
        super().__init__()
        self.queue = _Queue(dispatcher)

    @property
    def active_count(self) -> int:  # type: ignore[override]  # the core counts it, the class above for itself
        """How many threads run a task, or are the reactor."""
        return self._dispatcher.busy_count

    @property
    def threads(self) -> set[int]:
        """The numbers of the application threads; none before the server runs."""
        return set(range(self._dispatcher.thread_count if self._dispatcher.threads else 0))

    @threads.setter
    def threads(self, value: set[int]) -> None:
        """Leave them to the core."""

    def _tell_depth(self, depth: int) -> None:
        """Leave that to the core."""

    def set_thread_count(self, count: int) -> None:
        """Have so many threads, before the server runs; while it runs nothing changes."""
        if not self._dispatcher.threads:
            self._dispatcher.thread_count = count

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """End the server: without its threads it could serve nobody. Running applications get so long."""
        self._end_server(timeout)
        return cancel_pending
