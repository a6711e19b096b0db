"""What is measured of each request, for a server with a status server: its method, its time, and its time in the queue.

A server without one has no such object, and its requests pay for nothing but the question. The leader notes a request
when it has ended, without a lock. What was noted is counted when somebody reads the figures, and at least once a
second: for many at a time that costs least.
"""

import threading

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
    """Counts the requests of a server. Thread: any, except where a method names one."""

    __slots__ = ("_counts", "_durations", "_lock", "_noted", "_noted_of_other", "_noted_waits", "_waits")

    def __init__(self) -> None:
        # Appended to by the leader, without the lock; emptied by `_settle`. The durations of requests, by method and by
        # the first character of the status; and how long they have waited, unless their task never started.
        self._noted: dict[str, dict[str, list[float]]] = {
            method: {first: [] for first in STATUS_CLASSES} for method in (*METHODS, OTHER)
        }
        self._noted_of_other = self._noted[OTHER]
        self._noted_waits: list[float] = []
        # Guarded by self._lock: without it two threads could both settle the same durations. Reentrant: a program's
        # signal handler may call `stats()` while its thread is inside, and must not wait for ever.
        self._lock = threading.RLock()
        self._counts = {method: dict.fromkeys(STATUS_CLASSES, 0) for method in self._noted}
        self._durations = Histogram()
        self._waits = Histogram()

    def end(self, method: str, status: str, arrived_at: float, called_at: float, ended_at: float) -> None:
        """Count a request. Three instants of the reactor's clock: it was complete, its task started, its task ended.

        `called_at` is before `arrived_at`, an earlier request's, if the task did not start. `status` is empty if no
        response could start.

        Every request calls this: it only notes what `_settle` counts, and calls no function that is written in Python.

        Thread: the leader.
        """
        try:
            noted = self._noted[method][status[0]]
        except (KeyError, IndexError):  # another method, or no response; checks would cost every request more
            noted = self._noted.get(method, self._noted_of_other)[status[:1]]
        noted.append(ended_at - arrived_at)
        if called_at >= arrived_at:
            self._noted_waits.append(called_at - arrived_at)

    def count(self, method: str, status: str) -> None:
        """Count a request that gets no task; `status` is empty without an answer."""
        with self._lock:
            self._counts[method if method in self._counts else OTHER][status[:1]] += 1

    def tick(self) -> None:
        """Count what was noted in the last second: nobody may ever ask for it."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        """Count what was noted. Call it with the lock held."""
        for method, by_status in self._noted.items():
            for first, noted in by_status.items():
                if noted:
                    durations = _take(noted)
                    self._counts[method][first] += len(durations)
                    self._durations.add(durations)
        if self._noted_waits:
            self._waits.add(_take(self._noted_waits))

    def by_status(self) -> dict[str, int]:
        """Return how many requests have ended, by the first character of their status."""
        with self._lock:
            self._settle()
            methods = self._counts.values()
            return {first: sum(counts[first] for counts in methods) for first in STATUS_CLASSES}

    def requests(self) -> dict[str, dict[str, int]]:
        """Return how many requests have ended by method and class of status; only methods that have come."""
        with self._lock:
            self._settle()
            return {
                method: {STATUS_CLASSES[first]: count for first, count in counts.items()}
                for method, counts in self._counts.items()
                if any(counts.values())
            }

    def durations(self) -> tuple[list[int], float]:
        """Return how many requests were in each bucket, from complete request to the end of the task; and the sum."""
        with self._lock:
            self._settle()
            return self._durations.figures()

    def waits(self) -> tuple[list[int], float]:
        """Return the same, from complete request to the start of the task."""
        with self._lock:
            self._settle()
            return self._waits.figures()


def _take(noted: list[float]) -> list[float]:
    """Empty a list, and return what was in it. Another thread may append to it meanwhile: nothing is lost."""
    taken = noted.copy()
    del noted[: len(taken)]
    return taken
