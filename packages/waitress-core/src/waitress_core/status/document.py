"""From the snapshots of workers to one document: the sums, and whether the server is ready.

Pure: never reads a clock, except that `at` of each snapshot is compared with the `now` that is given.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ..observability.histograms import BOUNDS
from ..observability.snapshot import HistogramFigures, Snapshot, Totals
from ..observability.stats import add_counts

VERSION = 1

# Without a new snapshot for so long a worker does not respond: one comes once a second. Doubled: a worker that hangs
# counts as ready for 20 s. Halved: one that a signal or a slow disk holds up for 5 s is reported as hanging.
STALE_SECONDS = 10.0


class Supervision(TypedDict):
    """What the supervisor of several workers has counted since its start."""

    starts: int
    """Workers that were started."""
    exits: dict[str, int]
    """Workers that have ended, by reason."""
    reloads: dict[str, int]
    """Reloads, by result."""
    ended: Totals | None
    """What the workers that have ended had counted, as a part of `total`; null before one has."""


class Document(TypedDict):
    """What `/status.json` answers."""

    version: int
    """1; another number when a field means something else, or is gone."""
    server: str
    """Name and version of the server."""
    python: str
    """Name and version of the interpreter."""
    is_ready: bool
    """What `/ready` answers."""
    reason: str
    """Why it is not ready; empty if it is."""
    bounds: list[float]
    """Upper bounds of the buckets of `durations` and `waits`, in seconds; one more bucket is for longer times."""
    total: Totals
    """The sums over all workers, also of what ended ones have counted; of `queue_oldest_seconds`, the greatest."""
    workers: list[Snapshot]
    """Each worker; one, without a supervisor."""
    supervisor: Supervision | None
    """What the supervisor has counted; null without one."""


def make_document(
    snapshots: Sequence[Snapshot],
    supervision: Supervision | None,
    *,
    server: str,
    python: str,
    ready_queue_seconds: float,
    now: float,
) -> Document:
    """Return the document; `now` is an instant of the clock of the snapshots."""
    reason = why_not_ready(snapshots, ready_queue_seconds=ready_queue_seconds, now=now)
    ended = None if supervision is None else supervision["ended"]
    return {
        "version": VERSION,
        "server": server,
        "python": python,
        "is_ready": not reason,
        "reason": reason,
        "bounds": list(BOUNDS),
        "total": total(snapshots if ended is None else [*snapshots, ended]),
        "workers": list(snapshots),
        "supervisor": supervision,
    }


def why_not_ready(snapshots: Sequence[Snapshot], *, ready_queue_seconds: float, now: float) -> str:
    """Return why no worker is ready to serve; empty if one is."""
    reasons = [_why_worker_not_ready(one, ready_queue_seconds, now) for one in snapshots]
    if not reasons:
        return "it is starting: the application is not served yet"
    return "" if "" in reasons else "; ".join(dict.fromkeys(reasons))


def _why_worker_not_ready(snapshot: Snapshot, ready_queue_seconds: float, now: float) -> str:
    state = snapshot["state"]
    if state in ("starting", "closed"):
        return "it is starting" if state == "starting" else "it has ended"
    if state != "serving":
        return "it is stopping"
    if now - snapshot["at"] > STALE_SECONDS:
        return "it does not respond"
    if snapshot["is_short_of_threads"]:
        return "its threads are lost to requests that do not end, see request_timeout"
    if snapshot["is_refusing"]:
        return "requests are refused, by queue_limit or queue_timeout"
    waited = snapshot["queue_oldest_seconds"]
    if 0 < ready_queue_seconds < waited:
        return f"a request has waited {waited:.1f} seconds for a thread, ready_queue_seconds is {ready_queue_seconds}"
    return ""


def total(parts: Sequence[Totals]) -> Totals:
    """Return the sums over all workers."""
    fields: Sequence[Mapping[str, Any]] = parts
    sums: Any = {name: add([one[name] for one in fields]) for name, add in ADDITIONS.items()}
    made: Totals = sums  # the table has the fields of the type
    return made


def counters_only(figures: Totals) -> Totals:
    """Return the counters that only grow, of a worker that has ended; all else is 0."""
    now: Any = {
        "connections": dict.fromkeys(figures["connections"], 0),
        "threads": dict.fromkeys(figures["threads"], 0),
        "queue_depth": 0,
        "queue_oldest_seconds": 0.0,
    }
    return total([{**figures, **now}])


def _greatest(values: Sequence[float]) -> float:
    return max(values, default=0.0)


def _add_requests(requests: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    methods = dict.fromkeys(method for one in requests for method in one)
    return {method: add_counts([one.get(method, {}) for one in requests]) for method in methods}


def _add_histograms(figures: Sequence[HistogramFigures]) -> HistogramFigures:
    counts: Any = zip(*(one["counts"] for one in figures), strict=False)
    return {
        "counts": [sum(bucket) for bucket in counts] or [0] * (len(BOUNDS) + 1),
        "sum": sum(one["sum"] for one in figures),
    }


# How each field of `Totals` is added up over the workers.
ADDITIONS: dict[str, Callable[[Sequence[Any]], object]] = {
    "requests": _add_requests,
    "durations": _add_histograms,
    "waits": _add_histograms,
    "refused": add_counts,
    "deadlines": add_counts,
    "bytes_in": sum,
    "bytes_out": sum,
    "connections": add_counts,
    "connections_ended": add_counts,
    "threads": add_counts,
    "queue_depth": sum,
    "queue_oldest_seconds": _greatest,
    "tls_handshakes": add_counts,
    "log_lines_dropped": sum,
}
