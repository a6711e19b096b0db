"""The Date field."""

import time
from email.utils import formatdate

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.rows import each_row
from waitress_core.http import dates
from waitress_core.http.dates import current_date, imf_fixdate

SECONDS = [0, 784111777, 951782400, 1709164800, 1_000_000_000, 2**31, 4102444799]
A_SEASON = range(86400 * 300, 86400 * 400, 86399)


@each_row("seconds", [*SECONDS, *A_SEASON])
def test_a_date_is_as_the_standard_library_writes_it(seconds: int) -> None:
    assert imf_fixdate(seconds) == formatdate(seconds, usegmt=True)


def test_a_date_is_formatted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    formatted: list[float] = []

    def count(seconds: float) -> str:
        formatted.append(seconds)
        return imf_fixdate(seconds)

    monkeypatch.setattr(dates, "imf_fixdate", count)
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(dates, "_last_date", (0, ""))
    for clock.now, expected in (
        (784111777.0, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111777.9, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111778.0, "Sun, 06 Nov 1994 08:49:38 GMT"),
        (784111777.5, "Sun, 06 Nov 1994 08:49:37 GMT"),
    ):
        assert current_date() == expected
    assert formatted == [784111777, 784111778, 784111777]
