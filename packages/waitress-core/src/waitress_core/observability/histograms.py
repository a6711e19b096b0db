"""How long something takes, counted in buckets as Prometheus has them.

Thread: one writer; a reader in another thread sees the counts as they were a moment ago.
"""

from bisect import bisect_left

# Upper bounds in seconds, each of which its bucket includes; one more bucket has all that is longer.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Durations in seconds: how many are in each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
