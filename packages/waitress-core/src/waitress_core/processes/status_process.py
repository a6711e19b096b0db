"""The process of the status server, where several worker processes serve: the supervisor starts no thread.

It reads what the workers publish in the scoreboard, which it shares with them, and what the supervisor has counted, in
its own slot. It is the supervisor's to end: it ignores the signals that a terminal or systemd sends to all
processes, so that it answers until the last worker has ended, and it ends if the supervisor is gone.

Thread: the main thread of the supervisor; `supervision` any, in any process.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from ..safe_logger import SafeLogger
from .child import StatusServing, run_status_in_child
from .forking import fork, how_it_ended
from .scoreboard import Scoreboard

if TYPE_CHECKING:
    from ..status.document import Supervision

logger = SafeLogger(logging.getLogger("waitress"))

PAUSE_SECONDS = 5.0  # between two starts, should it end by itself


class StatusProcess:
    """The process, and what the supervisor has counted for it."""

    def __init__(self, server: StatusServing) -> None:
        self._server = server
        self._slot = Scoreboard(slots=1).take()
        self._published: object = None
        self.pid = 0
        self._started_at = -PAUSE_SECONDS

    def supervision(self) -> "Supervision | None":
        """Return what the supervisor has published last."""
        published: Supervision | None = self._slot.snapshot()
        return published

    def publish(self, supervision: object) -> None:
        """Let the process know what the supervisor has counted."""
        if supervision != self._published:
            self._published = supervision
            self._slot.publish(supervision)

    def check(self, leave: Iterable[Callable[[], object]]) -> None:
        """Start the process, if there is none; in it `leave` is called first, for what is the supervisor's alone."""
        if self.pid:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                ended, status = self.pid, 0
            if not ended:
                return
            self.pid = 0
            how = how_it_ended(status)
            logger.error("The process of the status server has ended: %s; another one follows", how)
        now = time.monotonic()
        if now - self._started_at >= PAUSE_SECONDS:
            self._started_at = now
            self._start(leave)

    def _start(self, leave: Iterable[Callable[[], object]]) -> None:
        try:
            self.pid = fork(partial(run_status_in_child, self._server, os.getpid(), leave))
        except OSError as error:  # the system has no process left for it
            logger.error("Cannot start the process of the status server: %s", error)

    def end(self) -> None:
        """End the process."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0
