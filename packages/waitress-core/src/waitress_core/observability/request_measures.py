"""What is measured of each request, for a server with a status server: its method, its time, and its time in the queue.

A server without one has no such object, and its requests pay for nothing but the question. The connection notes when
its request was complete, the task when an application thread has started it, and the leader counts it when it has
ended. So everything is counted by one thread, and without a lock.
"""

from collections.abc import Callable
from typing import Any

from ..threads.tasks import Task
from .histograms import Histogram
from .stats import STATUS_CLASSES

# The IANA registry of methods: any other word is the client's, and is counted as OTHER.
_REGISTERED = """
GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK
LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PRI PROPFIND PROPPATCH REBIND REPORT
SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
"""
METHODS = tuple(_REGISTERED.split())
OTHER = "other"


class RequestMeasures:
    """Counts the requests of a server. Thread: written by the leader, read by any."""

    __slots__ = ("_by_method", "_durations", "_noted_durations", "_noted_waits", "_other", "_waits")

    def __init__(self) -> None:
        self._by_method = {method: dict.fromkeys(STATUS_CLASSES, 0) for method in (*METHODS, OTHER)}
        self._other = self._by_method[OTHER]
        self._durations = Histogram()
        self._waits = Histogram()
        self._noted_durations = self._durations.noted
        self._noted_waits = self._waits.noted

    def measured(self, make_task: Callable[[Any, Any], Task]) -> Callable[[Any, Any], Task]:
        """Return what makes the task of a complete request of a connection, and notes that it is measured."""

        def make(connection: Any, request: Any) -> Task:
            connection.measured = (request.head.method, connection.reactor.now)
            return make_task(connection, request)

        return make

    def end(self, measured: tuple[str, float], called_at: float, status: str, ended_at: float) -> None:
        """Count a request: `measured` has its method and the instant at which it was complete, of the reactor's clock.

        `called_at` is the instant at which its task started, an earlier request's if it did not; `ended_at` is that of
        the end of its task. `status` is empty if no response could start.

        Every request calls this, and it calls no function that is written in Python.
        """
        method, started_at = measured
        try:
            counts = self._by_method[method]
        except KeyError:
            counts = self._other
        counts[status[0] if status else ""] += 1  # a slice would cost more
        self._noted_durations.append(ended_at - started_at)
        if called_at >= started_at:
            self._noted_waits.append(called_at - started_at)

    def tick(self) -> None:
        """Put what was measured in the last second into the histograms."""
        self._durations.tick()
        self._waits.tick()

    def count(self, method: str, status: str) -> None:
        """Count a request that gets no task; `status` is empty without an answer."""
        self._by_method.get(method, self._other)[status[:1]] += 1

    # --- any thread

    def by_status(self) -> dict[str, int]:
        """Return how many requests have ended, by the first character of their status."""
        methods = self._by_method.values()
        return {first: sum(counts[first] for counts in methods) for first in STATUS_CLASSES}

    def requests(self) -> dict[str, dict[str, int]]:
        """Return how many requests have ended by method and class of status; only methods that have come."""
        return {
            method: {STATUS_CLASSES[first]: count for first, count in counts.items()}
            for method, counts in self._by_method.items()
            if any(counts.values())
        }

    def durations(self) -> tuple[list[int], float]:
        """Return how many requests were in each bucket, from complete request to the end of the task; and the sum."""
        return self._durations.figures()

    def waits(self) -> tuple[list[int], float]:
        """Return the same, from complete request to the start of the task."""
        return self._waits.figures()
