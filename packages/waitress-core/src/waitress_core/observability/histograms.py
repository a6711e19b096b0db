"""How long something takes, counted in buckets as Prometheus has them.

A duration is noted first, and put into its bucket later together with others: sorted, they take a third of the steps.

Thread: one writer; a reader in another thread sees what was noted until a moment ago.
"""

import threading
from bisect import bisect_right
from itertools import pairwise

# Upper bounds in seconds, each of which its bucket includes; one more bucket has all that is longer.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Durations in seconds: how many are in each bucket, and their sum. The writer appends to `noted`."""

    __slots__ = ("_counts", "_lock", "_total", "noted")

    def __init__(self) -> None:
        # Guarded by self._lock: without it a reader could count twice what is put into buckets meanwhile
        self._lock = threading.Lock()
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0
        self.noted: list[float] = []  # the same list for ever

    def tick(self) -> None:
        """Put into buckets what was noted. Thread: the writer, once a second."""
        with self._lock:
            self._counts, self._total = self._figures()
            self.noted.clear()

    def figures(self) -> tuple[list[int], float]:
        """Return how many are in each bucket, at last those that are longer; and the sum in seconds. Thread: any."""
        with self._lock:
            return self._figures()

    def _figures(self) -> tuple[list[int], float]:
        noted = sorted(self.noted.copy())
        ends = (0, *(bisect_right(noted, bound) for bound in BOUNDS), len(noted))
        counts = [count + end - start for count, (start, end) in zip(self._counts, pairwise(ends), strict=True)]
        return counts, self._total + sum(noted)
