"""The thread that waits for the end of a run: what it does meanwhile, and what comes out of it."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.interruptions import interruptions
from waitress_core.lifecycle.waiter import CHECK_SECONDS, Waiter

SOON = 20.0


class Notifier:
    keep_alive_seconds = 0.25

    def __init__(self) -> None:
        self.calls = 0

    def keep_alive(self) -> None:
        self.calls += 1


def make(check: Callable[[], None] = lambda: None, *, is_alive: bool = True, notifier: Any = None) -> Waiter:
    return Waiter(deque(), check=check, is_alive=lambda: is_alive, notifier=notifier, seconds=60)


def test_what_it_is_given_before_the_end_is_called_once() -> None:
    called: list[str] = []
    waiter = make()
    waiter.call(lambda: called.append("first"))
    waiter.end()
    waiter.call(lambda: called.append("last"))
    waiter.wait()
    assert called == ["first", "last"]


def test_a_callback_that_fails_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    waiter = make()

    def fail() -> None:
        raise OSError("no tea")

    waiter.call(fail)
    waiter.call(lambda: called.append("next"))
    waiter.end()
    waiter.wait()
    assert called == ["next"]
    assert [record.exc_text is not None or record.exc_info is not None for record in caplog.records] == [True]


def test_it_checks_when_it_is_woken() -> None:
    checked = threading.Event()
    waiter = make(checked.set)
    waiting = threading.Thread(target=waiter.wait, daemon=True)
    waiting.start()
    waiter.wake()
    assert checked.wait(SOON)
    waiter.end()
    waiting.join(SOON)
    assert not waiting.is_alive()


def test_what_a_check_raises_comes_out() -> None:
    def fail() -> None:
        raise OSError("no tea")

    waiter = make(fail)
    waiter.wake()
    with pytest.raises(OSError, match="no tea"):
        waiter.wait()


@pytest.mark.parametrize("is_alive", [True, False], ids=["alive", "stuck"])
def test_systemd_hears_of_a_server_only_while_its_reactor_ticks(is_alive: bool) -> None:
    notifier = Notifier()
    waiter = make(lambda: waiter.end(), is_alive=is_alive, notifier=notifier)
    waiter.wake()
    waiter.wait()
    assert notifier.calls == is_alive


def test_it_waits_as_long_as_the_shortest_of_what_it_is_to_do() -> None:
    assert make()._seconds == CHECK_SECONDS
    assert make(notifier=Notifier())._seconds == min(0.25, CHECK_SECONDS)


@pytest.mark.parametrize("use", ["wake", "end"])
def test_an_exception_at_any_step_holds_up_no_end(use: str) -> None:
    for interruption in interruptions(until={"stop"}):
        waiter = make()
        with suppress(SystemExit):
            interruption.start()
            getattr(waiter, use)()
            interruption.stop()
        waiting = threading.Thread(target=waiter.wait, daemon=True)
        for thread in (threading.Thread(target=waiter.end, daemon=True), waiting):
            thread.start()
            thread.join(SOON)
            assert not thread.is_alive(), interruption.place
