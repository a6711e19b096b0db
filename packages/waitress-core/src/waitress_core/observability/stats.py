"""A snapshot of what a server does, and the counters that it is made from.

Counting a request costs an addition and no lock. Each of those counters has one writer, the leader; a reader in another
thread sees it as it was a moment ago. What is rare is counted by a label, under a lock, from any thread.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..threads.running import RunningTask

STATUS_CLASSES = {"2": "2xx", "3": "3xx", "4": "4xx", "5": "5xx", "": "none"}  # by the first character of a status

# Why a connection has ended.
END_REASONS = {
    "client_closed": "the client has closed it",
    "client_reset": "the client has reset it, or the network has failed",
    "response": "a response has ended it: `Connection: close`, HTTP/1.0, or a response that has failed",
    "refused": "a request was refused",
    "handshake": "the TLS handshake has failed",
    "deadline": "the client was too slow, see `waitress_deadlines_total`",
    "room": "others needed its place, at {confval}`connection_limit` or because it kept a thread waiting",
    "shutdown": "the server stops",
    "error": "the server or the system has failed",
}
# Deadlines of clients, and the settings that they have from.
DEADLINES = {
    "handshake": "{confval}`tls_handshake_timeout`",
    "idle": "{confval}`channel_timeout` for the next request",
    "head": "{confval}`request_head_timeout`",
    "body": "{confval}`request_body_timeout`",
    "response": "{confval}`response_timeout`, or {confval}`channel_timeout` at less than {confval}`response_rate`",
    "linger": "{confval}`linger_timeout`",
}
# Why a worker of several has ended.
EXIT_REASONS = {
    "retired": "the supervisor has retired it, because of a reload, SIGTTOU, its age, its memory, its number of "
    "requests, or threads that it has lost to {confval}`request_timeout`",
    "stopped": "the server stops",
    "timeout": "its reactor has not responded for {confval}`worker_timeout`",
    "killed": "it has not ended in time, and the supervisor has killed it",
    "signal": "something else, or the system, has killed it",
    "exit": "it has ended by itself",
    "not_started": "it has ended before it served",
}
# What has become of TLS handshakes.
HANDSHAKES = {
    "done": "it is complete",
    "failed": "client and server have not agreed",
    "plain": "the client has sent plain HTTP",
    "late": "it was not complete within {confval}`tls_handshake_timeout`",
}


class ServerStats(NamedTuple):
    """The figures of a server at one moment; `_asdict()` returns them for JSON.

    Counters start at zero with `run` or `start`, and only grow. If nothing else happens, it may take a second until a
    response that has ended is counted.
    """

    connections: int
    """Open client connections."""
    idle_connections: int
    """Connections that wait for a request, without a byte of it."""
    connections_by_state: Mapping[str, int]
    """Open connections by state.

    "handshake" during the handshake of TLS; "idle"; "head" and "body" while a request arrives; "task" while a request
    waits for a thread or runs; "flush" while the rest of a response is sent; "linger" while the server waits for the
    client to close.
    """
    queue_depth: int
    """Requests that wait for a thread."""
    threads: int
    """Threads that run the application."""
    threads_busy: int
    """Threads that run it now."""
    oldest_request_seconds: float
    """How long the oldest running call of the application has been running; 0 if none runs."""
    requests: int
    """Requests that have ended, in any way."""
    responses: Mapping[str, int]
    """Requests that have ended, by the class of their status.

    "2xx", "3xx", "4xx", "5xx"; "none" if no response could start.
    """
    bytes_in: int
    """Bytes received."""
    bytes_out: int
    """Bytes sent."""


def add_counts(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of several counts by name; a name that one lacks is 0 there."""
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


# How a field is added up over several workers, unless it is a sum.
_ADDITIONS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "connections_by_state": add_counts,
    "oldest_request_seconds": max,
    "responses": add_counts,
}


def add_stats(parts: Sequence[ServerStats]) -> ServerStats:
    """Return what several workers, at least one, do together."""
    columns = zip(ServerStats._fields, zip(*parts, strict=True), strict=True)
    return ServerStats(*(_ADDITIONS[name](values) if name in _ADDITIONS else sum(values) for name, values in columns))


def totals_only(stats: ServerStats) -> ServerStats:
    """Return the counters that only grow, of a worker that has ended; all else is 0."""
    return stats._replace(
        connections=0,
        idle_connections=0,
        connections_by_state=dict.fromkeys(stats.connections_by_state, 0),
        queue_depth=0,
        threads=0,
        threads_busy=0,
        oldest_request_seconds=0.0,
    )


class LabelledCounter:
    """Counts events that are rare, by a label of a small set. Thread: any."""

    __slots__ = ("_counts", "_lock")

    def __init__(self, labels: Iterable[str] = ()) -> None:
        # Without the lock two threads could add one to the same number, and one of the events would be lost.
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(labels, 0)

    def add(self, label: str) -> None:
        """Count an event."""
        with self._lock:
            self._counts[label] = self._counts.get(label, 0) + 1

    def counts(self) -> dict[str, int]:
        """Return a copy of the counts by label. Takes no lock: a signal handler may call it while its thread adds."""
        return self._counts.copy()  # in one step, also without the GIL


class Counters:
    """What is counted while a server runs. Thread: written by the leader, read by any."""

    __slots__ = ("by_end_reason", "by_status", "bytes_in", "deadlines", "ended_bytes_out", "handshakes", "refused")

    def __init__(self) -> None:
        # Counted by label, from any thread
        self.refused = LabelledCounter()  # requests, by rule: the name of an error, or of a setting
        self.deadlines = LabelledCounter(DEADLINES)  # that clients have not kept
        self.handshakes = LabelledCounter(HANDSHAKES)
        # Leader only
        self.bytes_in = 0
        self.ended_bytes_out = 0  # of connections that have ended: added when they are no longer among the open ones
        self.by_status = dict.fromkeys(STATUS_CLASSES, 0)  # requests that have ended
        self.by_end_reason = dict.fromkeys(END_REASONS, 0)  # connections that have ended


def make_stats(
    counters: Counters,
    *,
    states: Mapping[str, int],  # the open connections by state
    threads: int,
    by_status: Mapping[str, int] | None = None,  # in place of those that `counters` has
    bytes_out: int = 0,
    queue_depth: int = 0,
    running: Sequence[RunningTask] = (),  # what application threads run
) -> ServerStats:
    """Return the snapshot."""
    by_status = counters.by_status if by_status is None else by_status
    responses = {STATUS_CLASSES[first]: count for first, count in by_status.items()}
    return ServerStats(
        connections=sum(states.values()),
        idle_connections=states["idle"],
        connections_by_state=states,
        queue_depth=queue_depth,
        threads=threads,
        threads_busy=len(running),
        oldest_request_seconds=max((task.seconds for task in running), default=0.0),
        requests=sum(responses.values()),
        responses=responses,
        bytes_in=counters.bytes_in,
        bytes_out=bytes_out,
    )
