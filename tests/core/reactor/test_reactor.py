"""The I/O turn, with a poller and a clock that do what they are told."""

import contextlib
import errno
import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.support.fake_poller import FakePoller
from tests.support.manual_clock import ManualClock
from waitress_core.reactor import reactor as module
from waitress_core.reactor.deadlines import DeadlineQueue
from waitress_core.reactor.poller import READ, WRITE
from waitress_core.reactor.reactor import Reactor

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once


class FakeHandler:
    """Remembers its calls; `on(call)` may raise, or do what a handler does."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.interest = 0
        self.calls: list[str] = []
        self.on: Callable[[str], object] = lambda call: None

    def __repr__(self) -> str:
        return f"<FakeHandler {self.descriptor}>"

    def _called(self, call: str) -> None:
        self.calls.append(call)
        self.on(call)

    def on_ready(self, readiness: int) -> None:
        self._called(f"ready {readiness}")

    def on_notify(self) -> None:
        self._called("attention")

    def on_fault(self) -> None:
        self._called("fault")


class Fault(Exception):
    """What no code expects."""


def fail(call: str) -> None:
    if call != "fault":
        raise Fault(call)


class Turning:
    """A reactor with two handlers, 101 and 102, its fake poller and its clock."""

    def __init__(self) -> None:
        self.poller = FakePoller()
        self.clock = ManualClock()
        self.one = FakeHandler(101)
        self.other = FakeHandler(102)
        self.reactor = Reactor(self.poller, self.clock)
        self.reactor.handlers.update({101: self.one, 102: self.other})
        (self.wake_up,) = self.poller.interests

    def turn(self, *events: tuple[int, int], timeout: float = 0.0) -> None:
        self.poller.script.append(list(events))
        self.reactor.turn(timeout)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleep no more; return how long it was meant."""
    meant: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=meant.append))
    return meant


@pytest.fixture
def turning(naps: list[float]) -> Iterator[Turning]:
    made = Turning()
    yield made
    made.one.on = made.other.on = lambda call: None  # or what attends would do so for ever
    made.reactor.close()


def records(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# --- readiness


def test_what_is_ready_is_told_to_its_handler(turning: Turning) -> None:
    turning.turn((101, READ), (102, READ | WRITE), (101, 16))
    assert turning.one.calls == ["ready 1", "ready 16"]
    assert turning.other.calls == ["ready 5"]


def test_a_descriptor_without_a_handler_is_passed_over(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    turning.turn((999, READ), (101, READ))
    assert turning.one.calls == ["ready 1"]
    assert not caplog.records


def test_a_handler_that_another_has_removed_in_the_same_turn_is_not_told(turning: Turning) -> None:
    turning.one.on = lambda call: turning.reactor.handlers.pop(102)
    turning.turn((101, READ), (102, READ))
    assert turning.other.calls == []


@pytest.mark.parametrize("timeout", [0.0, 0.5])
def test_a_turn_waits_in_the_poller_as_long_as_it_is_told(turning: Turning, timeout: float) -> None:
    turning.turn(timeout=timeout)
    assert turning.poller.timeouts == [timeout]


def test_now_is_the_end_of_the_poll_for_all_that_a_turn_calls(turning: Turning) -> None:
    seen: list[float] = []
    turning.one.on = lambda call: seen.append(turning.reactor.now)

    def poll() -> list[tuple[int, int]]:
        turning.clock.advance(0.25)
        return [(101, READ)]

    turning.poller.script.append(poll)
    turning.reactor.turn(1)
    turning.clock.advance(0.25)
    assert seen == [1000.25]
    assert turning.reactor.now == 1000.25


# --- watching


def test_watching_registers_modifies_and_unregisters(turning: Turning) -> None:
    reactor, handler, interests = turning.reactor, turning.one, turning.poller.interests
    for interest in (READ, READ | WRITE, WRITE):
        reactor.watch(handler, interest)
        reactor.watch(handler, interest)
        assert interests[101] == handler.interest == interest
    reactor.watch(handler, 0)
    reactor.watch(handler, 0)
    assert 101 not in interests
    assert handler.interest == 0


def test_a_descriptor_that_the_poller_has_forgotten_can_still_be_given_up(turning: Turning) -> None:
    turning.reactor.watch(turning.one, READ)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOENT, "No such file or directory")

    turning.poller.unregister = refuse  # type: ignore[method-assign]
    turning.reactor.watch(turning.one, 0)
    assert turning.one.interest == 0


# --- attention


def test_attention_asked_for_before_a_turn_is_paid_before_the_wait(turning: Turning) -> None:
    seen: list[object] = []

    def poll() -> list[tuple[int, int]]:
        seen.append((list(turning.one.calls), turning.reactor.now))
        return []

    turning.reactor.notify(101)
    turning.clock.advance(0.25)
    turning.poller.script.append(poll)
    turning.reactor.turn(1.0)
    assert seen == [(["attention"], 1000.25)]
    assert turning.one.calls == ["attention"]
    assert turning.poller.timeouts == [1.0]


def test_no_wait_begins_when_attention_has_made_a_task_ready(turning: Turning) -> None:
    ready: list[str] = []
    turning.reactor.ready = ready
    turning.one.on = ready.append
    turning.reactor.notify(101)
    turning.turn(timeout=1.0)
    assert ready == ["attention"]
    assert turning.poller.timeouts == [0]


def test_attention_asked_for_while_the_poller_waits_ends_the_wait() -> None:
    reactor = Reactor()
    handler = FakeHandler(10_000)
    reactor.handlers[10_000] = handler
    polling = threading.Event()
    poll = reactor.poller.poll

    def announced(timeout: float) -> list[tuple[int, int]]:
        polling.set()
        return poll(timeout)

    reactor.poller.poll = announced  # type: ignore[method-assign]
    thread = threading.Thread(target=reactor.turn, args=(SOON,))
    thread.start()
    assert polling.wait(SOON)
    reactor.notify(10_000)
    thread.join(SOON / 2)
    assert not thread.is_alive()
    assert handler.calls == ["attention"]
    reactor.close()


def count_wake_ups(turning: Turning) -> list[str]:
    woken: list[str] = []
    turning.reactor._wake_up.wake = lambda: woken.append("woken")  # type: ignore[method-assign]
    return woken


def test_attention_asked_for_outside_a_poll_costs_no_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)
    turning.reactor.notify(101)
    turning.one.on = lambda call: turning.reactor.notify(102)
    turning.turn()
    turning.turn()
    assert turning.other.calls == ["attention"]
    assert woken == []


def test_attention_asked_for_within_a_poll_costs_a_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)

    def notify() -> list[tuple[int, int]]:
        turning.reactor.notify(101)
        return []

    turning.poller.script.append(notify)
    turning.reactor.turn(1)
    assert woken == ["woken"]
    assert turning.one.calls == ["attention"]


def test_attention_that_can_wait_costs_no_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)

    def notify() -> list[tuple[int, int]]:
        turning.reactor.notify_lazily(101)
        return [(102, READ)]

    turning.poller.script.append(notify)
    turning.reactor.turn(1)
    assert woken == []
    assert turning.one.calls == ["attention"]


def test_attention_that_is_asked_for_while_it_is_paid_waits_for_what_is_ready(turning: Turning) -> None:
    turning.one.on = lambda call: turning.reactor.notify(101)
    turning.reactor.notify(101)
    turning.turn((102, READ), timeout=1.0)
    assert turning.one.calls == ["attention", "attention"]  # before the poll and after it
    assert turning.poller.timeouts == [0]
    assert turning.other.calls == ["ready 1"]


def test_attention_to_a_handler_that_has_gone_is_passed_over(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    turning.reactor.notify(101)
    turning.reactor.notify(102)
    del turning.reactor.handlers[101]
    turning.turn()
    assert turning.one.calls == []
    assert turning.other.calls == ["attention"]
    assert not caplog.records


def test_attention_after_close_is_paid_at_once_by_who_asks(turning: Turning) -> None:
    turning.reactor.close()
    turning.reactor.notify(101)
    assert turning.one.calls == ["attention"]


def test_closing_pays_the_attention_that_is_left(turning: Turning) -> None:
    turning.reactor.notify(101)
    turning.reactor.close()
    assert turning.one.calls == ["attention"]
    assert turning.poller.is_closed


def test_workers_that_attend_after_close_at_once_are_all_seen(turning: Turning) -> None:
    turning.reactor.close()
    barrier = threading.Barrier(8)

    def notify() -> None:
        barrier.wait(SOON)
        for _ in range(200):
            turning.reactor.notify(101)

    threads = [threading.Thread(target=notify) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert turning.one.calls == ["attention"] * 1600


# --- waking


def test_a_wake_up_is_taken_back_and_told(turning: Turning) -> None:
    woken: list[str] = []
    turning.reactor.on_wake = lambda: woken.append("woken")
    turning.reactor.wake()
    turning.turn((turning.wake_up, READ))
    assert woken == ["woken"]
    turning.turn()
    assert woken == ["woken"]


def test_a_wake_up_that_was_told_ends_no_further_poll() -> None:
    woken: list[str] = []
    with contextlib.closing(Reactor()) as reactor:
        reactor.on_wake = lambda: woken.append("woken")
        for _ in range(3):
            reactor.wake()
        for _ in range(3):
            reactor.turn(0)
    assert woken == ["woken"]


def test_waking_takes_no_lock(turning: Turning) -> None:
    with turning.reactor._lock:
        turning.reactor.wake()


# --- faults


@pytest.mark.parametrize("call", ["ready", "attention", "due"])
def test_a_fault_of_one_handler_closes_only_that_one(
    turning: Turning, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    queue = DeadlineQueue[FakeHandler](1, lambda handler: handler._called("due"))
    turning.reactor.deadlines = (queue,)
    turning.one.on = fail
    events = []
    if call == "ready":
        events = [(101, READ), (102, READ)]
    elif call == "attention":
        turning.reactor.notify(101)
        turning.reactor.notify(102)
    else:
        queue.arm(turning.one, turning.clock())
        queue.arm(turning.other, turning.clock())
        turning.clock.advance(2)
    turning.turn(*events)
    assert len(turning.one.calls) == 2
    assert turning.one.calls[1] == "fault"
    assert len(turning.other.calls) == 1
    assert records(caplog) == ["uncaptured python exception, closing channel <FakeHandler 101>"]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is Fault


def raise_fault() -> list[tuple[int, int]]:
    raise Fault("in the poller")


def test_a_turn_raises_nothing(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    turning.poller.script.append(raise_fault)
    turning.reactor.turn(0)
    assert records(caplog) == ["uncaptured python exception in the reactor"]
    turning.turn((101, READ))
    assert turning.one.calls == ["ready 1"]


def test_a_poller_that_fails_neither_spins_nor_holds_up_the_rest(turning: Turning, naps: list[float]) -> None:
    looks: list[str] = []
    turning.reactor.on_tick = lambda: looks.append("look")
    turning.turn()
    assert naps == []
    turning.clock.advance(1)
    turning.reactor.notify(101)
    turning.poller.script.append(raise_fault)
    turning.reactor.turn(0)
    assert naps == [module.FAULT_SECONDS]
    assert turning.one.calls == ["attention"]
    assert looks == ["look", "look"]


def test_a_fault_within_the_handling_of_a_fault_does_not_end_the_reactor(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    def always_fail(call: str) -> None:
        raise Fault(call)

    turning.one.on = always_fail
    turning.turn((101, READ))
    assert turning.one.calls == ["ready 1", "fault"]
    turning.turn((102, READ))
    assert turning.other.calls == ["ready 1"]


def test_faults_of_turns_are_logged_once_a_second(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(30):
        turning.poller.script.append(raise_fault)
        turning.reactor.turn(0)
        turning.clock.advance(0.125)
    assert len(records(caplog)) == 4  # at 0, 1, 2 and 3 seconds


def test_after_a_fault_of_the_poller_no_wake_up_is_thought_needed(turning: Turning) -> None:
    woken = count_wake_ups(turning)
    turning.poller.script.append(raise_fault)
    turning.reactor.turn(1)
    turning.reactor.notify(101)
    assert woken == []
    turning.turn()
    assert turning.one.calls == ["attention"]


@pytest.mark.parametrize("callback", ["on_tick", "on_wake"])
def test_a_fault_of_the_server_does_not_end_the_reactor(
    turning: Turning, caplog: pytest.LogCaptureFixture, callback: str
) -> None:
    setattr(turning.reactor, callback, raise_fault)
    turning.clock.advance(2)
    turning.turn((turning.wake_up, READ))
    assert records(caplog) == ["uncaptured python exception in the reactor"]
    turning.turn((101, READ))
    assert turning.one.calls == ["ready 1"]


# --- time


def test_deadlines_are_looked_at_once_a_second(turning: Turning) -> None:
    looks: list[float] = []
    turning.reactor.on_tick = lambda: looks.append(turning.clock())
    turning.turn()
    for _ in range(24):
        turning.clock.advance(0.125)
        turning.turn()
    assert looks in ([1000.0, 1001.0, 1002.0, 1003.0], [1001.0, 1002.0, 1003.0])


def test_all_kinds_of_deadlines_are_looked_at_in_a_look(turning: Turning) -> None:
    due: list[str] = []
    queues = [DeadlineQueue[str](seconds, due.append) for seconds in (1.0, 2.0, 3.0)]
    turning.reactor.deadlines = queues
    for number, queue in enumerate(queues):
        queue.arm(str(number), turning.clock())
    for expected in (["0"], ["0", "1"], ["0", "1", "2"]):
        turning.clock.advance(1)
        turning.turn()
        assert due == expected


def test_what_workers_left_comes_before_what_is_ready_and_deadlines_come_last(turning: Turning) -> None:
    order: list[str] = []
    queue = DeadlineQueue[str](1.0, lambda item: order.append("due"))
    turning.reactor.deadlines = (queue,)
    queue.arm("x", turning.clock())
    turning.one.on = order.append
    turning.other.on = order.append
    turning.clock.advance(1)
    turning.reactor.notify(102)
    turning.turn((101, READ))
    assert order == ["attention", "ready 1", "due"]


# --- the end


def test_a_forked_child_lets_go_without_a_word_to_the_parents_handlers(turning: Turning) -> None:
    turning.reactor.watch(turning.one, READ)
    turning.reactor.notify(101)
    assert turning.reactor._lock.acquire()  # by a thread that the child does not have
    turning.reactor.abandon_after_fork()
    turning.reactor.notify(102)
    assert turning.one.calls == []
    assert turning.poller.is_closed
    assert turning.poller.interests[101] == READ
