"""The minimum data rate: what time uses up, what bytes give back, and that the budget never grows."""

import pytest

from waitress_core.connection.data_rate import QUICK, MinDataRate

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


def check_each_second(rate: MinDataRate, first: int, last: int, moved: int) -> bool:
    """Check in each of these seconds; return what the last check says."""
    return [rate.is_too_slow(NOW + second, moved) for second in range(first, last + 1)][-1]


@pytest.mark.parametrize("moved", [0, 2000, 1_000_000_000])
def test_the_budget_never_grows_beyond_what_it_was(moved: int) -> None:
    rate = MinDataRate(20, 100, NOW)
    assert not rate.is_too_slow(NOW + 1, moved)
    assert not check_each_second(rate, 2, 19, moved)
    assert rate.is_too_slow(NOW + 20, moved) == (moved == 0)
    assert rate.is_too_slow(NOW + 21, moved)


def test_what_moves_now_and_then_is_enough_when_it_keeps_the_rate() -> None:
    rate = MinDataRate(20, 100, NOW)
    for second in range(1, 200):
        assert not rate.is_too_slow(NOW + second, second // 19 * 1900)


def test_free_time_uses_nothing_up_and_what_moves_in_it_counts() -> None:
    rate = MinDataRate(20, 100, NOW)
    assert not check_each_second(rate, 1, 15, 0)
    assert not rate.is_too_slow(NOW + 500, 500, is_free=True)
    assert not check_each_second(rate, 501, 509, 500)
    assert rate.is_too_slow(NOW + 510, 500)


def test_what_has_moved_before_does_not_count() -> None:
    rate = MinDataRate(20, 100, NOW, moved_bytes=1_000_000)
    assert not check_each_second(rate, 1, 19, 1_000_000)
    assert rate.is_too_slow(NOW + 20, 1_000_000)


@pytest.mark.parametrize("held_up", [2, 30, 3600])
def test_time_in_which_nothing_could_be_checked_is_not_charged(held_up: int) -> None:
    """An application keeps the interpreter, or a signal stops the process."""
    rate = MinDataRate(20, 100, NOW)
    assert not check_each_second(rate, 1, 17, 0)
    assert not rate.is_too_slow(NOW + 17 + held_up, 0)
    assert rate.is_too_slow(NOW + 18 + held_up, 0)


def test_the_present_rate_follows_what_has_moved_lately() -> None:
    rate = MinDataRate(20, 100, NOW)
    seen = []
    for second, moved in enumerate([8192, 12_288, 12_288, 12_288, 12_288 + QUICK], 1):
        rate.is_too_slow(NOW + second, moved)
        seen.append(rate.bytes_per_second)
    assert seen == [QUICK, 10_240, 5_120, 2_560, (2_560 + QUICK) / 2]
    before = rate.bytes_per_second
    rate.is_too_slow(NOW + 5, 65_000)  # a second check at the same time
    assert rate.bytes_per_second == before


@pytest.mark.parametrize("burst", [QUICK, 100_000, 1 << 30])
def test_after_a_burst_of_any_size_a_client_is_slow_again_within_a_moment(burst: int) -> None:
    rate = MinDataRate(20, 100, NOW)
    rate.is_too_slow(NOW + 1, burst)
    assert rate.bytes_per_second >= QUICK
    rate.is_too_slow(NOW + 2, burst)
    assert rate.bytes_per_second < QUICK


def test_a_client_is_as_far_behind_as_it_has_used_up_of_its_budget() -> None:
    rate = MinDataRate(20, 100, NOW)
    assert rate.behind_seconds == 0
    assert not check_each_second(rate, 1, 5, 0)
    assert rate.behind_seconds == 5
    rate.is_too_slow(NOW + 5, 10_000)
    assert rate.behind_seconds == 0
