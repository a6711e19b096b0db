"""What the supervisor knows of the workers in figures: their counters added up, and how often they start and end.

Counters only grow: what a worker that has ended had published last stays in the sum.

Thread: the supervisor's only one; `stats` and `snapshots` any.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import os
from typing import TYPE_CHECKING

from ..observability.stats import EXIT_REASONS, ServerStats, add_stats, totals_only
from .scoreboard import Scoreboard, Slot
from .states import WorkerState

if TYPE_CHECKING:
    from ..observability.snapshot import Snapshot
    from ..status.document import Supervision


class Figures:
    """The figures of all workers of one supervisor."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self.counted: Supervision = {
            "starts": 0,
            "exits": dict.fromkeys(EXIT_REASONS, 0),
            "reloads": {"done": 0, "failed": 0},
            "ended": None,
        }
        # Replaced as a whole; read by any thread
        self._ended: ServerStats | None = None  # of the workers that have ended

    def stats(self) -> ServerStats | None:
        """Return the sum of what the workers published last, up to a second ago; None before the first did."""
        return self._scoreboard.read_between_moves(self._sum)

    def _sum(self) -> ServerStats | None:
        found = [] if self._ended is None else [self._ended]
        for slot in self._scoreboard.slots():
            snapshot = slot.snapshot()
            if snapshot and "stats" in snapshot:
                found.append(ServerStats(**snapshot["stats"]))
        return add_stats(found) if found else None

    def snapshots(self) -> "list[Snapshot]":
        """Return what each worker has published last for the status server."""
        snapshots: list[Snapshot] = []
        for slot in self._scoreboard.slots():
            published = slot.snapshot()
            if published and "status" in published:
                snapshots.append(published["status"])
                snapshots[-1]["worker"] = slot.number
        return snapshots

    def note_start(self) -> None:
        """Count a worker that was forked."""
        self.counted["starts"] += 1

    def note_end(self, slot: Slot, was: WorkerState, status: int) -> None:
        """Count a worker that has ended, and keep its counters; `was` is the state that it was in.

        Call it, and clear the slot, within `Scoreboard.moving`.
        """
        self.counted["exits"][_why_it_ended(was, status)] += 1
        snapshot = slot.snapshot()
        if snapshot and "stats" in snapshot:
            last = totals_only(ServerStats(**snapshot["stats"]))
            self._ended = last if self._ended is None else add_stats([self._ended, last])
        if snapshot and "status" in snapshot:
            from ..status.document import counters_only, total  # lazy import: few servers have a status server

            figures, before = counters_only(snapshot["status"]), self.counted["ended"]
            self.counted["ended"] = figures if before is None else total([before, figures])

    def note_reload(self, *, is_done: bool) -> None:
        """Count a reload that is done or has failed."""
        self.counted["reloads"]["done" if is_done else "failed"] += 1


def _why_it_ended(was: WorkerState, status: int) -> str:
    """Return the reason for a worker's end: one of `stats.EXIT_REASONS`."""
    if was is WorkerState.ABORTED:
        return "timeout"
    if was is WorkerState.KILLED:
        return "killed"
    if status == 0 and was in (WorkerState.RETIRING, WorkerState.STOPPING):
        return "retired" if was is WorkerState.RETIRING else "stopped"
    if was is WorkerState.STARTING:
        return "not_started"
    return "signal" if os.WIFSIGNALED(status) else "exit"
