"""ThrottledLogger: what is logged, what is counted, and when it is logged again."""

import logging

import pytest

from waitress_core.safe_logger import SafeLogger
from waitress_core.throttled_logger import ThrottledLogger

SECONDS = 10.0

logger = SafeLogger(logging.getLogger("waitress"))


def messages(caplog: pytest.LogCaptureFixture, throttled: ThrottledLogger, *instants: float) -> list[str]:
    """Log an event at each instant; return what was logged."""
    for now in instants:
        throttled.log(logging.WARNING, now, "at %g", now)
    return caplog.messages


@pytest.mark.parametrize(
    ("instants", "expected"),
    [
        ([0], ["at 0"]),
        ([-1000], ["at -1000"]),
        ([0, 0, 9.75], ["at 0"]),
        ([0, 10], ["at 0", "at 10"]),
        ([0, 5, 10, 15, 20], ["at 0", "at 10", "at 20"]),
        ([0, 19, 20, 29], ["at 0", "at 19", "at 29"]),
    ],
    ids=["first", "first early", "within", "after", "steady", "from the record"],
)
def test_one_event_is_logged_in_the_seconds_after_a_record(
    caplog: pytest.LogCaptureFixture, instants: list[float], expected: list[str]
) -> None:
    assert messages(caplog, ThrottledLogger(logger, SECONDS), *instants) == expected


@pytest.mark.parametrize(
    ("instants", "expected"),
    [
        ([0], ["at 0"]),
        ([0, 5, 10, 15, 20], ["at 0"]),
        ([0, 10], ["at 0", "at 10"]),
        ([0, 9, 18, 28], ["at 0", "at 28"]),
    ],
    ids=["first", "steady", "after", "from the last event"],
)
def test_until_quiet_an_event_is_logged_only_after_seconds_without_one(
    caplog: pytest.LogCaptureFixture, instants: list[float], expected: list[str]
) -> None:
    assert messages(caplog, ThrottledLogger(logger, SECONDS, until_quiet=True), *instants) == expected


def test_a_record_has_the_level_the_traceback_and_the_place_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("x")
    try:
        raise error
    except ValueError:
        ThrottledLogger(logger, SECONDS).log(logging.ERROR, 0, "event", exc_info=True)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.filename) == ("waitress", "ERROR", "test_throttled_logger.py")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_events_that_were_suppressed_are_taken_as_one_record() -> None:
    throttled = ThrottledLogger(logger, SECONDS)
    assert throttled.take_suppressed(0) == 0  # there is none, and nothing is to be waited for
    throttled.suppress()
    throttled.suppress()
    assert throttled.take_suppressed(1) == 2
    throttled.suppress()
    assert [throttled.take_suppressed(now) for now in (2, 10.75, 11, 12)] == [0, 0, 1, 0]
