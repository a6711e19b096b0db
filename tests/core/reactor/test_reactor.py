"""The I/O turn, with a poller and a clock that the test plays."""

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.fake_poller import FakePoller
from tests.support.interruptions import interruptions
from tests.support.manual_clock import ManualClock
from waitress_core.reactor import reactor as module
from waitress_core.reactor.deadlines import DeadlineQueue
from waitress_core.reactor.poller import READ, WRITE
from waitress_core.reactor.reactor import FEW, TURN_SECONDS, Reactor

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
        self._called("notified")

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
        self.ready: list[str] = []
        self.ticks: list[float] = []
        self.wakes = 0
        self.on_server: Callable[[str], object] = lambda call: None  # what the server does in on_tick and on_wake
        self.reactor = Reactor(
            poller=self.poller, clock=self.clock, ready=self.ready, on_tick=self._tick, on_wake=self._wake
        )
        self.reactor.handlers.update({101: self.one, 102: self.other})
        (self.wake_up,) = self.poller.interests

    def _tick(self) -> None:
        self.ticks.append(self.clock())
        self.on_server("tick")

    def _wake(self) -> None:
        self.wakes += 1
        self.on_server("wake")

    def turn(self, *events: tuple[int, int], timeout: float = 0.0) -> None:
        self.poller.script.append(list(events))
        self.reactor.turn(timeout)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace sleeps; return their seconds."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def turning(naps: list[float]) -> Iterator[Turning]:
    made = Turning()
    yield made
    made.one.on = made.other.on = lambda call: None  # or a handler that notifies would do so for ever
    made.reactor.close()


def records(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# --- a turn has so much time


def take_long(turning: Turning, *handlers: FakeHandler) -> None:
    for handler in handlers:
        handler.on = lambda call: turning.clock.advance(TURN_SECONDS * 1.5)


MANY = [(999, READ)] * FEW  # more than a few events, with those of a test


def test_a_turn_that_takes_long_ends_and_the_rest_is_reported_again(turning: Turning) -> None:
    take_long(turning, turning.one, turning.other)
    turning.turn(*MANY, (101, READ), (102, READ))
    assert (turning.one.calls, turning.other.calls) == (["ready 1"], [])
    turning.turn((102, READ))
    assert turning.other.calls == ["ready 1"]


def test_a_few_events_are_handled_whatever_they_take(turning: Turning) -> None:
    take_long(turning, turning.one, turning.other)
    turning.turn((101, READ), (102, READ), (101, READ))
    assert (turning.one.calls, turning.other.calls) == (["ready 1"] * 2, ["ready 1"])


def test_what_is_quick_is_handled_in_one_turn(turning: Turning) -> None:
    turning.one.on = turning.other.on = lambda call: turning.clock.advance(TURN_SECONDS / 3)
    turning.turn(*MANY, (101, READ), (102, READ), (101, READ))
    assert (turning.one.calls, turning.other.calls) == (["ready 1"] * 2, ["ready 1"])


def test_a_client_that_comes_last_does_not_wait_for_all_that_take_long(turning: Turning) -> None:
    slow = [FakeHandler(number) for number in range(200, 290)]
    take_long(turning, *slow)
    turning.reactor.handlers.update((one.descriptor, one) for one in slow)
    waiting = [(one.descriptor, READ) for one in slow]
    turns = 0
    while waiting:
        turning.turn(*waiting, *([] if turning.one.calls else [(101, READ)]))
        turns += 1
        assert turning.one.calls or turns < 2
        waiting = [(one.descriptor, READ) for one in slow if not one.calls]
    assert turns <= 90
    assert all(one.calls == ["ready 1"] for one in slow)


def test_a_client_that_comes_first_does_not_wait_for_all_that_come_later(turning: Turning) -> None:
    take_long(turning, turning.other)
    turning.turn(*[(102, READ)] * 50)  # ends early
    turning.turn((101, READ), *[(102, READ)] * 50)
    assert turning.one.calls == ["ready 1"]


def test_a_client_that_comes_amid_others_does_not_wait_for_those_on_one_side(turning: Turning) -> None:
    """epoll keeps the order of what stays ready."""
    slow = [FakeHandler(number) for number in range(200, 290)]
    take_long(turning, *slow)
    turning.reactor.handlers.update((one.descriptor, one) for one in slow)
    reported = [(one.descriptor, READ) for one in slow]
    for _ in range(2 * len(slow)):
        turning.turn(*reported)
    for _ in range(2):
        turning.turn(*reported[:45], (101, READ), *reported[45:])
    assert turning.one.calls


def test_a_listener_comes_before_clients_that_take_long(
    turning: Turning,
) -> None:
    slow = [FakeHandler(number) for number in range(200, 290)]
    take_long(turning, *slow)
    turning.one.on = lambda call: turning.clock.advance(TURN_SECONDS / 10)
    turning.reactor.handlers.update((one.descriptor, one) for one in slow)
    turning.turn((101, READ), *[(one.descriptor, READ) for one in slow])
    turning.turn(*[(one.descriptor, READ) for one in slow], (101, READ))
    assert turning.one.calls == ["ready 1"] * 2


def test_of_clients_that_take_long_each_has_its_turn(turning: Turning) -> None:
    slow = [FakeHandler(number) for number in range(200, 210)]
    take_long(turning, *slow)
    turning.reactor.handlers.update((one.descriptor, one) for one in slow)
    for _ in range(2 * len(slow)):
        turning.turn(*[(one.descriptor, READ) for one in slow])
    assert all(one.calls for one in slow)


def test_a_descriptor_that_is_another_s_now_has_taken_no_time(turning: Turning) -> None:
    take_long(turning, turning.one)
    turning.turn((101, READ), *MANY)
    assert turning.one.calls == ["ready 1"]
    another = FakeHandler(101)
    turning.reactor.handlers[101] = another
    turning.reactor.watch(another, READ)
    take_long(turning, turning.other)
    turning.turn(*MANY, (101, READ), (102, READ))
    turning.turn(*MANY, (101, READ), (102, READ))
    assert another.calls


def test_a_wake_up_that_a_turn_had_no_time_for_is_handled_later(turning: Turning) -> None:
    take_long(turning, turning.one)
    turning.turn(*MANY, (101, READ), (turning.wake_up, READ))
    assert turning.wakes == 0
    turning.turn((turning.wake_up, READ))
    assert turning.wakes == 1


def test_deadlines_that_take_long_go_on_in_the_next_turn(turning: Turning) -> None:
    due: list[int] = []

    def on_due(handler: FakeHandler) -> None:
        due.append(handler.descriptor)
        turning.clock.advance(TURN_SECONDS * 1.5)

    queue = turning.reactor.add_deadlines(DeadlineQueue[FakeHandler](5, on_due))
    for descriptor in (101, 102):
        queue.arm(descriptor, turning.clock())
    turning.clock.advance(6)
    turning.turn()
    assert due == [101]
    turning.turn()
    assert due == [101, 102]


# --- readiness


def test_readiness_is_passed_to_its_handler(turning: Turning) -> None:
    turning.turn((101, READ), (102, READ | WRITE), (101, 16))
    assert turning.one.calls == ["ready 1", "ready 16"]
    assert turning.other.calls == ["ready 5"]


def test_a_descriptor_without_a_handler_is_skipped(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    turning.turn((999, READ), (101, READ))
    assert turning.one.calls == ["ready 1"]
    assert not caplog.records


def test_a_handler_that_another_has_removed_in_the_same_turn_is_not_called(turning: Turning) -> None:
    turning.one.on = lambda call: turning.reactor.handlers.pop(102)
    turning.turn((101, READ), (102, READ))
    assert turning.other.calls == []


@pytest.mark.parametrize("timeout", [0.0, 0.5])
def test_a_turn_waits_in_the_poller_for_its_timeout(turning: Turning, timeout: float) -> None:
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


# --- notifications


def test_a_notification_before_a_turn_is_handled_before_the_wait(turning: Turning) -> None:
    seen: list[object] = []

    def poll() -> list[tuple[int, int]]:
        seen.append((list(turning.one.calls), turning.reactor.now))
        return []

    turning.reactor.notify(101)
    turning.clock.advance(0.25)
    turning.poller.script.append(poll)
    turning.reactor.turn(1.0)
    assert seen == [(["notified"], 1000.25)]
    assert turning.one.calls == ["notified"]
    assert turning.poller.timeouts == [1.0]


def test_no_wait_starts_when_a_notified_handler_has_made_a_task_ready(turning: Turning) -> None:
    turning.one.on = turning.ready.append
    turning.reactor.notify(101)
    turning.turn(timeout=1.0)
    assert turning.ready == ["notified"]
    assert turning.poller.timeouts == [0]


def test_a_notification_during_the_poll_ends_it() -> None:
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
    assert handler.calls == ["notified"]
    reactor.close()


def count_wake_ups(turning: Turning) -> list[str]:
    woken: list[str] = []
    turning.reactor._wake_up.wake = lambda: woken.append("woken")  # type: ignore[method-assign]
    return woken


def test_a_notification_outside_a_poll_costs_no_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)
    turning.reactor.notify(101)
    turning.one.on = lambda call: turning.reactor.notify(102)
    turning.turn()
    turning.turn()
    assert turning.other.calls == ["notified"]
    assert woken == []


def test_a_notification_during_a_poll_costs_a_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)

    def notify() -> list[tuple[int, int]]:
        turning.reactor.notify(101)
        return []

    turning.poller.script.append(notify)
    turning.reactor.turn(1)
    assert woken == ["woken"]
    assert turning.one.calls == ["notified"]


def test_a_lazy_notification_costs_no_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)

    def notify() -> list[tuple[int, int]]:
        turning.reactor.notify_lazily(101)
        return [(102, READ)]

    turning.poller.script.append(notify)
    turning.reactor.turn(1)
    assert woken == []
    assert turning.one.calls == ["notified"]


def test_a_lazy_notification_before_a_turn_is_handled_before_the_wait(turning: Turning) -> None:
    turning.reactor.notify_lazily(101)
    turning.poller.script.append(lambda: [(102, READ)] if turning.one.calls else [])
    turning.reactor.turn(1.0)
    assert turning.one.calls == ["notified"]
    assert turning.other.calls == ["ready 1"]


class Intruding:
    """The reactor's lock: the first to take it comes after a call of another thread."""

    def __init__(self, lock: threading.Lock, call: Callable[[], object]) -> None:
        self._lock = lock
        self._calls = [call]

    def __enter__(self) -> None:
        if self._calls:
            self._calls.pop()()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_a_notification_between_the_first_check_and_the_lock_leaves_no_wait(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = count_wake_ups(turning)
    lock = Intruding(turning.reactor._lock, lambda: turning.reactor.notify(101))
    monkeypatch.setattr(turning.reactor, "_lock", lock)
    turning.turn(timeout=1.0)
    assert turning.poller.timeouts == [0]
    assert turning.one.calls == ["notified"]
    assert woken == []


def test_a_notification_between_the_lock_and_the_poll_ends_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[list[tuple[int, int]]] = []
    with contextlib.closing(Reactor()) as reactor:
        handler = FakeHandler(10_000)
        reactor.handlers[10_000] = handler
        poll = reactor.poller.poll

        def notify_and_poll(timeout: float) -> list[tuple[int, int]]:
            reactor.notify(10_000)
            events.append(poll(timeout))
            return events[-1]

        monkeypatch.setattr(reactor.poller, "poll", notify_and_poll)
        reactor.turn(SOON)
        assert events == [[(reactor._wake_up.descriptor, READ)]]  # no end of the timeout
    assert handler.calls == ["notified"]


def test_a_notification_by_a_notified_handler_waits_for_what_is_ready(turning: Turning) -> None:
    turning.one.on = lambda call: turning.reactor.notify(101)
    turning.reactor.notify(101)
    turning.turn((102, READ), timeout=1.0)
    assert turning.one.calls == ["notified", "notified"]  # before the poll and after it
    assert turning.poller.timeouts == [0]
    assert turning.other.calls == ["ready 1"]


def test_a_notification_of_a_handler_that_has_gone_is_skipped(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    turning.reactor.notify(101)
    turning.reactor.notify(102)
    del turning.reactor.handlers[101]
    turning.turn()
    assert turning.one.calls == []
    assert turning.other.calls == ["notified"]
    assert not caplog.records


def test_after_close_a_notification_is_handled_by_its_thread(turning: Turning) -> None:
    turning.reactor.close()
    turning.reactor.notify(101)
    assert turning.one.calls == ["notified"]


def test_after_close_a_lazy_notification_is_handled_when_its_thread_wakes(turning: Turning) -> None:
    turning.reactor.close()
    turning.reactor.notify_lazily(101)
    assert turning.one.calls == []
    turning.reactor.wake_if_polling()
    assert turning.one.calls == ["notified"]


def test_closing_handles_the_notifications_that_are_left(turning: Turning) -> None:
    turning.reactor.notify(101)
    turning.reactor.close()
    assert turning.one.calls == ["notified"]
    assert turning.poller.is_closed


def test_after_close_notifications_of_several_threads_are_all_handled(turning: Turning) -> None:
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
    assert turning.one.calls == ["notified"] * 1600


# --- waking


def test_a_wake_up_calls_on_wake_once(turning: Turning) -> None:
    turning.reactor.wake()
    turning.turn((turning.wake_up, READ))
    assert turning.wakes == 1
    turning.turn()
    assert turning.wakes == 1


def test_a_wake_up_that_was_handled_ends_no_further_poll() -> None:
    woken: list[str] = []
    with contextlib.closing(Reactor(on_wake=lambda: woken.append("woken"))) as reactor:
        for _ in range(3):
            reactor.wake()
        for _ in range(3):
            reactor.turn(0)
    assert woken == ["woken"]


def test_a_wake_up_after_the_clearing_of_another_is_not_lost() -> None:
    woken: list[str] = []

    def on_wake() -> None:
        woken.append("woken")
        if len(woken) == 1:
            reactor.wake()  # as another thread does, after the first was cleared

    with contextlib.closing(Reactor(on_wake=on_wake)) as reactor:
        reactor.wake()
        for _ in range(3):
            reactor.turn(0)
    assert woken == ["woken"] * 2


def test_a_wake_up_before_the_clearing_of_another_is_seen_by_on_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    seen: list[list[str]] = []
    with contextlib.closing(Reactor(on_wake=lambda: seen.append(list(requests)))) as reactor:
        clear = reactor._wake_up.clear

        def clear_after_another() -> None:
            requests.append("late")
            reactor.wake()
            clear()

        monkeypatch.setattr(reactor._wake_up, "clear", clear_after_another)
        reactor.wake()
        reactor.turn(0)
    assert seen == [["late"]]


def test_waking_takes_no_lock(turning: Turning) -> None:
    with turning.reactor._lock:
        turning.reactor.wake()


# --- faults


@pytest.mark.parametrize("call", ["ready", "notified", "due"])
def test_a_fault_of_one_handler_closes_only_that_one(
    turning: Turning, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    queue = DeadlineQueue[FakeHandler](1, lambda handler: handler._called("due"))
    turning.reactor.add_deadlines(queue)
    turning.one.on = fail
    events = []
    if call == "ready":
        events = [(101, READ), (102, READ)]
    elif call == "notified":
        turning.reactor.notify(101)
        turning.reactor.notify(102)
    else:
        queue.arm(101, turning.clock())
        queue.arm(102, turning.clock())
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


def test_a_poller_that_fails_neither_spins_nor_stops_the_rest(turning: Turning, naps: list[float]) -> None:
    turning.turn()
    assert naps == []
    turning.clock.advance(1)
    turning.reactor.notify(101)
    turning.poller.script.append(raise_fault)
    turning.reactor.turn(0)
    assert naps == [module.FAULT_SECONDS]
    assert turning.one.calls == ["notified"]
    assert turning.ticks == [1000, 1001]


def test_an_exception_at_any_step_of_a_turn_loses_no_notification() -> None:
    places: list[str] = []
    for interruption in interruptions(until={"on_notify"}):
        turning = Turning()
        turning.reactor.notify(101)
        with contextlib.suppress(SystemExit):  # before the turn
            interruption.start()
            turning.turn()
        places.append(interruption.place)
        turning.turn()
        assert "notified" in turning.one.calls, interruption.place
        turning.reactor.close()
    assert any("popleft" in place for place in places)


def test_a_fault_in_on_fault_does_not_end_the_reactor(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
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


def test_after_a_fault_of_the_poller_a_notification_costs_no_wake_up(turning: Turning) -> None:
    woken = count_wake_ups(turning)
    turning.poller.script.append(raise_fault)
    turning.reactor.turn(1)
    turning.reactor.notify(101)
    assert woken == []
    turning.turn()
    assert turning.one.calls == ["notified"]


@pytest.mark.parametrize("callback", ["tick", "wake"])
def test_a_fault_of_the_server_does_not_end_the_reactor(
    turning: Turning, caplog: pytest.LogCaptureFixture, callback: str
) -> None:
    def fail_in_callback(call: str) -> None:
        if call == callback:
            raise Fault(call)

    turning.on_server = fail_in_callback
    turning.clock.advance(2)
    turning.turn((turning.wake_up, READ))
    assert records(caplog) == ["uncaptured python exception in the reactor"]
    turning.turn((101, READ))
    assert turning.one.calls == ["ready 1"]


# --- time


def test_the_reactor_ticks_once_a_second(turning: Turning) -> None:
    turning.turn()
    for _ in range(24):
        turning.clock.advance(0.125)
        turning.turn()
    assert turning.ticks in ([1000.0, 1001.0, 1002.0, 1003.0], [1001.0, 1002.0, 1003.0])


def test_the_seconds_between_two_ticks_can_be_shortened(turning: Turning) -> None:
    turning.reactor.tick_seconds = 0.25
    turning.turn()
    for _ in range(4):
        turning.clock.advance(0.125)
        turning.turn()
    assert turning.ticks == [1000.0, 1000.25, 1000.5]


@pytest.mark.parametrize("is_notified", [False, True], ids=["quiet", "notified"])
def test_no_wait_is_longer_than_a_tick(is_notified: bool, turning: Turning) -> None:
    turning.reactor.tick_seconds = 0.25
    if is_notified:
        turning.reactor.notify_lazily(101)
    turning.reactor.turn(1.0)
    assert turning.poller.timeouts == [0.25]


def test_a_tick_checks_all_deadline_queues(turning: Turning) -> None:
    due: list[FakeHandler] = []
    turning.reactor.handlers[103] = third = FakeHandler(103)
    for seconds in (1, 2, 3):
        queue = DeadlineQueue[FakeHandler](seconds, due.append)
        assert turning.reactor.add_deadlines(queue) is queue
        queue.arm(100 + seconds, turning.clock())
    for expected in ([turning.one], [turning.one, turning.other], [turning.one, turning.other, third]):
        turning.clock.advance(1)
        turning.turn()
        assert due == expected


def test_a_descriptor_that_is_due_without_a_handler_is_skipped(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    due: list[FakeHandler] = []
    queue = turning.reactor.add_deadlines(DeadlineQueue[FakeHandler](1.0, due.append))
    queue.arm(101, turning.clock())
    queue.arm(102, turning.clock())
    del turning.reactor.handlers[101]
    turning.clock.advance(1)
    turning.turn()
    assert due == [turning.other]
    assert not caplog.records


def test_notifications_come_before_events_and_deadlines_come_last(turning: Turning) -> None:
    order: list[str] = []
    queue = DeadlineQueue[FakeHandler](1.0, lambda handler: order.append("due"))
    turning.reactor.add_deadlines(queue)
    queue.arm(101, turning.clock())
    turning.one.on = order.append
    turning.other.on = order.append
    turning.clock.advance(1)
    turning.reactor.notify(102)
    turning.turn((101, READ))
    assert order == ["notified", "ready 1", "due"]


# --- the end


def test_a_forked_child_calls_no_handler_and_changes_no_registration(turning: Turning) -> None:
    turning.reactor.watch(turning.one, READ)
    turning.reactor.notify(101)
    assert turning.reactor._lock.acquire()  # by a thread that the child does not have
    turning.reactor.abandon_after_fork()
    turning.reactor.notify(102)
    assert turning.one.calls == []
    assert turning.poller.is_closed
    assert turning.poller.interests[101] == READ
