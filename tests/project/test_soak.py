"""The soak distinguishes figures that rise from those that do not."""

import pytest

from tests.soak.soak import MOST_GROWTH, Sample, is_level

LEVEL = [Sample(number / 10, 20_000_000, 50_000 + number % 2, 9, 7) for number in range(40)]


def test_a_figure_that_goes_up_and_down_a_little_is_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_level(LEVEL)
    assert capsys.readouterr().out.count("level") == len(MOST_GROWTH)


@pytest.mark.parametrize("name", MOST_GROWTH)
def test_a_figure_that_grows_in_every_round_is_reported(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    step = max(1, MOST_GROWTH[name] // 20)
    samples = [sample._replace(**{name: getattr(sample, name) + number * step}) for number, sample in enumerate(LEVEL)]
    assert not is_level(samples)
    assert f"{name}: " in capsys.readouterr().out


def test_a_rise_in_the_first_rounds_is_ignored() -> None:
    assert is_level([LEVEL[0]._replace(memory=5_000_000), *LEVEL[1:]])


def test_too_few_rounds_are_not_level() -> None:
    assert not is_level(LEVEL[:2])
