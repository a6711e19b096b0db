"""What one worker does at one moment, as JSON can express it: small, and the same for one process as for many.

`make_snapshot` reads counters, which it does not change; `fitting` keeps it within a size.

Thread: any.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TypedDict

from ..threads.running import RunningTask
from . import process
from .histograms import BOUNDS
from .request_measures import RequestMeasures
from .stats import Counters, ServerStats

VERSION = 1  # changed when a field means something else, or is gone; not when one is added

MOST_BYTES = 24_000  # of a snapshot as JSON: it fits, with more, into a worker's slot of the shared memory
MOST_RUNNING = 64  # requests that are listed, those that have run longest
MOST_FRAMES = 30  # innermost frames of a stack
MOST_CHARACTERS = 200  # of a request line, or of a frame


class HistogramFigures(TypedDict):
    """How many were in each bucket of `histograms.BOUNDS`, at last those that are longer; and their sum in seconds."""

    counts: list[int]
    sum: float


class RunningRequest(TypedDict):
    """A request that an application thread works on."""

    thread: str
    """Name of the thread."""
    request: str
    """Method and target, without the query."""
    request_id: str | None
    """Its id; null without `request_id_header`."""
    seconds: float
    """How long it has been running."""
    stack: list[str]
    """`FILE:LINE FUNCTION` of each frame, the innermost last; empty if it has ended meanwhile, or to save room."""


class Totals(TypedDict):
    """Figures that can be added up over several workers; of `queue_oldest_seconds`, the greatest counts."""

    requests: dict[str, dict[str, int]]
    """Requests that have ended, by method and class of status; `none` if no response could start."""
    durations: HistogramFigures
    """Time from the complete request to the end of its task."""
    waits: HistogramFigures
    """Time from the complete request to the start of its task."""
    refused: dict[str, int]
    """Requests that were refused, by rule."""
    deadlines: dict[str, int]
    """Deadlines that clients have missed, by kind."""
    bytes_in: int
    """Bytes received."""
    bytes_out: int
    """Bytes sent."""
    connections: dict[str, int]
    """Open connections by state."""
    connections_ended: dict[str, int]
    """Connections that have ended, by reason."""
    threads: dict[str, int]
    """Application threads by state: `busy`, `idle`, `lost` (their request was given up, and still runs)."""
    queue_depth: int
    """Requests that wait for a thread."""
    queue_oldest_seconds: float
    """How long the first waiting request has waited; 0 if none waits."""
    tls_handshakes: dict[str, int]
    """TLS handshakes, by result."""
    log_lines_dropped: int
    """Lines of the access log that were dropped."""


class Snapshot(Totals):
    """One worker at one moment. Counters start with the worker, and only grow."""

    version: int
    """1; it changes when a field gets another meaning, or is removed."""
    worker: int
    """Number of the worker, from 1; 0 if there is only one."""
    pid: int
    """Its process id."""
    state: str
    """`starting`, `serving`, `leaving`, `draining`, `closing` or `closed`."""
    at: float
    """The moment, in seconds of the system's monotonic clock."""
    started_at: float
    """When the process started, in seconds since 1970."""
    is_short_of_threads: bool
    """Whether so many threads are lost that they are no longer replaced."""
    is_refusing: bool
    """Whether `queue_limit` or `queue_timeout` refuses requests, or has done so in the last 5 seconds."""
    memory_bytes: int | None
    """Resident memory; null if the system does not report it."""
    open_descriptors: int | None
    """Open descriptors; null if the system does not report it."""
    running: list[RunningRequest]
    """The running requests, the longest first."""


def make_snapshot(
    stats: ServerStats,
    *,
    state: str,
    counters: Counters,
    measures: RequestMeasures | None,
    queue_oldest_seconds: float,
    log_lines_dropped: int,
    running: Sequence[RunningTask],
    lost_threads: int = 0,
    is_short_of_threads: bool = False,
    is_refusing: bool = False,
) -> Snapshot:
    """Return the snapshot; without `measures` it has no requests."""
    measures = RequestMeasures() if measures is None else measures
    longest = sorted(running, key=lambda run: run.seconds, reverse=True)[:MOST_RUNNING]
    frames = sys._current_frames() if longest else {}
    names = {thread.ident: thread.name for thread in threading.enumerate()} if longest else {}
    busy = max(0, min(stats.threads_busy - lost_threads, stats.threads))
    durations, waits = measures.durations(), measures.waits()
    return {
        "version": VERSION,
        "worker": 0,
        "pid": os.getpid(),
        "state": state,
        "at": time.monotonic(),
        "started_at": process.started_at(),
        "requests": measures.requests(),
        "durations": {"counts": durations[0], "sum": durations[1]},
        "waits": {"counts": waits[0], "sum": waits[1]},
        "refused": counters.refused.counts(),
        "deadlines": counters.deadlines.counts(),
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "connections": dict(stats.connections_by_state),
        "connections_ended": counters.by_end_reason.copy(),
        "threads": {"busy": busy, "idle": stats.threads - busy, "lost": lost_threads},
        "is_short_of_threads": is_short_of_threads,
        "is_refusing": is_refusing,
        "queue_depth": stats.queue_depth,
        "queue_oldest_seconds": queue_oldest_seconds,
        "tls_handshakes": counters.handshakes.counts(),
        "log_lines_dropped": log_lines_dropped,
        "memory_bytes": process.memory_bytes(),
        "open_descriptors": process.open_descriptors(),
        "running": [_running(run, names, frames) for run in longest],
    }


def _running(run: RunningTask, names: Mapping[int | None, str], frames: Mapping[int, FrameType]) -> RunningRequest:
    line = getattr(run.task, "request_line", None) or repr(run.task)
    request_id = getattr(run.task, "request_id", None)
    return {
        "thread": names.get(run.thread_id, str(run.thread_id)),
        "request": str(line)[:MOST_CHARACTERS],
        "request_id": None if request_id is None else str(request_id)[:MOST_CHARACTERS],
        "seconds": run.seconds,
        "stack": _stack(frames.get(run.thread_id)),
    }


def _stack(frame: FrameType | None) -> list[str]:
    """Return the innermost frames. No file is read for it: what a line says is in the source."""
    lines: list[str] = []
    while frame is not None and len(lines) < MOST_FRAMES:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"[-MOST_CHARACTERS:])
        frame = frame.f_back
    return lines[::-1]


def fitting(snapshot: Snapshot, most_bytes: int = MOST_BYTES) -> Snapshot:
    """Return the snapshot without what does not fit into so many bytes of JSON: first stacks, then running requests."""
    if len(json.dumps(snapshot)) <= most_bytes:
        return snapshot
    bare: list[RunningRequest] = [{**run, "stack": []} for run in snapshot["running"]]
    running: list[RunningRequest] = []
    left = most_bytes - len(json.dumps({**snapshot, "running": []}))
    for run in bare:
        left -= len(json.dumps(run)) + 2
        if left < 0:
            break
        running.append(run)
    for number, run in enumerate(snapshot["running"][: len(running)]):
        left -= len(json.dumps(run["stack"])) - 2
        if left < 0:
            break
        running[number] = run
    return {**snapshot, "running": running}


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return about how long the quickest `share` of all took at most, in seconds; None without any.

    Within a bucket, durations count as evenly spread; of what is longer than the last bound, only that is known.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    lower, seen = 0.0, 0
    for bound, count in zip(BOUNDS, counts, strict=False):
        if count and seen + count >= wanted:
            return lower + (bound - lower) * (wanted - seen) / count
        seen += count
        lower = bound
    return BOUNDS[-1]
