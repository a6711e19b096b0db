"""Snapshots of workers for tests."""

from __future__ import annotations

from typing import Any, cast

from waitress_core.observability.histograms import BOUNDS
from waitress_core.observability.snapshot import Snapshot, make_snapshot
from waitress_core.observability.stats import STATUS_CLASSES, Counters, make_stats


def snapshot_of(**changed: Any) -> Snapshot:
    """Return the snapshot of a server that serves and has done nothing, with some fields changed."""
    counters = Counters()
    states = dict.fromkeys(("idle", "head", "body", "task", "flush", "linger"), 0)
    made = make_snapshot(
        make_stats(counters, states=states, threads=4),
        state="serving",
        counters=counters,
        measures=None,
        queue_oldest_seconds=0.0,
        log_lines_dropped=0,
        running=(),
    )
    assert not changed.keys() - made.keys()
    return cast(Snapshot, {**made, "at": 1000.0, **changed})


def requests(**by_class: int) -> dict[str, int]:
    """Return counts by class of status; those that are not given are 0."""
    return {**dict.fromkeys(STATUS_CLASSES.values(), 0), **{f"{name[1:]}": count for name, count in by_class.items()}}


def histogram(*seconds: float) -> dict[str, Any]:
    """Return the figures of a histogram of some durations."""
    counts = [0] * (len(BOUNDS) + 1)
    for one in seconds:
        counts[next((number for number, bound in enumerate(BOUNDS) if one <= bound), len(BOUNDS))] += 1
    return {"counts": counts, "sum": sum(seconds)}
