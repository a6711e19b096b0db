"""The threads that run tasks, as `waitress.task.ThreadedTaskDispatcher` of waitress 3.0.

For programs that run tasks in their own pool, give such a pool to a server, watch the threads of a server, or
patch `add_task` to see every request.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

from waitress_core import Dispatcher
from waitress_core.safe_logger import contained

from ._replacements import replaceable

logger = logging.getLogger("waitress")
queue_logger = logging.getLogger("waitress.queue")


class Runnable(Protocol):
    """A task, as a dispatcher sees it."""

    def service(self) -> None:
        """Run the task."""

    def cancel(self) -> None:
        """Give the task up: it will not run."""


@replaceable
class ThreadedTaskDispatcher:
    """A pool of threads that run tasks in the order of their arrival.

    Guarded by `lock`, which both conditions use: `queue`, `threads` (the numbers of the running threads), `stop_count`
    (how many of them shall end) and `active_count` (how many run a task).
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
        """Run tasks until this thread shall end. Every thread of the pool calls this."""
        while (task := self._next_task(thread_no)) is not None:
            try:
                copy_context().run(task.service)  # what one task sets there, no other sees
            except BaseException:  # a thread is never lost to a task
                with contained:
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
        """Start or end threads until there are `count` of them."""
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
        """Queue a task for the threads."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()
            depth = len(self.queue) - (len(self.threads) - self.stop_count - self.active_count)
        self._log_depth(depth)

    def _log_depth(self, depth: int) -> None:
        if depth > 0:
            with contained:
                self.queue_logger.warning("Task queue depth is %d", depth)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """End the threads, wait for them up to `timeout` seconds, and cancel the tasks that wait if `cancel_pending`.

        Return `cancel_pending`.
        """
        self.set_thread_count(0)
        with self.lock:
            self.thread_exit_cv.wait_for(lambda: not self.threads, timeout)
            still_running = len(self.threads)
            cancelled = list(self.queue) if cancel_pending else []
            if cancel_pending:
                self.queue.clear()
        if still_running:
            with contained:
                self.logger.warning("%d thread(s) still running", still_running)
        if cancelled:
            with contained:
                self.logger.warning("Canceling %d pending task(s)", len(cancelled))
        for task in cancelled:
            task.cancel()
        return cancel_pending


class _Queue(deque[Any]):
    """The queue of a server's threads, as a dispatcher has one."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def append(self, task: Any) -> None:
        """Queue a task for the threads."""
        self._dispatcher.add_task(task)

    def __len__(self) -> int:
        return self._dispatcher.waiting_count

    def __bool__(self) -> bool:
        return bool(len(self))


class ServerDispatcher(ThreadedTaskDispatcher):
    """The threads of a server, which are those of `waitress_core`, as `server.task_dispatcher`."""

    def __init__(self, dispatcher: Dispatcher, end_server: Callable[[float], None]) -> None:
        self._dispatcher = dispatcher
        self._end_server = end_server
        super().__init__()
        self.queue = _Queue(dispatcher)

    @property
    def active_count(self) -> int:
        """The number of threads that run a task or are the leader."""
        return self._dispatcher.busy_count

    @active_count.setter
    def active_count(self, value: int) -> None:
        """Do nothing: the core counts them."""

    @property
    def threads(self) -> set[int]:
        """The numbers of the application threads; none before the server runs."""
        return set(range(self._dispatcher.thread_count if self._dispatcher.threads else 0))

    @threads.setter
    def threads(self, value: set[int]) -> None:
        """Do nothing: the core sets them."""

    def _log_depth(self, depth: int) -> None:
        """Do nothing: the core logs it."""

    def set_thread_count(self, count: int) -> None:
        """Set the number of threads; without effect while the server runs."""
        if not self._dispatcher.threads:
            self._dispatcher.thread_count = count

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """End the server, which could serve nobody without its threads. Running applications get `timeout` seconds."""
        self._end_server(timeout)
        return cancel_pending
