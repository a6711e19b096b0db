"""A worker's own side: what it reports to its supervisor and the other workers, and when it is to end.

It is a server as it would be alone. What is added is done once a second, in the reactor's tick: it notes the instant
in its slot, publishes a snapshot, and checks whether it is to retire, whether its supervisor is still there, and
whether it has become too old or too large.

Thread: the leader; the main thread at the start (`note_serves`) and at the end (`publish`, `limit_end`); any, where a
method says so.
"""

import contextlib
import faulthandler
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..config.adjustments import Adjustments
from ..connection.context import State
from ..net.listener import Listener
from ..observability.process import memory_bytes
from ..observability.stats import ServerStats
from ..safe_logger import SafeLogger
from .plan import KILL_SECONDS
from .scoreboard import Command, Slot, Word
from .states import Event, SupervisorState

if TYPE_CHECKING:
    from ..observability.snapshot import Snapshot
    from ..status.document import Supervision

logger = SafeLogger(logging.getLogger("waitress"))

REPORT_MARK = b"\x1d"  # before each line that is a report: no text of faulthandler has it
_MIB = 1024 * 1024


class WorkerServer(Protocol):
    """The server, as supervisor and workers run it."""

    @property
    def adj(self) -> Adjustments:
        """Its settings."""

    @property
    def listeners(self) -> Sequence[Listener]:
        """What it listens on."""

    @property
    def status_listeners(self) -> Sequence[Listener]:
        """What its status server listens on; empty without one."""

    def remake(self, old: Any) -> "WorkerServer":
        """Return the server that workers run from now on in place of `old`, which may be the same.

        Raises:
            ValueError, OSError: the settings of now are invalid; nothing has changed.
        """

    def release(self) -> None:
        """Stop listening."""

    def serve_as_worker(self, worker: "Worker") -> None:
        """Serve until the end; call `worker.note_serves` once that has started, and `worker.publish` at the end."""

    def serve_status(self, parent: int) -> None:
        """Serve the status server, in its own process, for as long as the parent, a process, is there."""

    def on_supervisor(self, event: Event, supervisor: "SupervisorView") -> None:
        """Something has happened in the supervisor. Must not start a thread."""


class SupervisorView(Protocol):
    """The supervisor, as its server sees it. Thread: any."""

    state: SupervisorState
    successor_pid: int

    def wake(self) -> None:
        """Make its loop check at once."""

    def kill_workers(self) -> None:
        """Kill all workers. Takes no lock: a signal handler may call it."""

    def stats(self) -> ServerStats | None:
        """Return what all workers do together; None before there is one."""

    def status_snapshots(self) -> "list[Snapshot]":
        """Return what each worker has published last, for the status server."""

    def status(self) -> "tuple[list[Snapshot], Supervision | None]":
        """Return the same, and what the supervisor has counted; a worker that ends meanwhile is in one of them."""


class Worker:
    """A worker's side of its slot."""

    def __init__(
        self,
        slot: Slot,
        pipe: int,
        adj: Adjustments,
        supervisor: int,
        *,
        ending_with_supervisor: Callable[[], AbstractContextManager[None]],  # a context: see `lifeline`
    ) -> None:
        # Set once
        self.number = slot.number
        self._slot = slot
        self._pipe = pipe
        self.ending_with_supervisor = ending_with_supervisor
        self._supervisor = supervisor
        self._max_requests = adj.max_requests and adj.max_requests + random.randint(0, adj.max_requests_jitter)
        self._max_bytes = adj.max_worker_memory * _MIB
        self._ends_at = time.monotonic() + adj.max_worker_age if adj.max_worker_age else float("inf")
        self._drain_seconds = adj.shutdown_timeout
        self._snapshot: Callable[[], Mapping[str, object]] = dict
        self._requests: Callable[[], int] = lambda: 0
        self._stop: Callable[..., object] = lambda *arguments, **options: None
        self._asked_reason = ""  # why the run has asked for a replacement
        self._on_orphaned: Callable[[], object] = lambda: None
        # As the acceptor sees it
        self.note = slot.note_connections
        self.has_more_than_others = slot.has_more_than_others
        # Leader only
        self._command: int = Command.SERVE  # that it follows
        self._is_orphan = False
        self._is_limited = False  # its end: also the main thread, at the end

    def note_serves(
        self,
        *,
        snapshot: Callable[[], Mapping[str, object]],  # what others may know: JSON
        requests: Callable[[], int],  # that have ended
        stop: Callable[..., object],  # with a state, the seconds until the cut-off, and `retires`
        on_orphaned: Callable[[], object],  # the supervisor has gone without an end
    ) -> None:
        """The server serves."""
        self._on_orphaned = on_orphaned
        self._snapshot, self._requests, self._stop = snapshot, requests, stop
        self._slot.beat()
        self.publish()
        report(self._pipe, "serves")

    def report(self, word: str, data: object = None) -> None:
        """Report something to the supervisor. Thread: any."""
        report(self._pipe, word, data)

    def report_change(self, path: str) -> None:
        """Report that a file has changed, and retire. Thread: any."""
        self.report("changed", path)
        self._stop(State.LEAVING, self._drain_seconds, retires=True)

    def publish(self) -> None:
        """Make a snapshot readable for the supervisor."""
        self._slot.publish(self._snapshot())

    def limit_end(self) -> None:
        """End the process if its end takes longer than a drain: nobody else may be left to do so.

        Threads and exit functions of the application may never end, and may keep the interpreter: faulthandler needs
        none. What the supervisor, if there is one, allows is over before.
        """
        if not self._is_limited:
            self._is_limited = True
            seconds = min(self._drain_seconds + KILL_SECONDS, threading.TIMEOUT_MAX)
            with contextlib.suppress(RuntimeError):  # the system has no thread left: the end is not limited
                faulthandler.dump_traceback_later(seconds, exit=True, file=self._pipe)

    # --- as the acceptor sees it

    def is_dismissed(self) -> bool:
        """Whether this worker is to retire."""
        return self._slot[Word.COMMAND] == Command.RETIRE

    # --- as the run sees it

    def on_state(self, state: State) -> None:
        """Report to others what this worker does."""
        self._slot[Word.STATE] = state

    def on_tick(self) -> None:
        """Note that the reactor ticks; end if it is time to."""
        self._slot.beat()
        self._slot[Word.REQUESTS] = self._requests()
        self.publish()
        command = self._slot[Word.COMMAND]
        if command != self._command:
            self._command = command
            self._stop(State.LEAVING, self._drain_seconds, retires=command == Command.RETIRE)
        elif not self._is_orphan and os.getppid() != self._supervisor:
            self._is_orphan = True
            self.limit_end()  # first: to write the record may take for ever
            self._stop(State.LEAVING, self._drain_seconds)
            logger.warning("The supervisor, process %d, is gone: this worker drains and ends", self._supervisor)
            if command == Command.SERVE:  # else others may serve on
                self._on_orphaned()
        elif not self._slot[Word.REPLACE] and (reason := self._reason_to_be_replaced()):
            self._slot[Word.REPLACE] = 1
            logger.info("This worker is replaced: %s", reason)

    def ask_to_be_replaced(self, reason: str) -> None:
        """Ask for another worker in its place. Thread: any."""
        self._asked_reason = reason

    def _reason_to_be_replaced(self) -> str:
        if self._asked_reason:
            return self._asked_reason
        if self._max_requests and self._slot[Word.REQUESTS] >= self._max_requests:
            return f"it has answered {self._slot[Word.REQUESTS]} requests (max_requests)"
        if time.monotonic() >= self._ends_at:
            return "it is old (max_worker_age)"
        if self._max_bytes and resident_bytes() > self._max_bytes:
            return f"it uses {resident_bytes() // _MIB} MiB (max_worker_memory)"
        return ""


def resident_bytes() -> int:
    """Return the memory of this process that is in use; if that is unknown, the most that it has had."""
    known = memory_bytes()
    if known is not None or sys.platform == "win32":
        return known or 0
    import resource  # lazy import: Linux does not need it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def report(pipe: int, word: str, data: object = None) -> None:
    """Report something to the supervisor. Thread: any of the worker; a report is written in one piece up to 4 KiB."""
    with contextlib.suppress(OSError):  # the supervisor is gone, or does not read: nothing depends on it
        os.write(pipe, REPORT_MARK + f"{word} {json.dumps(data)}\n".encode("ascii"))
