"""The thread in `run()`, or the one of `start()`: it waits for the end of the run.

Meanwhile it does what the leader leaves to it, because it may block: it replaces threads, talks to systemd, reopens log
files, and calls the program. It runs no application and, while there is a leader, does no I/O of clients.
"""

import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..safe_logger import SafeLogger
from ..threads.event import Event

if TYPE_CHECKING:
    from .notify import Notifier

logger = SafeLogger(logging.getLogger("waitress"))

# Seconds between two checks that there is a leader; on Windows also between two checks for signals, because there no
# signal ends a wait, and Ctrl-C must end an idle server in half a second. Doubled: a lost leader is missed for two
# seconds, and Ctrl-C on Windows takes 0.2 s longer. Halved: an idle server wakes up twice as often, for nothing.
CHECK_SECONDS = 0.2 if sys.platform == "win32" else 1.0


class Waiter:
    """Waits for the end of a run, and calls `callbacks` meanwhile."""

    def __init__(
        self,
        callbacks: deque[Callable[[], None]],
        *,
        check: Callable[[], None],  # once in `seconds`, and after `wake`
        is_alive: Callable[[], bool],  # whether systemd may be notified of that
        notifier: "Notifier | None",
        seconds: float,
    ) -> None:
        # Set once
        self._check = check
        self._is_alive = is_alive
        self._notifier = notifier
        self._seconds = min(seconds or CHECK_SECONDS, CHECK_SECONDS)
        if notifier is not None:
            self._seconds = min(self._seconds, notifier.keep_alive_seconds or CHECK_SECONDS)
        # Appended to by the leader or a signal handler, called here
        self.callbacks = callbacks
        # Set by any thread
        self._has_ended = Event()
        self._woken = Event()

    # --- any thread

    def call(self, callback: Callable[[], None]) -> None:
        """Call this soon, in the thread that waits."""
        self.callbacks.append(callback)
        self._woken.set()

    def wake(self) -> None:
        """Make it check, and call what a signal handler has left, at once."""
        self._woken.set()

    def end(self) -> None:
        """End the wait: the run has ended."""
        self._has_ended.set()
        self._woken.set()

    # --- the thread that waits

    def wait(self) -> None:
        """Wait for the end. Whatever `check` or the handler of a signal raises comes out of here."""
        while not self._has_ended.is_set():
            self._woken.wait(self._seconds)
            self._woken.clear()
            self._call_all()
            self._check()
            if self._notifier is not None and self._is_alive():
                self._notifier.keep_alive()
        self._call_all()  # the last ones may have come with the end

    def wait_for_end(self, seconds: float) -> None:
        """Wait for the end, for at most so many seconds, and do nothing else."""
        self._has_ended.wait(seconds)

    def _call_all(self) -> None:
        while self.callbacks:
            try:
                self.callbacks.popleft()()
            except Exception:  # no report is worth a server
                logger.exception("uncaptured python exception in the response to a signal")
