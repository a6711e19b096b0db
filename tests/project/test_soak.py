"""The soak distinguishes figures that rise from those that do not, and requests that a kill has cut from lost ones."""

from pathlib import Path

import pytest

from tests.soak import workers
from tests.soak.soak import MOST_GROWTH, Sample, is_level
from tests.support.steady_load import Failure

LEVEL = [Sample(number / 10, 20_000_000, 50_000 + number % 2, 9, 7) for number in range(40)]

KILL = workers.Kill(7, at=10.0, gone_at=11.0)


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


@pytest.mark.parametrize(
    ("failure", "fate"),
    [
        (Failure(0, 1, 9.0, 9.5, "7", 10.5, ""), "ran"),
        (Failure(0, 2, 9.0, 9.5, "7", 10.5, ""), "queued"),
        (Failure(0, 2, 10.2, 10.2, "", 10.5, ""), "queued"),
        (Failure(0, 2, 9.0, 10.2, "7", 10.5, ""), "idle"),
        (Failure(0, 2, 9.0, 9.5, "8", 10.5, ""), "lost"),
        (Failure(0, 2, 11.5, 11.5, "", 12.0, ""), "lost"),
        (Failure(0, 2, 9.0, 9.2, "7", 9.5, ""), "lost"),
    ],
    ids=["ran", "queued", "accepted-by-the-dying", "idle", "of-another-worker", "new-afterwards", "before-the-kill"],
)
def test_a_request_that_a_kill_has_cut_is_no_lost_one(
    failure: Failure, fate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST_REQUESTS", 10)
    ledger = workers.Ledger(tmp_path)
    ledger.note(0, 1)
    assert workers.fate(failure, [KILL], ledger) == fate
