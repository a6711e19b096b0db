"""The limit of an end that a signal has asked for: the timer of this process, as the system has it."""

import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from waitress_core.lifecycle.end_limit import LIMIT_SECONDS, LONGEST_SECONDS, lift_limit, set_limit
from waitress_core.lifecycle.signals import ACTIONS, SignalRequests

system: Any = signal  # it has these names where the tests run
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such timer")


@pytest.fixture(autouse=True)
def timer() -> Iterator[None]:
    """Have no timer and no handler of SIGALRM; give back what the test runner has."""
    handler, (left, _) = system.getsignal(system.SIGALRM), system.setitimer(system.ITIMER_REAL, 0)
    system.signal(system.SIGALRM, system.SIG_DFL)
    yield
    lift_limit()
    system.signal(system.SIGALRM, handler)
    system.setitimer(system.ITIMER_REAL, left)


def seconds_left() -> float:
    return float(system.getitimer(system.ITIMER_REAL)[0])


def test_the_shortest_time_counts() -> None:
    set_limit(1000)
    assert 1000 < seconds_left() <= 1000 + LIMIT_SECONDS
    set_limit(500)
    assert 500 < seconds_left() <= 500 + LIMIT_SECONDS
    set_limit(1000)
    assert 0 < seconds_left() <= 500 + LIMIT_SECONDS


@pytest.mark.parametrize("seconds", [1e8, 1e10, 1e18, 1e300])
def test_a_time_that_the_system_cannot_wait_for_is_the_longest(seconds: float) -> None:
    """A signal handler calls this: an error would lose the process its orderly end."""
    set_limit(seconds)
    assert LONGEST_SECONDS - 1 < seconds_left() <= LONGEST_SECONDS


def test_a_limit_that_is_lifted_leaves_nothing() -> None:
    set_limit(1000, lambda: None)
    assert system.getsignal(system.SIGALRM) is not system.SIG_DFL
    lift_limit()
    assert seconds_left() == 0
    assert system.getsignal(system.SIGALRM) is system.SIG_DFL


def test_the_end_of_a_server_lifts_the_limit() -> None:
    requests = SignalRequests(drain=set_limit_for, end=lambda: None, act=lambda action, name: None)
    with requests.handled(ACTIONS):
        requests.on_signal("SIGTERM")
        assert seconds_left() > 0
    assert seconds_left() == 0


def set_limit_for(ends_now: str) -> None:
    set_limit(1000)


def test_without_others_to_end_the_system_ends_the_process_by_itself() -> None:
    set_limit(1000)
    assert system.getsignal(system.SIGALRM) is system.SIG_DFL


def test_the_alarm_of_a_program_stays() -> None:
    system.alarm(300)
    set_limit(0)
    lift_limit()
    assert 200 < seconds_left() <= 300


def test_the_handler_of_a_program_stays() -> None:
    def handle(number: int, frame: object) -> None:
        pass

    system.signal(system.SIGALRM, handle)
    set_limit(0)
    lift_limit()
    assert seconds_left() == 0
    assert system.getsignal(system.SIGALRM) is handle
