"""From one supervisor to the next: what this one has of its predecessor, and of its successor.

Of the predecessor it has a `Handover`, until its own workers serve. A `Successor` it has from the signal that asks for
one, until that serves or has ended.

Thread: the supervisor's only one.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import logging
import signal
import time
from collections.abc import Callable, Sequence

from ..net.handover import take_received
from ..net.listener import Listener
from ..safe_logger import SafeLogger
from .forking import how_it_ended, signals_blocked
from .plan import KILL_SECONDS, Stop
from .successor import Successor

logger = SafeLogger(logging.getLogger("waitress"))


class Takeover:
    """Both of them, for one supervisor; `folder` is where its command was started."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._handover = take_received()
        self._successor: Successor | None = None

    def leave(self) -> list[Callable[[], object]]:
        """Return what closes all of this in a child of a fork."""
        return [one.close for one in (self._successor, self._handover) if one is not None]

    # --- from the predecessor

    @property
    def has_predecessor(self) -> bool:
        """Whether another supervisor serves until this one does."""
        return self._handover is not None

    def report_ready(self) -> None:
        """All workers serve: let the predecessor retire, if there is one."""
        if self._handover is not None:
            self._handover.report_ready()
            self._handover = None

    # --- to the successor

    @property
    def has_successor(self) -> bool:
        """Whether another supervisor is starting, to take over."""
        return self._successor is not None

    @property
    def pipes(self) -> list[int]:
        """What is readable when the successor serves, or has ended."""
        return [] if self._successor is None else self._successor.pipes

    def start_successor(
        self,
        name: str,  # of the signal
        listeners: Sequence[Listener],
        leave: Sequence[Callable[[], object]],
        *,
        shutdown_timeout: float,
    ) -> None:
        """Start the command again, as it is installed now; log it if that fails."""
        try:
            with signals_blocked() as mask:
                end_seconds = shutdown_timeout + KILL_SECONDS
                self._successor = Successor(listeners, self._folder, mask, leave, end_seconds)
        except OSError as error:
            logger.error("%s: cannot start a successor: %s", name, error)
        else:
            logger.info("%s: process %d takes over when it serves", name, self._successor.pid)

    def note_successor(self, *, is_ending: bool) -> int:
        """Return the process of the successor if it serves from now on, else 0; forget one that serves, or has ended.

        If this server is ending, its successor ends with it.
        """
        successor = self._successor
        if successor is None or (is_ready := successor.is_ready()) is None:
            return 0
        if is_ready and is_ending:  # too late: it is ended with this one, and waited for
            return 0
        self._successor = None
        successor.close()
        if is_ready:
            successor.release()
            return successor.pid
        if not is_ending:
            how = how_it_ended(successor.status or 0)
            logger.error("The successor, process %d, has ended: %s; this server keeps serving", successor.pid, how)
        return 0

    def end_successor(self, stop: Stop) -> None:
        """End the successor with this one, as the plan ends a worker."""
        if self._successor is not None:
            now = time.monotonic()
            if now >= stop.kill_at:
                self._successor.end(signal.SIGKILL)
            else:
                self._successor.end(signal.SIGQUIT if now >= stop.end_at else signal.SIGTERM)
