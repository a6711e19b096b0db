"""How long something takes, counted in buckets as Prometheus has them.

Durations are added many at a time: sorted, they take a third of the steps.

Thread: one at a time.
"""

from bisect import bisect_right
from itertools import pairwise

# Upper bounds in seconds, each of which its bucket includes; one more bucket has all that is longer.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Durations in seconds: how many are in each bucket, and their sum."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, durations: list[float]) -> None:
        """Count these durations, and sort the list."""
        durations.sort()
        ends = (0, *(bisect_right(durations, bound) for bound in BOUNDS), len(durations))
        for bucket, (start, end) in enumerate(pairwise(ends)):
            self._counts[bucket] += end - start
        self._total += sum(durations)

    def figures(self) -> tuple[list[int], float]:
        """Return how many are in each bucket, at last those that are longer; and the sum in seconds."""
        return self._counts.copy(), self._total
