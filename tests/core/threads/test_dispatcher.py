"""Threads and leadership, with turns that the test feeds, a clock that it moves and a watchdog it wakes."""

import gc
import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.faults import NO_THREAD, leave_threads
from tests.support.manual_clock import ManualClock
from waitress_core import Dispatcher, Task
from waitress_core.threads import dispatcher as module
from waitress_core.threads import pool as pool_module
from waitress_core.threads import task_queue as task_queue_module
from waitress_core.threads import watchdog as watchdog_module
from waitress_core.threads.leadership import (
    FAST,
    LONGEST_HOLD,
    QUANTUM,
    RARE_AFTER,
    SHORTEST_HOLD,
    SHORTEST_PAUSE,
)
from waitress_core.threads.queue_log import QUIET_SECONDS
from waitress_core.threads.tasks import InternalTask
from waitress_core.threads.watchdog import IDLE_WAIT, LONGEST_PAUSE

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once
A_WHILE = 0.05  # seconds in which what must not happen would happen

STANDBY = "waitress-standby"


class RecordedTask:
    """Calls a function, and remembers the thread that ran it."""

    def __init__(self, call: Callable[[], object] = lambda: None) -> None:
        self.call = call
        self.thread = ""
        self.started = threading.Event()
        self.done = threading.Event()
        self.is_cancelled = False

    def service(self) -> None:
        self.thread = threading.current_thread().name
        self.started.set()
        try:
            self.call()
        finally:
            self.done.set()

    def cancel(self) -> None:
        self.is_cancelled = True


class Blocked(RecordedTask):
    """A task that runs until it is released."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        super().__init__(lambda: self.gate.wait(SOON))


class Watching:
    """The sleeps of the watchdog: it checks once for each `check`."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._asleep = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._is_open = False

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._asleep.release()
        if not self._is_open:
            self._go.acquire()

    def let_check(self) -> None:
        """Let the watchdog check."""
        assert self._asleep.acquire(timeout=SOON)
        self._go.release()

    def check(self, times: int = 1) -> None:
        """Let the watchdog check; return when it has."""
        for _ in range(times):
            self.let_check()
        assert self._asleep.acquire(timeout=SOON)
        self._asleep.release()

    def open(self) -> None:
        """Let it check as it likes."""
        self._is_open = True
        self._go.release()


class Running:
    """A dispatcher with turns that give what the test delivers."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.deliveries: SimpleQueue[tuple[Task, ...] | Callable[[], object]] = SimpleQueue()
        self.log: list[str] = []  # turns and tasks in the order in which they started
        self.turning = 0
        self.collisions = 0  # turns that started within another's
        self._turned = threading.Condition()
        self._last_turn = ""
        self._turns = 0

    def turn(self, timeout: float) -> None:
        self.turning += 1
        self.collisions += self.turning > 1
        self.log.append(f"turn {timeout:g}")
        with self._turned:
            self._last_turn = threading.current_thread().name
            self._turns += 1
            self._turned.notify_all()
        with suppress(Empty):
            delivery = self.deliveries.get(timeout > 0, timeout or None)
            if callable(delivery):
                delivery()
            else:
                self.dispatcher.ready.extend(delivery)
        self.turning -= 1

    def deliver(self, *tasks: Task) -> None:
        """Make a turn find these tasks ready."""
        self.deliveries.put(tasks)

    def in_turn(self, call: Callable[[], object]) -> None:
        """Call something in the leader's turn, and wait until it has returned."""
        done = threading.Event()

        def call_and_set() -> None:
            call()
            done.set()

        self.deliveries.put(call_and_set)
        assert done.wait(SOON)

    def run(self, *tasks: RecordedTask) -> None:
        """Deliver tasks, and wait for their end."""
        self.deliver(*tasks)
        for task in tasks:
            assert task.done.wait(SOON)

    def wait_for_turn_of(self, name: str) -> None:
        """Wait until a thread of that name is in a turn that has started after now."""
        with self._turned:
            seen = self._turns
            self.deliver()  # ends the current turn
            assert self._turned.wait_for(lambda: self._turns > seen and self._last_turn == name, SOON)

    @property
    def reactor(self) -> str:
        """Return the name of the thread that runs the current turn."""
        return self._last_turn

    def stop(self) -> int:
        """End all threads; return how many still run. There may never have been two leaders."""
        self.dispatcher.end_leadership()
        self.deliver()
        left = self.dispatcher.stop_threads(SOON)
        assert self.collisions == 0, "two threads turned at once"
        return left


class Time:
    """The clock of the dispatcher, and the checks of its watchdog."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.watchdog = Watching()
        monkeypatch.setattr(module, "_now", self.clock)
        monkeypatch.setattr(task_queue_module, "_now", self.clock)
        monkeypatch.setattr(watchdog_module, "time", SimpleNamespace(sleep=self.watchdog.sleep))


Make = Callable[..., Running]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Time that does not pass."""
    return Time(monkeypatch)


@pytest.fixture
def make(still: Time) -> Iterator[Make]:
    """Start dispatchers; their threads are ended, which they must be able to, at the end of the test."""
    made: list[Running] = []

    def make_one(threads: int = 4, delegate: Any = None, dispatcher: Dispatcher | None = None) -> Running:
        running = Running(Dispatcher(threads, delegate) if dispatcher is None else dispatcher)
        running.dispatcher.start(running.turn)
        made.append(running)
        return running

    yield make_one
    still.watchdog.open()
    for running in made:
        assert running.stop() == 0
        assert not any(thread.is_alive() for thread in running.dispatcher.threads)


def advancing(still: Time, seconds: float) -> RecordedTask:
    """Make a task that lasts so many seconds."""
    return RecordedTask(lambda: still.clock.advance(seconds))


def lead_on_an_application_thread(running: Running) -> str:
    """Give leadership to an application thread; return its name."""
    task = RecordedTask()
    running.run(task)
    running.wait_for_turn_of(task.thread)
    assert task.thread != STANDBY
    return task.thread


def take_leadership_from(running: Running, still: Time) -> Blocked:
    """Run a task that blocks until the watchdog has taken leadership from it; return the task."""
    slow = Blocked()
    running.deliver(slow)
    assert slow.started.wait(SOON)
    still.watchdog.check(2)  # one check sees the task, the next that it is still the same
    running.wait_for_turn_of(STANDBY)
    return slow


# --- quick tasks run on the leader


@pytest.mark.parametrize("threads", [1, 4])
def test_quick_tasks_never_change_threads(make: Make, threads: int) -> None:
    running = make(threads)
    name = lead_on_an_application_thread(running)
    tasks = [RecordedTask() for _ in range(100)]
    for task in tasks[:50]:
        running.run(task)
    running.run(*tasks[50:])
    assert {task.thread for task in tasks} == {name}
    assert running.reactor == name


def test_tasks_run_between_turns(make: Make) -> None:
    running = make()
    lead_on_an_application_thread(running)
    turning: list[int] = []
    running.run(*[RecordedTask(lambda: turning.append(running.turning)) for _ in range(10)])
    assert turning == [0] * 10


# --- the watchdog takes leadership from a slow task


def test_a_slow_task_loses_leadership_to_the_standby_and_io_goes_on(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    other = RecordedTask()
    running.run(other)
    assert not slow.done.is_set()
    assert other.thread not in (slow.thread, STANDBY)
    slow.gate.set()
    assert slow.done.wait(SOON)
    assert running.reactor == STANDBY


def test_one_check_of_the_watchdog_takes_nothing(make: Make, still: Time) -> None:
    running = make(2)
    name = lead_on_an_application_thread(running)
    task = Blocked()
    running.deliver(task)
    assert task.started.wait(SOON)
    still.watchdog.check()
    task.gate.set()
    running.wait_for_turn_of(name)


def test_a_thread_that_has_lost_leadership_is_a_plain_application_thread(make: Make, still: Time) -> None:
    running = make(1)
    name = lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    slow.gate.set()
    task = RecordedTask()
    running.run(task)
    assert task.thread == name
    running.wait_for_turn_of(STANDBY)


def test_a_thread_that_has_lost_leadership_leaves_that_of_a_later_leader_alone(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    still.clock.advance(LONGEST_HOLD)
    later = Blocked()
    running.deliver(later)  # the standby gives leadership to the other thread, which runs this
    assert later.started.wait(SOON)
    assert later.thread not in (slow.thread, STANDBY)
    slow.gate.set()
    assert slow.done.wait(SOON)
    later.gate.set()
    for _ in range(3):
        running.wait_for_turn_of(later.thread)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_real_watchdog_takes_leadership_from_a_slow_task(threads: int) -> None:
    running = Running(Dispatcher(threads))
    running.dispatcher.start(running.turn)
    slow = Blocked()
    running.deliver(slow)
    assert slow.started.wait(SOON)
    running.wait_for_turn_of(STANDBY)
    assert not slow.done.is_set()
    slow.gate.set()
    assert running.stop() == 0


# --- the standby hands tasks off


def seconds_of_hold(running: Running, still: Time) -> float:
    """Return how long after a take tasks are handed off, to a quarter of the shortest hold."""
    step = SHORTEST_HOLD / 4
    for steps in range(round(2 * LONGEST_HOLD / step)):
        task = RecordedTask()
        running.run(task)
        running.in_turn(lambda: None)
        if running.reactor == task.thread:
            return steps * step
        still.clock.advance(step)
    raise AssertionError("no application thread leads again")


def test_a_take_after_many_quick_tasks_starts_no_hold(make: Make, still: Time) -> None:
    running = make(4)
    slow = []
    for _ in range(3):
        lead_on_an_application_thread(running)
        running.run(*[RecordedTask() for _ in range(RARE_AFTER)])
        slow.append(take_leadership_from(running, still))
        assert seconds_of_hold(running, still) == 0
    for task in slow:
        task.gate.set()


def test_each_take_after_few_tasks_doubles_the_hold(make: Make, still: Time) -> None:
    running = make(9)
    slow, held = [], []
    for _ in range(8):
        lead_on_an_application_thread(running)
        running.run(*[RecordedTask() for _ in range(RARE_AFTER // 2)])
        slow.append(take_leadership_from(running, still))
        held.append(seconds_of_hold(running, still))
    for task in slow:
        task.gate.set()
    expected = [min(SHORTEST_HOLD * 2**takes, LONGEST_HOLD) for takes in range(8)]
    assert held == pytest.approx(expected, abs=SHORTEST_HOLD / 3)


@pytest.mark.parametrize(("before", "counts"), [(RARE_AFTER, False), (RARE_AFTER // 2, True)], ids=["rare", "not rare"])
def test_a_task_that_has_lost_leadership_counts_unless_its_take_was_rare(
    make: Make, still: Time, before: int, counts: bool
) -> None:
    running = make(1)
    name = lead_on_an_application_thread(running)
    running.run(*[RecordedTask() for _ in range(before)])
    slow = take_leadership_from(running, still)
    still.clock.advance(1)
    queued = RecordedTask()
    running.deliver(queued)
    slow.gate.set()
    assert queued.done.wait(SOON)  # on the only thread: it has weighed the slow one
    leaders = set()
    for _ in range(10):
        running.run(RecordedTask())
        running.in_turn(lambda: None)
        leaders.add(running.reactor)
    assert (name not in leaders) is counts


def test_tasks_that_are_slow_on_average_are_handed_off(make: Make, still: Time) -> None:
    running = make(4)
    name = lead_on_an_application_thread(running)
    for _ in range(20):
        running.run(advancing(still, 3 * FAST))
    running.wait_for_turn_of(STANDBY)
    for _ in range(30):
        running.run(RecordedTask())
    task = RecordedTask()
    running.run(task)
    running.wait_for_turn_of(task.thread)
    assert name.startswith("waitress-")


def test_many_quick_tasks_between_two_turns_do_not_count_as_a_slow_one(make: Make, still: Time) -> None:
    running = make(4)
    name = lead_on_an_application_thread(running)
    for _ in range(10):
        tasks = [advancing(still, 0.2 * FAST) for _ in range(10)]
        running.run(*tasks)
        assert {task.thread for task in tasks} == {name}


def test_each_task_between_two_turns_counts_in_the_mean(make: Make, still: Time) -> None:
    running = make(4)
    lead_on_an_application_thread(running)
    tasks = [advancing(still, 1.8 * FAST) for _ in range(10)]
    assert 2 * 1.8 * FAST < QUANTUM < 3 * 1.8 * FAST  # three bursts of three
    running.run(*tasks)
    running.wait_for_turn_of(STANDBY)


def test_leadership_is_not_given_while_no_thread_is_free(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    one = take_leadership_from(running, still)
    other = Blocked()
    running.deliver(other)
    assert other.started.wait(SOON)
    still.clock.advance(2 * LONGEST_HOLD)
    waiting = RecordedTask()
    running.deliver(waiting)
    for _ in range(3):
        running.wait_for_turn_of(STANDBY)
    assert not waiting.started.is_set()
    one.gate.set()
    assert waiting.done.wait(SOON)
    assert waiting.thread == one.thread
    other.gate.set()
    assert other.done.wait(SOON)


def test_queued_tasks_run_in_order(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    order: list[int] = []
    tasks = [RecordedTask(lambda number=number: order.append(number)) for number in range(20)]  # type: ignore[misc]
    for task in tasks:
        running.deliver(task)
    running.wait_for_turn_of(STANDBY)
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    assert order == list(range(20))


# --- between two turns


def test_within_a_quantum_all_ready_tasks_run_before_the_next_poll(make: Make) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    tasks = [RecordedTask(lambda: running.log.append("task")) for _ in range(200)]
    running.log.clear()
    running.run(*tasks)
    running.wait_for_turn_of(tasks[0].thread)
    assert running.log[:201] == [*["task"] * 200, "turn 1"]
    assert IDLE_WAIT == 1


def test_after_a_quantum_the_poller_is_asked_without_waiting(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)

    def call() -> None:
        running.log.append("task")
        still.clock.advance(QUANTUM * 0.6)

    tasks = [RecordedTask(call) for _ in range(4)]
    still.clock.advance(1)
    running.log.clear()
    running.run(*tasks)
    assert running.log[:5] == ["task", "task", "turn 0", "task", "task"]


def test_ready_tasks_go_with_leadership(make: Make, still: Time) -> None:
    running = make(2)
    name = lead_on_an_application_thread(running)
    slow = Blocked()
    others = [RecordedTask() for _ in range(3)]
    running.deliver(slow, *others)
    assert slow.started.wait(SOON)
    still.watchdog.check(2)
    for task in others:
        assert task.done.wait(SOON)
        assert task.thread != name
    assert not slow.done.is_set()
    slow.gate.set()


# --- one leader


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_one_thread_leads_whatever_races(threads: int) -> None:
    # Tasks about as long as a quantum: the watchdog and the end of the task pop leadership at the same time.
    running = Running(Dispatcher(threads))
    running.dispatcher.start(running.turn)
    ran: SimpleQueue[int] = SimpleQueue()

    def task(number: int) -> RecordedTask:
        def call() -> None:
            if number % 3 == 0:
                time.sleep((number % 7) / 7 * 2.5 * QUANTUM)
            if number % 11 == 0:
                running.dispatcher.yield_leadership()
            ran.put(number)
            if number % 2 and running.dispatcher.resume_leadership():
                # What a turn does: the collision of two leaders would be seen.
                running.turning += 1
                running.collisions += running.turning > 1
                running.turning -= 1

        return RecordedTask(call)

    tasks = [task(number) for number in range(300)]
    for at in range(0, 300, 3):
        running.deliver(*tasks[at : at + 3])
    for one in tasks:
        assert one.done.wait(SOON)
    assert running.stop() == 0
    assert sorted(ran.get() for _ in range(300)) == list(range(300))
    assert ran.empty()
    assert running.turning == 0


def test_the_standby_touches_nothing_once_it_has_given_leadership_away(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new leader has run all that was ready, and turns, before the standby goes on.
    running = make(2)
    give = running.dispatcher._give_leadership
    task = RecordedTask()

    def give_and_wait() -> bool:
        given = give()
        assert task.done.wait(SOON)
        running.wait_for_turn_of(task.thread)
        has_given.set()
        return given

    has_given = threading.Event()
    monkeypatch.setattr(running.dispatcher, "_give_leadership", give_and_wait)
    running.run(task)
    assert has_given.wait(SOON)
    for _ in range(3):
        running.wait_for_turn_of(task.thread)
    assert running.collisions == 0


# --- leadership that was lost


def raising_once(original: Callable[..., Any], error: BaseException, raised: threading.Event) -> Callable[..., Any]:
    """Return a function that raises at its first call, and from then on does what the original does."""

    def call(*arguments: Any) -> Any:
        if not raised.is_set():
            raised.set()
            raise error
        return original(*arguments)

    return call


def patched(
    dispatcher: Dispatcher, place: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> threading.Event:
    """Have a method of the dispatcher, of its policy or of the logger raise once; return an event: it has."""
    raised = threading.Event()
    target: Any = dispatcher
    if place == "exception":
        target = SimpleNamespace(exception=module.logger.exception)
        monkeypatch.setattr(module, "logger", target)
    if place.startswith("_policy."):
        target, place = type(dispatcher._policy), place.removeprefix("_policy.")
    monkeypatch.setattr(target, place, raising_once(getattr(target, place), error, raised))
    return raised


every_error = pytest.mark.parametrize(
    "error", [RuntimeError("no tea"), SystemExit(1)], ids=lambda error: type(error).__name__
)


@every_error
@pytest.mark.parametrize("place", ["_hand_off_ready", "_hand_off", "_give_leadership", "_accept", "_policy.hands_off"])
def test_leadership_survives_an_exception_anywhere(
    make: Make, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    dispatcher = Dispatcher(2)
    raised = patched(dispatcher, place, error, monkeypatch)
    running = make(dispatcher=dispatcher)
    if place == "_hand_off":
        dispatcher._policy.hand_off_always()
        running.deliver(RecordedTask())  # which is cancelled
    for _ in range(10):
        running.run(RecordedTask())
    assert raised.is_set()


@every_error
@pytest.mark.parametrize("place", ["_accept", "_run_as_leader", "exception", "_policy.weigh", "_policy.hands_off"])
def test_leadership_of_an_application_thread_survives_an_exception_anywhere(
    make: Make, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    running = make(2)
    if place in ("_accept", "_run_as_leader"):  # when it takes leadership from the standby
        raised = patched(running.dispatcher, place, error, monkeypatch)
        if place == "_accept":
            raised.set()
            running.wait_for_turn_of(STANDBY)
            raised.clear()
        running.deliver(RecordedTask())
    else:
        lead_on_an_application_thread(running)
        raised = patched(running.dispatcher, place, error, monkeypatch)
        running.deliver(RecordedTask(fail if place == "exception" else lambda: None))  # leadership is in the slot
    assert raised.wait(SOON)
    for _ in range(10):
        running.run(RecordedTask())


@every_error
@pytest.mark.parametrize("leader", ["standby", "application thread"])
def test_leadership_survives_a_turn_that_raises(
    still: Time, monkeypatch: pytest.MonkeyPatch, leader: str, error: BaseException
) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    running = Running(Dispatcher(2))
    raised = threading.Event()
    if leader == "application thread":
        raised.set()
    running.dispatcher.start(raising_once(running.turn, error, raised))
    if leader == "application thread":
        lead_on_an_application_thread(running)
        raised.clear()
        running.deliver()
    assert raised.wait(SOON)
    for _ in range(10):
        running.run(RecordedTask())
    still.watchdog.open()
    assert running.stop() == 0


@every_error
def test_leadership_survives_a_watchdog_that_fails_to_pass_it_on(
    make: Make, still: Time, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    running = make(2)
    lead_on_an_application_thread(running)
    raised = patched(running.dispatcher, "_policy.on_take", error, monkeypatch)
    slow = Blocked()
    running.deliver(slow)
    assert slow.started.wait(SOON)
    still.watchdog.check(2)
    assert raised.wait(SOON)
    running.dispatcher.check()
    running.wait_for_turn_of(STANDBY)
    slow.gate.set()
    for _ in range(10):
        running.run(RecordedTask())


def test_a_task_that_has_lost_leadership_to_nobody_passes_it_on(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    slow = Blocked()
    running.deliver(slow)
    assert slow.started.wait(SOON)
    running.dispatcher._term.slot.pop()  # whoever took it has failed
    slow.gate.set()
    running.wait_for_turn_of(STANDBY)


def end_thread(
    running: Running,
    still: Time,
    monkeypatch: pytest.MonkeyPatch,
    thread: threading.Thread,
    task: RecordedTask | None = None,
) -> None:
    """End a thread of the dispatcher as two exceptions do, one in its loop, and one where that is handled.

    A thread that does not lead has taken `task` from the queue.
    """
    dispatcher = running.dispatcher
    replace = dispatcher._replace_leader

    def end(*arguments: Any) -> Any:
        if threading.current_thread() is thread:
            raise SystemExit
        return replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "_replace_leader", end)
        patch.setattr(threading, "excepthook", lambda raised: None)
        if thread.name == "waitress-watchdog":
            patch.setattr(dispatcher._watchdog, "_is_in_slot", end)
            still.watchdog.check()  # it sees a task
            still.watchdog.let_check()
        elif thread.name == STANDBY:
            patch.setattr(dispatcher, "_accept", end)
            dispatcher._standby_queue.put(module._Term())
        elif thread.name == running.reactor:
            running.deliveries.put(end)
        else:
            patch.setattr(dispatcher, "_service", end)
            dispatcher.add_task(task or RecordedTask())
        thread.join(SOON)
        assert not thread.is_alive()
    running.turning = 0  # the turn that has raised has not counted its end


@pytest.mark.parametrize("name", ["the standby", "the watchdog", "the leader", "another thread"])
def test_a_thread_that_has_ended_is_replaced(
    make: Make, still: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    running = make(2)
    dispatcher = running.dispatcher
    leader = lead_on_an_application_thread(running)
    first, second, standby, watchdog = dispatcher.threads
    leading, other = (first, second) if first.name == leader else (second, first)
    ended = {"the standby": standby, "the watchdog": watchdog, "the leader": leading, "another thread": other}[name]
    end_thread(running, still, monkeypatch, ended)
    dispatcher.check()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"The thread {ended.name} has ended: another one replaces it"
    ]
    for _ in range(10):
        running.run(RecordedTask())
    lead_on_an_application_thread(running)
    take_leadership_from(running, still).gate.set()
    assert all(thread.is_alive() for thread in dispatcher.threads)


def test_leadership_that_is_lost_on_its_way_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = Dispatcher(2)
    lost: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "_start_term", lost.append)
        running = make(dispatcher=dispatcher)
    dispatcher.check()
    running.run(RecordedTask())
    assert len(lost) == 1


def test_an_item_of_the_queue_that_wakes_nobody_is_run_after_a_check(make: Make) -> None:
    running = make(1)
    task = RecordedTask()
    running.dispatcher._queue._items.append((task, 0.0))
    running.dispatcher.check()
    assert task.done.wait(SOON)


def test_a_term_is_accepted_by_one_thread_and_only_the_latest_by_any(make: Make) -> None:
    running = make(2)
    dispatcher = running.dispatcher
    for term in (module._Term(), dispatcher._term, module._Term()):
        dispatcher._standby_queue.put(term)
    lead_on_an_application_thread(running)
    dispatcher._standby_queue.put(dispatcher._term)
    for _ in range(20):
        running.run(RecordedTask())


def test_checks_at_any_moment_change_nothing() -> None:
    running = Running(Dispatcher(2))
    running.dispatcher.start(running.turn)
    is_over = threading.Event()

    def check() -> None:
        while not is_over.wait(0.0001):
            running.dispatcher.check()

    checker = threading.Thread(target=check)
    checker.start()
    tasks = [RecordedTask(lambda number=number: time.sleep(number % 5 * QUANTUM)) for number in range(100)]  # type: ignore[misc]
    for task in tasks:
        running.deliver(task)
    for task in tasks:
        assert task.done.wait(SOON)
    is_over.set()
    checker.join(SOON)
    assert running.stop() == 0


def test_a_check_after_the_end_replaces_nothing(make: Make, still: Time) -> None:
    running = make(2)
    still.watchdog.open()
    assert running.stop() == 0
    running.dispatcher.check()
    assert not any(thread.is_alive() for thread in running.dispatcher.threads)


def test_no_thread_is_lost_to_a_log_that_raises(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise SystemExit

    def fail() -> None:
        raise OSError("no tea")

    for name in ("waitress", "waitress.queue"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [Raising()])
    running = make(2)
    for _ in range(20):
        running.run(*[RecordedTask(fail) for _ in range(10)])
    assert all(thread.is_alive() for thread in running.dispatcher.threads)


# --- tasks that block


@pytest.mark.parametrize("threads", [1, 2])
def test_a_task_that_is_about_to_block_gives_leadership_away(make: Make, threads: int) -> None:
    running = make(threads)
    lead_on_an_application_thread(running)
    gate = threading.Event()

    def call() -> None:
        running.dispatcher.yield_leadership()
        assert gate.wait(SOON)

    task = RecordedTask(call)
    running.deliver(task)
    running.wait_for_turn_of(STANDBY)
    assert not task.done.is_set()
    gate.set()
    assert task.done.wait(SOON)


def test_a_task_without_leadership_gives_nothing_away(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    running.dispatcher.yield_leadership()
    for _ in range(3):
        running.wait_for_turn_of(STANDBY)
    slow.gate.set()


# --- tasks that act for the leader at their end


def resuming(running: Running, results: list[bool]) -> RecordedTask:
    """Make a task that takes leadership back as its last act, and remembers whether it could."""
    return RecordedTask(lambda: results.append(running.dispatcher.resume_leadership()))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_task_of_the_leader_resumes_leadership_and_the_thread_goes_on_leading(make: Make, threads: int) -> None:
    running = make(threads)
    name = lead_on_an_application_thread(running)
    results: list[bool] = []
    tasks = [resuming(running, results) for _ in range(3)]
    running.run(*tasks)
    assert results == [True] * 3
    assert {task.thread for task in tasks} == {name}
    running.wait_for_turn_of(name)


def test_a_task_that_resumes_leadership_again_leaves_its_thread_the_leader(make: Make) -> None:
    running = make(1)
    name = lead_on_an_application_thread(running)
    dispatcher, results = running.dispatcher, []

    def resume_twice() -> None:
        term = dispatcher._term
        results.append(dispatcher.resume_leadership())
        results.append(dispatcher.resume_leadership())  # as for a task that is refused in the turn of the first
        dispatcher.check()  # must not find leadership lost
        results.append(dispatcher._term is term)

    task = RecordedTask(resume_twice)
    running.run(task)
    assert results == [True, False, True]
    running.wait_for_turn_of(name)


def test_a_task_from_which_leadership_was_taken_does_not_resume_it(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    results: list[bool] = []
    gate = threading.Event()

    def call() -> None:
        gate.wait(SOON)
        results.append(running.dispatcher.resume_leadership())

    slow = RecordedTask(call)
    running.deliver(slow)
    assert slow.started.wait(SOON)
    still.watchdog.check(2)
    running.wait_for_turn_of(STANDBY)
    gate.set()
    assert slow.done.wait(SOON)
    assert results == [False]
    running.wait_for_turn_of(STANDBY)


def test_a_task_from_the_queue_resumes_nothing_while_another_thread_leads(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    still.clock.advance(LONGEST_HOLD)
    later = Blocked()
    running.deliver(later)  # another application thread leads, and has put leadership into its slot
    assert later.started.wait(SOON)
    assert later.thread not in (slow.thread, STANDBY)
    slow.gate.set()
    results: list[bool] = []
    queued = resuming(running, results)
    running.dispatcher.add_task(queued)
    assert queued.done.wait(SOON)
    assert queued.thread == slow.thread
    assert results == [False]
    later.gate.set()
    running.wait_for_turn_of(later.thread)


def test_a_task_that_was_cancelled_in_a_turn_resumes_nothing(make: Make) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    results: list[bool] = []
    running.in_turn(lambda: results.append(running.dispatcher.resume_leadership()))
    assert results == [False]


# --- programs that take the tasks themselves


class Sink:
    """Keeps the tasks that it gets, and the threads that they came from."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.threads: set[str] = set()

    def add_task(self, task: Task) -> None:
        self.threads.add(threading.current_thread().name)
        self.tasks.append(task)
        task.service()


def test_a_delegate_gets_every_task_and_the_standby_keeps_leadership(make: Make) -> None:
    sink = Sink()
    running = make(4, sink)
    tasks = [RecordedTask() for _ in range(50)]
    for task in tasks:
        running.run(task)
    running.wait_for_turn_of(STANDBY)
    assert sink.tasks == tasks
    assert sink.threads == {STANDBY}
    assert {thread.name for thread in running.dispatcher.threads} == {STANDBY, "waitress-watchdog"}


def test_the_watchdog_checks_less_often_the_longer_tasks_are_quick(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    for _ in range(100):
        running.run(RecordedTask())
        still.watchdog.check()
    pauses = list(still.watchdog.pauses)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (QUANTUM, LONGEST_PAUSE)
    take_leadership_from(running, still).gate.set()
    assert still.watchdog.pauses[-1] == SHORTEST_PAUSE  # a task was slow: from now on it checks often


class Subclass(Dispatcher):
    """Counts its tasks, as metrics do."""

    count = 0

    def add_task(self, task: Task) -> None:
        self.count += 1
        super().add_task(task)


def test_a_subclass_with_an_add_task_gets_every_task(make: Make) -> None:
    dispatcher = Subclass(2)
    running = make(dispatcher=dispatcher)
    for _ in range(20):
        running.run(RecordedTask())
    assert dispatcher.count == 20


@pytest.mark.skipif(
    platform.python_implementation() != "CPython" or sys.version_info < (3, 11),
    reason="only CPython 3.11 and later keep attributes without a dict until somebody asks for it",
)
def test_its_attributes_stay_without_a_dict(make: Make) -> None:
    dispatcher = make().dispatcher
    assert not [value for value in gc.get_referents(dispatcher) if type(value) is dict]


@pytest.mark.parametrize("where", ["instance", "class"])
def test_an_add_task_that_was_replaced_gets_every_task(make: Make, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    dispatcher = Dispatcher(2)
    seen: list[Task] = []
    stock = Dispatcher.add_task
    if where == "instance":

        def add_task(task: Task) -> None:
            seen.append(task)
            stock(dispatcher, task)

        monkeypatch.setattr(dispatcher, "add_task", add_task)
    else:

        def add_task_of_class(self: Dispatcher, task: Task) -> None:
            seen.append(task)
            stock(self, task)

        monkeypatch.setattr(Dispatcher, "add_task", add_task_of_class)
    running = make(dispatcher=dispatcher)
    tasks = [RecordedTask() for _ in range(20)]
    for task in tasks:
        running.run(task)
        running.wait_for_turn_of(STANDBY)
    assert seen == tasks


class RecordedInternalTask(RecordedTask, InternalTask):
    """An internal task."""


def test_a_subclass_with_an_add_task_gets_no_internal_task(make: Make) -> None:
    dispatcher = Subclass(2)
    running = make(dispatcher=dispatcher)
    internal = RecordedInternalTask()
    running.run(internal, RecordedTask())
    assert dispatcher.count == 1
    assert internal.thread in {"waitress-0", "waitress-1"}


def test_a_delegate_that_refuses_a_task_costs_neither_leadership_nor_other_tasks(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    refused = RecordedTask()

    class Picky(Sink):
        def add_task(self, task: Task) -> None:
            if task is refused:
                raise ValueError("not this one")
            super().add_task(task)

    running = make(4, Picky())
    other = RecordedTask()
    running.run(RecordedTask())
    running.deliver(refused, other)
    assert other.done.wait(SOON)
    assert refused.is_cancelled
    assert not refused.started.is_set()
    assert "ValueError: not this one" in caplog.text


def test_a_task_that_is_added_from_outside_runs(make: Make) -> None:
    running = make(2)
    task = RecordedTask()
    running.dispatcher.add_task(task)
    assert task.done.wait(SOON)
    assert task.thread.startswith("waitress-")
    assert task.thread != STANDBY


# --- threads


@pytest.mark.promise("S74")
def test_the_threads_have_names_and_do_not_keep_the_process_alive(make: Make) -> None:
    running = make(3)
    assert [thread.name for thread in running.dispatcher.threads] == [
        "waitress-0",
        "waitress-1",
        "waitress-2",
        STANDBY,
        "waitress-watchdog",
    ]
    assert all(thread.daemon and thread in threading.enumerate() for thread in running.dispatcher.threads)


def test_threads_1_is_always_the_same_thread(make: Make, still: Time) -> None:
    running = make(1)
    tasks = [RecordedTask() for _ in range(20)]
    for task in tasks[:10]:
        running.run(task)
    slow = take_leadership_from(running, still)
    for task in tasks[10:]:
        running.deliver(task)
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    assert {task.thread for task in [*tasks, slow]} == {"waitress-0"}


@pytest.mark.parametrize("error", [Exception("x"), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("has_leadership", [True, False], ids=["by the leader", "from the queue"])
def test_a_thread_is_never_lost_to_a_task(
    make: Make, caplog: pytest.LogCaptureFixture, error: BaseException, has_leadership: bool
) -> None:
    running = make(1)
    if has_leadership:
        lead_on_an_application_thread(running)

    def call() -> None:
        raise error

    for _ in range(3):
        task = RecordedTask(call)
        if has_leadership:
            running.run(task)
        else:
            running.dispatcher.add_task(task)
            assert task.done.wait(SOON)
    last = RecordedTask()
    running.run(last)
    assert last.thread == "waitress-0"
    errors = [record for record in caplog.records if record.getMessage().startswith("Exception when servicing")]
    assert len(errors) == 3
    assert all(record.exc_info is not None and record.exc_info[1] is error for record in errors)


class FailingTask(RecordedTask):
    """A task that `fail` ends."""

    def __init__(self, call: Callable[[], object] = lambda: None, error: BaseException | None = None) -> None:
        super().__init__(call)
        self.error = error
        self.has_failed = threading.Event()

    def fail(self) -> None:
        self.has_failed.set()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("has_leadership", [True, False], ids=["by the leader", "from the queue"])
@pytest.mark.parametrize("where", ["the task", "the thread"])
def test_a_task_that_an_exception_interrupts_is_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str, has_leadership: bool
) -> None:
    def interrupt() -> None:
        raise SystemExit

    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    running = make(1)
    dispatcher = running.dispatcher
    if has_leadership:
        lead_on_an_application_thread(running)
    task = FailingTask(interrupt, error=SystemExit())
    if where == "the thread":
        patched(dispatcher, "exception" if has_leadership else "_service", SystemExit(), monkeypatch)
    if has_leadership:
        running.deliver(task)
    else:
        dispatcher.add_task(task)
    assert task.has_failed.wait(SOON)
    for _ in range(10):
        running.run(RecordedTask())
    assert dispatcher.running() == []


def test_a_task_that_has_just_been_taken_is_ended_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    dispatcher = make(1).dispatcher
    note_start = raising_once(dispatcher._queue.note_start, SystemExit(), threading.Event())
    monkeypatch.setattr(dispatcher._queue, "note_start", note_start)
    task = FailingTask()
    dispatcher.add_task(task)
    assert task.has_failed.wait(SOON)
    assert not task.started.is_set()


def test_the_task_of_a_thread_that_has_ended_is_ended(make: Make, still: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    running = make(1)
    thread, _, _ = running.dispatcher.threads
    task = FailingTask()
    lead_on_an_application_thread(running)
    take_leadership_from(running, still).gate.set()
    end_thread(running, still, monkeypatch, thread, task)
    assert not task.has_failed.is_set()
    running.dispatcher.check()
    assert task.has_failed.wait(SOON)


@pytest.mark.parametrize("after", [0, 1, 4, 5], ids=["first", "second", "standby", "watchdog"])
def test_a_thread_that_cannot_be_started_leaves_none(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    started = leave_threads(monkeypatch, after)
    dispatcher = Dispatcher(4)
    with pytest.raises(RuntimeError, match=NO_THREAD):
        dispatcher.start(lambda timeout: None)
    assert len(started) == after
    for thread in started:
        thread.join(SOON)
        assert not thread.is_alive()


# --- the end


def test_stopping_ends_all_threads_soon(make: Make, still: Time) -> None:
    running = make(4)
    running.run(RecordedTask())
    still.watchdog.open()
    assert running.stop() == 0
    assert running.stop() == 0


@pytest.mark.parametrize("leader", ["standby", "application thread"])
def test_no_turn_starts_once_leadership_has_ended(make: Make, leader: str) -> None:
    running = make(2, None if leader == "application thread" else Sink())
    if leader == "application thread":
        lead_on_an_application_thread(running)
    running.in_turn(running.dispatcher.end_leadership)
    running.log.clear()
    never = RecordedTask()
    running.deliver(never)
    assert not never.started.wait(A_WHILE)
    assert running.log == []


def test_stopping_from_within_a_task_does_not_wait_for_itself(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_an_application_thread(running)
    counts: list[int] = []
    still.watchdog.open()

    def call() -> None:
        running.dispatcher.end_leadership()
        running.deliver()
        counts.append(running.dispatcher.stop_threads(SOON))

    running.run(RecordedTask(call))
    assert counts == [0]


def test_threads_that_still_run_are_counted_and_end_with_their_tasks(make: Make, still: Time) -> None:
    running = make(3)
    tasks = [Blocked(), Blocked()]
    for task in tasks:
        running.dispatcher.add_task(task)
    for task in tasks:
        assert task.started.wait(SOON)
    still.watchdog.open()
    running.dispatcher.end_leadership()
    running.deliver()
    assert running.dispatcher.cancel_pending() == 0
    assert running.dispatcher.stop_threads(A_WHILE) == 2
    assert running.dispatcher.cancel_pending() == 0  # takes no message from a thread that has yet to read it
    for task in tasks:
        task.gate.set()
    for thread in running.dispatcher.threads:
        thread.join(SOON)
        assert not thread.is_alive()


# --- cancelling


def test_cancelling_counts_the_tasks_that_have_not_started(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    queued = [RecordedTask() for _ in range(3)]
    ready = [RecordedTask() for _ in range(2)]
    counts: list[int] = []

    def cancel() -> None:
        running.dispatcher.ready.extend(ready)
        counts.append(running.dispatcher.cancel_pending())

    for task in queued:
        running.dispatcher.add_task(task)
    running.in_turn(cancel)
    assert counts == [5]
    assert all(task.is_cancelled and not task.started.is_set() for task in [*queued, *ready])
    assert not slow.is_cancelled
    slow.gate.set()
    task = RecordedTask()
    running.run(task)
    assert task.thread == slow.thread


def test_cancelled_tasks_do_not_count_as_queued(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2, queue_warning_seconds=0)
    for _ in range(5):
        dispatcher.add_task(RecordedTask())
    assert dispatcher.cancel_pending() == 5
    caplog.clear()
    still.clock.advance(QUIET_SECONDS)
    dispatcher.tick()
    assert dispatcher.cancel_pending() == 0
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    assert grown(1)[0] not in logged(caplog)


def test_internal_tasks_are_not_cancelled_while_threads_can_run_them(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    queued, ready = RecordedInternalTask(), RecordedInternalTask()
    counts: list[int] = []

    def cancel() -> None:
        running.dispatcher.add_task(queued)
        running.dispatcher.ready.extend([RecordedTask(), ready])
        counts.append(running.dispatcher.cancel_pending())

    running.in_turn(cancel)
    slow.gate.set()
    assert queued.done.wait(SOON)
    assert ready.done.wait(SOON)
    assert {queued.thread, ready.thread} == {slow.thread}
    assert counts == [1]


def test_internal_tasks_are_cancelled_when_no_thread_is_left(still: Time) -> None:
    dispatcher, internal, late = Dispatcher(1), RecordedInternalTask(), RecordedInternalTask()
    dispatcher.add_task(internal)
    dispatcher.ready.append(late)
    dispatcher.end_leadership()
    assert dispatcher.cancel_pending() == 2
    assert internal.is_cancelled
    assert late.is_cancelled


def test_a_cancel_that_fails_is_logged_and_the_others_are_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(RecordedTask):
        def cancel(self) -> None:
            super().cancel()
            raise OSError("the file is broken")

    dispatcher = Dispatcher(2)
    tasks = [Failing(), RecordedTask(), Failing(), RecordedTask()]
    dispatcher.ready.extend(tasks[:2])
    for task in tasks[2:]:
        dispatcher.add_task(task)
    assert dispatcher.cancel_pending() == 4
    assert all(task.is_cancelled for task in tasks)
    assert [record.levelno for record in caplog.records if record.name == "waitress"] == [logging.ERROR] * 2


# --- the depth of the queue


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of each record about the queue."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "waitress.queue"]


def grown(*depths: int) -> list[tuple[str, str]]:
    return [("WARNING", f"Task queue depth is {depth}") for depth in depths]


def emptied(depth: int, seconds: float) -> tuple[str, str]:
    return "INFO", (
        f"Task queue is empty again: its greatest depth was {depth}, the longest wait {seconds:.3f} seconds"
    )


A_TENTH = 0.1  # seconds that a task may wait
SOONER = 0.09
LATE = 0.11


def test_a_queue_that_is_served_within_a_moment_is_not_logged(
    make: Make, still: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    tasks = [RecordedTask() for _ in range(10)]
    for task in tasks:
        running.dispatcher.add_task(task)
    still.clock.advance(SOONER)
    running.dispatcher.tick()
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    still.clock.advance(QUIET_SECONDS)
    running.dispatcher.tick()
    assert logged(caplog) == []


def test_a_task_that_has_waited_too_long_is_logged_when_it_runs(
    make: Make, still: Time, caplog: pytest.LogCaptureFixture
) -> None:
    running = make(1)
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    tasks = [RecordedTask() for _ in range(3)]
    for task in tasks:
        running.dispatcher.add_task(task)
    still.clock.advance(LATE)
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    assert logged(caplog) == grown(3)


def test_a_task_that_waits_too_long_is_logged_while_it_waits(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2)
    for _ in range(4):
        dispatcher.add_task(RecordedTask())
    dispatcher.tick()
    assert logged(caplog) == []
    still.clock.advance(LATE)
    dispatcher.tick()
    assert logged(caplog) == grown(2)


def test_the_queue_depth_is_logged_once_for_each_doubling(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2)
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    assert logged(caplog) == []  # there is a thread for each
    for _ in range(20):
        dispatcher.add_task(RecordedTask())
        still.clock.advance(LATE)
        dispatcher.tick()
    assert logged(caplog) == grown(1, 2, 4, 8, 16)


def test_with_0_each_task_that_has_to_wait_is_logged(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2, queue_warning_seconds=0)
    for _ in range(5):
        dispatcher.add_task(RecordedTask())
    assert logged(caplog) == grown(1, 2, 3)
    dispatcher.cancel_pending()
    for _ in range(3):
        dispatcher.add_task(RecordedTask())
    dispatcher.tick()
    assert logged(caplog) == grown(1, 2, 3, 1)


def test_the_time_that_a_task_may_wait_can_be_set(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(1, queue_warning_seconds=2.5)
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    still.clock.advance(2.5)
    dispatcher.tick()
    assert logged(caplog) == []
    still.clock.advance(0.01)
    dispatcher.tick()
    assert logged(caplog) == grown(1)


@pytest.mark.parametrize(("warning_seconds", "depths"), [(0.0, (1, 2, 3)), (A_TENTH, (3,))], ids=["0", "default"])
def test_an_empty_queue_is_logged_with_its_greatest_depth_and_longest_wait(
    make: Make, still: Time, caplog: pytest.LogCaptureFixture, warning_seconds: float, depths: tuple[int, ...]
) -> None:
    caplog.set_level(logging.INFO)
    running = make(dispatcher=Dispatcher(1, queue_warning_seconds=warning_seconds))
    lead_on_an_application_thread(running)
    slow = take_leadership_from(running, still)
    first, second, last = RecordedTask(), RecordedTask(), Blocked()
    running.dispatcher.add_task(first)
    still.clock.advance(2)
    running.dispatcher.add_task(second)
    running.dispatcher.add_task(last)
    still.clock.advance(1)
    slow.gate.set()
    assert last.started.wait(SOON)  # and has not ended, but its wait counts already
    running.dispatcher.tick()
    assert logged(caplog) == grown(*depths)  # tasks had to wait a moment ago
    still.clock.advance(QUIET_SECONDS)
    for _ in range(3):
        running.dispatcher.tick()
    assert logged(caplog) == [*grown(*depths), emptied(3, 3)]
    last.gate.set()


def late(dispatcher: Dispatcher, count: int, still: Time) -> None:
    """Let so many tasks wait too long, and have the dispatcher notice."""
    for _ in range(count):
        dispatcher.add_task(RecordedTask())
    still.clock.advance(LATE)
    dispatcher.tick()


def test_a_queue_that_comes_and_goes_is_logged_once(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for _ in range(20):
        late(dispatcher, 2, still)
        still.clock.advance(1)
        dispatcher.cancel_pending()
        dispatcher.tick()
    assert logged(caplog) == grown(1)
    still.clock.advance(QUIET_SECONDS)
    dispatcher.tick()
    assert logged(caplog) == [*grown(1), emptied(1, LATE)]


def test_a_queue_that_stays_is_not_logged_as_empty(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    late(dispatcher, 2, still)
    still.clock.advance(10 * QUIET_SECONDS)
    dispatcher.tick()
    assert logged(caplog) == grown(1)


def test_a_queue_after_one_that_has_ended_is_logged_again(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for count in (5, 2):
        late(dispatcher, count, still)
        dispatcher.cancel_pending()
        still.clock.advance(QUIET_SECONDS)
        dispatcher.tick()
    assert logged(caplog) == [*grown(4), emptied(4, LATE), *grown(1), emptied(1, LATE)]


def test_a_queue_that_nobody_was_told_of_is_not_part_of_a_later_one(
    still: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for _ in range(50):
        dispatcher.add_task(RecordedTask())
    dispatcher.cancel_pending()
    late(dispatcher, 2, still)
    dispatcher.cancel_pending()
    still.clock.advance(QUIET_SECONDS)
    dispatcher.tick()
    assert logged(caplog) == [*grown(1), emptied(1, LATE)]


# --- no lock


class OwnedLock:
    """A lock that knows which thread holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._owner = 0
        self._lock.release()

    @property
    def is_mine(self) -> bool:
        return self._owner == threading.get_ident()


def test_no_lock_is_held_over_a_task_a_turn_or_a_log_record(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher, lock = Dispatcher(1, queue_warning_seconds=0), OwnedLock()
    monkeypatch.setattr(dispatcher, "_lock", lock)
    monkeypatch.setattr(dispatcher._queue, "_lock", queue_lock := OwnedLock())
    held: list[bool] = []

    def note(record: object = None) -> None:
        held.append(lock.is_mine or queue_lock.is_mine)

    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", note)
    monkeypatch.setattr(logging.getLogger("waitress.queue"), "handlers", [handler])
    running = make(dispatcher=dispatcher)
    slow, queued = Blocked(), RecordedTask(note)
    dispatcher.add_task(slow)
    dispatcher.add_task(queued)  # which is logged
    running.in_turn(note)
    slow.gate.set()
    assert queued.done.wait(SOON)
    lead_on_an_application_thread(running)
    running.run(RecordedTask(note))
    assert held == [False] * 4


# --- fork


def test_in_a_forked_child_the_thread_that_forked_ends_with_its_task(make: Make) -> None:
    running = make(1)
    lead_on_an_application_thread(running)

    def call() -> None:
        for held in (running.dispatcher._lock, running.dispatcher._queue._lock):
            assert held.acquire()  # by a thread that the child does not have
        running.dispatcher.abandon_after_fork()

    task = RecordedTask(call)
    queued = RecordedTask()
    running.dispatcher.add_task(queued)
    running.run(task)
    thread = running.dispatcher.threads[0]
    thread.join(SOON)
    assert not thread.is_alive()
    assert not queued.started.is_set()


def test_every_task_can_be_handed_to_a_function_of_the_caller() -> None:
    dispatcher = Dispatcher(2)
    handed: list[Any] = []

    def add_task(task: Any) -> None:
        handed.append(task)
        dispatcher.add_task(task)

    dispatcher.hand_off_all_to(add_task)
    running = Running(dispatcher)
    dispatcher.start(running.turn)
    tasks = [RecordedTask() for _ in range(20)]
    for task in tasks:
        running.run(task)
    assert handed == tasks
    assert running.stop() == 0


def test_waiting_and_running_tasks_are_counted(make: Make) -> None:
    running = make(1)
    dispatcher = running.dispatcher
    assert dispatcher.waiting_count == 0
    slow, waits = Blocked(), RecordedTask()
    dispatcher.add_task(slow)
    assert slow.started.wait(SOON)
    dispatcher.add_task(waits)
    assert (dispatcher.busy_count, dispatcher.waiting_count) == (1, 1)
    slow.gate.set()
    assert waits.done.wait(SOON)
