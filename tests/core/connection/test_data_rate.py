"""Patience: what time takes of it, what octets give back, and that it never grows."""

import pytest

from waitress_core.connection.data_rate import Patience

NOW = 1000.0


def seconds_of(patience: Patience, moved_a_second: float, is_free: bool = False) -> int | None:
    """Look once a second; return after how many none is left, None for never."""
    for second in range(1, 2000):
        if not patience.spend(NOW + second, int(second * moved_a_second), is_free=is_free):
            return second
    return None


@pytest.mark.parametrize(
    ("moved_a_second", "expected"),
    [
        pytest.param(0, 20, id="nothing"),
        pytest.param(0.5, 21, id="an octet every two seconds"),
        pytest.param(50, 40, id="half the rate"),
        pytest.param(75, 80, id="three quarters of the rate"),
        pytest.param(100, None, id="the rate"),
        pytest.param(1000, None, id="more"),
    ],
)
def test_patience_lasts_as_long_as_the_pace_allows(moved_a_second: float, expected: int | None) -> None:
    assert seconds_of(Patience(20, 100, NOW), moved_a_second) == expected


@pytest.mark.parametrize("moved", [0, 2000, 1_000_000_000])
def test_it_never_grows_beyond_what_it_was(moved: int) -> None:
    patience = Patience(20, 100, NOW)
    assert patience.spend(NOW + 1, moved)
    assert patience.spend(NOW + 19, moved)
    assert patience.spend(NOW + 20, moved) == (moved > 0)
    assert not patience.spend(NOW + 21, moved)


def test_what_moves_now_and_then_is_enough_when_it_keeps_the_rate() -> None:
    patience = Patience(20, 100, NOW)
    for second in range(1, 200):
        assert patience.spend(NOW + second, second // 19 * 1900)


def test_free_time_takes_nothing_and_what_moves_in_it_counts() -> None:
    patience = Patience(20, 100, NOW)
    assert patience.spend(NOW + 15, 0)
    assert patience.spend(NOW + 500, 500, is_free=True)
    assert patience.spend(NOW + 509, 500)
    assert not patience.spend(NOW + 510, 500)


def test_what_has_moved_before_does_not_count() -> None:
    patience = Patience(20, 100, NOW, moved_bytes=1_000_000)
    assert patience.spend(NOW + 19, 1_000_000)
    assert not patience.spend(NOW + 20, 1_000_000)
