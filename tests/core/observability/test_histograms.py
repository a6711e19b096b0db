"""Durations in buckets."""

from __future__ import annotations

import itertools

import pytest

from waitress_core.observability.histograms import BOUNDS, Histogram
from waitress_core.observability.snapshot import quantile


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.001, 0), (0.0011, 1), (0.05, 5), (60.0, 14), (60.1, 15), (-1.0, 0)],
)
def test_a_bound_belongs_to_its_bucket(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add([seconds])
    assert histogram.figures()[0].index(1) == bucket
    assert histogram.figures()[1] == seconds


def test_what_is_added_later_is_counted_besides() -> None:
    histogram = Histogram()
    histogram.add([0.5, 0.0, 0.5, 100.0])
    histogram.add([0.5])
    histogram.add([])
    assert histogram.figures() == ([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1], 101.5)


def test_the_bounds_are_from_a_millisecond_to_a_minute() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (0.001, 60.0)
    assert all(lower < upper for lower, upper in itertools.pairwise(BOUNDS))


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0] * 16, 0.5, None),
        ([4] + [0] * 15, 0.5, 0.0005),
        ([0, 2] + [0] * 14, 1.0, 0.0025),
        ([9, 0, 0, 1] + [0] * 12, 0.99, 0.0095),
        ([0] * 15 + [3], 0.5, 60.0),
    ],
    ids=["none", "middle", "all", "last-bucket", "longer"],
)
def test_a_quantile_is_interpolated_in_its_bucket(counts: list[int], share: float, expected: float | None) -> None:
    assert quantile(counts, share) == pytest.approx(expected)
