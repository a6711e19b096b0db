"""The supervisor's view of one worker: its process, its slot, and what it reports.

A worker reports by its own pipe, in lines: `loads`, `serves`, `failed` and `changed` with JSON. Everything else in the
pipe is what faulthandler writes when the worker dies of a fault, or is made to: the stacks of its threads.

Thread: the supervisor's only one.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import io
import json
import os
import time
from typing import Any

from ..connection.context import State
from .lifeline import let_live, let_system_kill
from .plan import WorkerView
from .scoreboard import FRESH_SECONDS, Slot, Word
from .states import WORKER_TRANSITIONS, WorkerState
from .worker import REPORT_MARK
from .worker_pipes import WorkerPipes

READ_BYTES = 64 * 1024
MOST_STACK_BYTES = 1024 * 1024  # kept of what faulthandler writes; 4 threads have 10 KiB


class WorkerHandle:
    """One worker."""

    def __init__(self, pid: int, slot: Slot, pipes: WorkerPipes) -> None:
        os.set_blocking(pipes.reports, False)
        # Set once
        self.pid = pid
        self.slot = slot
        self.pipes = pipes
        self.pipe = pipes.reports
        # Not os.read: that of eventlet waits until something has come.
        self._reader = io.FileIO(self.pipe, "rb", closefd=False)
        self.started_at = time.monotonic()
        # Changed while it runs
        self.state = WorkerState.STARTING
        self.since = self.started_at
        self.is_stale = False
        self.is_loading = False
        self.has_served = False
        self.has_hung_at_start = False
        self.can_report = True  # its end of the pipe is open: the application may close what it does not know
        self.was_told_to_end = False
        self.failure: tuple[str, str] | None = None  # why it could not start or go on, and the traceback
        self._hangs = False
        self._unread = b""
        self._stacks = b""

    def __repr__(self) -> str:
        return f"<Worker {self.pid} {self.state.name}>"

    def view(self) -> WorkerView:
        """Return its state for `plan`."""
        return WorkerView(
            self.pid,
            self.state,
            self.since,
            self.slot.beat_age,
            self.is_stale,
            self.is_loading,
            self.was_told_to_end,
        )

    def enter(self, state: WorkerState) -> None:
        """Move to a state. The only place that writes it."""
        assert state in WORKER_TRANSITIONS[self.state], (self.state, state)
        self.state, self.since = state, time.monotonic()

    def note_whether_it_hangs(self) -> None:
        """Let the system kill a worker that does not tick at the end of this process, which it could not notice."""
        hangs = self.slot.beat_age > FRESH_SECONDS and self.slot[Word.STATE] != State.CLOSED
        if hangs != self._hangs:
            self._hangs = hangs
            if hangs:
                let_system_kill(self.pipes.lifeline_end, self.pid)
            else:
                let_live(self.pipes.lifeline_end)

    def send(self, number: int) -> None:
        """Send a signal."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and has not been waited for yet
            os.kill(self.pid, number)

    def reports(self) -> list[tuple[str, Any]]:
        """Return what has been reported since the last call: a word and its data."""
        while data := self._reader.read(READ_BYTES):
            self._unread += data
        if data is not None:
            self.can_report = False
        *lines, self._unread = self._unread.split(b"\n")
        found = []
        for line in lines:
            report = _report_in(line)
            if report is not None:
                found.append(report)
            elif len(self._stacks) < MOST_STACK_BYTES:
                self._stacks += line + b"\n"
        return found

    @property
    def stacks(self) -> str:
        """What faulthandler has written."""
        return (self._stacks + self._unread).decode("utf-8", "replace").strip()

    def running(self) -> list[str]:
        """Return the requests that ran when the worker published its last snapshot, with their times."""
        snapshot = self.slot.snapshot() or {}
        return [f"{task} for {seconds:.1f} seconds" for task, seconds in snapshot.get("running", ())]

    def close(self) -> None:
        """Release the pipes and the slot."""
        self.pipes.close()
        self.slot.clear()


def _report_in(line: bytes) -> tuple[str, Any] | None:
    """Return the word and the data of a report; None if the line is another text, or a report that is torn.

    A pipe takes up to 4 KiB in one piece: what another thread, or faulthandler, writes may be amid a longer report.
    """
    word, _, data = line.partition(REPORT_MARK)[2].partition(b" ")
    try:
        return word.decode("ascii"), json.loads(data)
    except ValueError:
        return None
