"""The minimum data rate: what time uses up, what bytes give back, and that the budget never grows."""

import pytest

from waitress_core.connection.data_rate import MinDataRate

NOW = 1000.0


def seconds_until_too_slow(rate: MinDataRate, moved_a_second: float, is_free: bool = False) -> int | None:
    """Check once a second; return after how many seconds it is too slow, None for never."""
    for second in range(1, 2000):
        if rate.is_too_slow(NOW + second, int(second * moved_a_second), is_free=is_free):
            return second
    return None


@pytest.mark.parametrize(
    ("moved_a_second", "expected"),
    [
        pytest.param(0, 20, id="nothing"),
        pytest.param(0.5, 21, id="a-byte-every-two-seconds"),
        pytest.param(50, 40, id="half-the-rate"),
        pytest.param(75, 80, id="three-quarters-of-the-rate"),
        pytest.param(100, None, id="the-rate"),
        pytest.param(1000, None, id="more"),
    ],
)
def test_the_budget_lasts_as_long_as_the_rate_allows(moved_a_second: float, expected: int | None) -> None:
    assert seconds_until_too_slow(MinDataRate(20, 100, NOW), moved_a_second) == expected


@pytest.mark.parametrize("moved", [0, 2000, 1_000_000_000])
def test_the_budget_never_grows_beyond_what_it_was(moved: int) -> None:
    rate = MinDataRate(20, 100, NOW)
    assert not rate.is_too_slow(NOW + 1, moved)
    assert not rate.is_too_slow(NOW + 19, moved)
    assert rate.is_too_slow(NOW + 20, moved) == (moved == 0)
    assert rate.is_too_slow(NOW + 21, moved)


def test_what_moves_now_and_then_is_enough_when_it_keeps_the_rate() -> None:
    rate = MinDataRate(20, 100, NOW)
    for second in range(1, 200):
        assert not rate.is_too_slow(NOW + second, second // 19 * 1900)


def test_free_time_uses_nothing_up_and_what_moves_in_it_counts() -> None:
    rate = MinDataRate(20, 100, NOW)
    assert not rate.is_too_slow(NOW + 15, 0)
    assert not rate.is_too_slow(NOW + 500, 500, is_free=True)
    assert not rate.is_too_slow(NOW + 509, 500)
    assert rate.is_too_slow(NOW + 510, 500)


def test_what_has_moved_before_does_not_count() -> None:
    rate = MinDataRate(20, 100, NOW, moved_bytes=1_000_000)
    assert not rate.is_too_slow(NOW + 19, 1_000_000)
    assert rate.is_too_slow(NOW + 20, 1_000_000)
