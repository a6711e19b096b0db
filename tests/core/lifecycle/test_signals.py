"""Signals that end a server."""

import signal
import threading
from collections.abc import Iterator

import pytest

from waitress_core.lifecycle.signals import ending_signals, give_signals_back

NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once


@pytest.fixture(autouse=True)
def defaults() -> Iterator[dict[int, object]]:
    """Have the handlers of a program that has installed none; return them by number."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield {number: signal.getsignal(number) for number in NUMBERS}
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers() -> dict[int, object]:
    return {number: signal.getsignal(number) for number in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_reported_each_time_it_comes(number: int) -> None:
    told: list[str] = []
    with ending_signals(lambda: told.append("told")):
        signal.raise_signal(number)
        assert told == ["told"]
        signal.raise_signal(number)
        assert told == ["told", "told"]


def test_the_handlers_are_restored(defaults: dict[int, object]) -> None:
    with ending_signals(lambda: None):
        assert all(handler is not defaults[number] for number, handler in handlers().items())
    assert handlers() == defaults


def test_the_handlers_are_restored_after_an_error(defaults: dict[int, object]) -> None:
    with pytest.raises(ValueError), ending_signals(lambda: None):
        raise ValueError
    assert handlers() == defaults


def test_a_signal_that_the_program_handles_stays_its_own(defaults: dict[int, object]) -> None:
    got: list[int] = []
    told: list[str] = []
    signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    theirs = handlers()
    with ending_signals(lambda: told.append("told")):
        signal.raise_signal(signal.SIGTERM)
        assert (got, told) == ([signal.SIGTERM], [])
        signal.raise_signal(signal.SIGINT)
        assert told == ["told"]
    assert handlers() == theirs


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ending_signals(lambda: pytest.fail("it was to be ignored")):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_object_of_the_main_thread_is_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As eventlet has one: `current_thread()` and `main_thread()` are two objects there, of two classes."""
    patched = type("_MainThread", (threading.Thread,), {})()
    monkeypatch.setattr(threading, "current_thread", lambda: patched)
    told: list[str] = []
    with ending_signals(lambda: told.append("told")):
        signal.raise_signal(signal.SIGTERM)
    assert told == ["told"]


def test_only_the_main_thread_takes_signals(defaults: dict[int, object]) -> None:
    seen: list[dict[int, object]] = []

    def serve() -> None:
        with ending_signals(lambda: None):
            seen.append(handlers())

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join(SOON)
    assert seen == [defaults]


def test_of_two_contexts_the_outer_one_gets_the_signal(defaults: dict[int, object]) -> None:
    told: list[str] = []
    with ending_signals(lambda: told.append("outer")):
        with ending_signals(lambda: told.append("inner")):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert told == ["outer", "outer"]
    assert handlers() == defaults


def test_a_forked_child_can_give_the_signals_back(defaults: dict[int, object]) -> None:
    with ending_signals(lambda: None):
        give_signals_back()
        assert handlers() == defaults
    assert handlers() == defaults
