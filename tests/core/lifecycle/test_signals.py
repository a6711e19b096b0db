"""Signals: what each asks for, and which handlers are in place."""

import faulthandler
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.rows import each_row
from waitress_core.lifecycle import signals as module
from waitress_core.lifecycle.signals import (
    AGAIN_SECONDS,
    SUPERVISOR_ACTIONS,
    Action,
    SignalRequests,
    action_for,
    give_signals_back,
    handled_signals,
    what_ends_now,
)

NAMES = [
    name
    for name in ("SIGTERM", "SIGINT", "SIGBREAK", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
NUMBERS = [getattr(signal, name) for name in NAMES]
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


# --- the table

A_MOMENT = AGAIN_SECONDS - 0.01


@each_row("has_terminal", [False, True])
@each_row("draining_seconds", [None, 0.0, A_MOMENT, AGAIN_SECONDS, 1000.0])
@each_row(
    ("name", "action"),
    [
        ("SIGTERM", Action.DRAIN),
        ("SIGQUIT", Action.END),
        ("SIGUSR1", Action.REPORT),
        ("SIGUSR2", Action.IGNORE),
    ],
)
def test_most_signals_mean_the_same_however_often_they_come(
    name: str, action: Action, draining_seconds: float | None, has_terminal: bool
) -> None:
    assert action_for(name, draining_seconds=draining_seconds, has_terminal=has_terminal) is action


@pytest.mark.parametrize("name", ["SIGINT", "SIGBREAK"])
@pytest.mark.parametrize(
    ("draining_seconds", "action"),
    [
        (None, Action.DRAIN),
        (0.0, Action.DRAIN),
        (A_MOMENT, Action.DRAIN),
        (AGAIN_SECONDS, Action.END),
        (1000.0, Action.END),
    ],
)
def test_what_is_typed_again_ends_at_once(name: str, draining_seconds: float | None, action: Action) -> None:
    assert action_for(name, draining_seconds=draining_seconds, has_terminal=False) is action


@pytest.mark.parametrize("draining_seconds", [None, 1000.0])
def test_a_hangup_drains_if_the_terminal_is_gone(draining_seconds: float | None) -> None:
    assert action_for("SIGHUP", draining_seconds=draining_seconds, has_terminal=True) is Action.DRAIN
    assert action_for("SIGHUP", draining_seconds=draining_seconds, has_terminal=False) is Action.REOPEN


@pytest.mark.parametrize(
    ("name", "has_terminal", "platform", "words"),
    [
        ("SIGINT", True, "linux", "Ctrl-C again"),
        ("SIGINT", False, "linux", "a further SIGINT"),
        ("SIGINT", False, "win32", "Ctrl-C again"),
        ("SIGBREAK", False, "win32", "Ctrl-Break again"),
        ("SIGTERM", True, "linux", "SIGINT or SIGQUIT"),
        ("SIGTERM", False, "linux", "SIGINT or SIGQUIT"),
        ("SIGHUP", True, "linux", "SIGINT or SIGQUIT"),
        ("SIGTERM", False, "win32", "Ctrl-C"),
    ],
)
def test_what_ends_it_now_is_said_in_the_words_of_the_sender(
    name: str, has_terminal: bool, platform: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert what_ends_now(name, has_terminal=has_terminal) == words


# --- the handlers


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_reported_each_time_it_comes(name: str) -> None:
    told: list[str] = []
    with handled_signals(told.append):
        signal.raise_signal(getattr(signal, name))
        assert told == [name]
        signal.raise_signal(getattr(signal, name))
        assert told == [name, name]


def test_the_handlers_are_restored(defaults: dict[int, object]) -> None:
    with handled_signals(lambda name: None):
        assert all(handler is not defaults[number] for number, handler in handlers().items())
    assert handlers() == defaults


def test_the_handlers_are_restored_after_an_error(defaults: dict[int, object]) -> None:
    with pytest.raises(ValueError), handled_signals(lambda name: None):
        raise ValueError
    assert handlers() == defaults


def test_a_signal_that_the_program_handles_stays_its_own(defaults: dict[int, object]) -> None:
    got: list[int] = []
    told: list[str] = []
    signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    theirs = handlers()
    with handled_signals(told.append):
        signal.raise_signal(signal.SIGTERM)
        assert (got, told) == ([signal.SIGTERM], [])
        signal.raise_signal(signal.SIGINT)
        assert told == ["SIGINT"]
    assert handlers() == theirs


@pytest.mark.parametrize("number", NUMBERS, ids=NAMES)
def test_an_ignored_signal_stays_ignored(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with handled_signals(lambda name: pytest.fail("it was to be ignored")):
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc, which shows handlers outside of Python"
)
def test_a_signal_that_is_handled_outside_of_python_stays_as_it_is(tmp_path: Path) -> None:
    # Python itself takes such a handler for the default.
    if sys.platform != "win32":
        with (tmp_path / "traceback").open("w+") as file:
            faulthandler.register(signal.SIGUSR1, file)
            try:
                assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
                with handled_signals(lambda name: pytest.fail("it is handled already")):
                    signal.raise_signal(signal.SIGUSR1)
                    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
            finally:
                faulthandler.unregister(signal.SIGUSR1)
            file.seek(0)
            assert "test_signals.py" in file.read()


def test_where_the_system_does_not_say_all_defaults_are_handled(
    defaults: dict[int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_proc(*arguments: object, **more: object) -> io.StringIO:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    with handled_signals(lambda name: None):
        assert all(handler is not defaults[number] for number, handler in handlers().items())


def test_another_object_of_the_main_thread_is_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As eventlet has one: `current_thread()` and `main_thread()` are two objects there, of two classes."""
    patched = type("_MainThread", (threading.Thread,), {})()
    monkeypatch.setattr(threading, "current_thread", lambda: patched)
    told: list[str] = []
    with handled_signals(told.append):
        signal.raise_signal(signal.SIGTERM)
    assert told == ["SIGTERM"]


def test_only_the_main_thread_takes_signals(defaults: dict[int, object]) -> None:
    seen: list[dict[int, object]] = []

    def serve() -> None:
        with handled_signals(lambda name: None):
            seen.append(handlers())

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join(SOON)
    assert seen == [defaults]


def test_of_two_contexts_the_outer_one_gets_the_signal(defaults: dict[int, object]) -> None:
    told: list[str] = []
    with handled_signals(lambda name: told.append(f"outer {name}")):
        with handled_signals(lambda name: told.append(f"inner {name}")):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert told == ["outer SIGTERM", "outer SIGTERM"]
    assert handlers() == defaults


def test_a_forked_child_can_give_the_signals_back(defaults: dict[int, object]) -> None:
    with handled_signals(lambda name: None):
        give_signals_back()
        assert handlers() == defaults
    assert handlers() == defaults


class Requested:
    """What signals have asked for, at the instants of a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.clock))
        self.requests: list[object] = []
        self.signals = SignalRequests(
            drain=lambda ends_now: self.requests.append(("drain", ends_now)),
            end=lambda: self.requests.append("end"),
            act=lambda action, name: self.requests.append((action, name)),
        )


def test_a_server_is_asked_to_drain_once_and_to_end_by_what_is_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = Requested(monkeypatch)
    for name in ("SIGTERM", "SIGTERM", "SIGINT"):
        requested.signals.on_signal(name)
    assert requested.requests == [("drain", what_ends_now("SIGTERM", has_terminal=False))]
    requested.clock.advance(AGAIN_SECONDS)
    requested.signals.on_signal("SIGINT")
    assert requested.requests[1:] == ["end"]


def test_any_other_signal_is_acted_on_by_the_table_that_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = Requested(monkeypatch)
    requested.signals.on_signal("SIGHUP")
    monkeypatch.setattr(os, "isatty", lambda descriptor: False)
    with requested.signals.handled(SUPERVISOR_ACTIONS):
        requested.signals.on_signal("SIGHUP")
        requested.signals.on_signal("SIGTTIN")
    assert requested.requests == [
        (Action.REOPEN, "SIGHUP"),
        (Action.RELOAD, "SIGHUP"),
        (Action.MORE, "SIGTTIN"),
    ]


def test_a_terminal_that_has_gone_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = Requested(monkeypatch)
    monkeypatch.setattr(os, "isatty", lambda descriptor: True)
    with requested.signals.handled({}):
        requested.signals.on_signal("SIGHUP")
    assert requested.requests == [("drain", what_ends_now("SIGHUP", has_terminal=True))]
