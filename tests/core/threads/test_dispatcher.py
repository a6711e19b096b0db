"""Threads and lead, with turns that the test feeds, a clock that it moves and a watchdog that looks when told."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.manual_clock import ManualClock
from waitress_core import Dispatcher, Task
from waitress_core.threads import dispatcher as module
from waitress_core.threads import watchdog as watchdog_module
from waitress_core.threads.leadership import FAST, LONGEST_HOLD, QUANTUM, RARE, SHORTEST_HOLD
from waitress_core.threads.queue_log import QUIET_SECONDS
from waitress_core.threads.tasks import InternalTask
from waitress_core.threads.watchdog import IDLE_WAIT, LONGEST_PAUSE

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once
A_WHILE = 0.05  # seconds in which what must not happen would happen

SPARE = "waitress-standby"


class RecordedTask:
    """Calls a function, and remembers the thread that ran it."""

    def __init__(self, call: Callable[[], object] = lambda: None) -> None:
        self.call = call
        self.thread = ""
        self.begun = threading.Event()
        self.done = threading.Event()
        self.is_cancelled = False

    def service(self) -> None:
        self.thread = threading.current_thread().name
        self.begun.set()
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
    """The sleeps of the watchdog: it looks once for each `tick`."""

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

    def tick(self, times: int = 1) -> None:
        """Let the watchdog look; return when it has."""
        for _ in range(times):
            assert self._asleep.acquire(timeout=SOON)
            self._go.release()
        assert self._asleep.acquire(timeout=SOON)
        self._asleep.release()

    def open(self) -> None:
        """Let it look as it likes."""
        self._is_open = True
        self._go.release()


class Running:
    """A dispatcher whose turns give what the test delivers."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.deliveries: SimpleQueue[tuple[Task, ...] | Callable[[], object]] = SimpleQueue()
        self.log: list[str] = []  # turns and tasks in the order in which they began
        self.turning = 0
        self.collisions = 0  # turns that began within another's
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
        """Have a turn find these tasks ready."""
        self.deliveries.put(tasks)

    def in_turn(self, call: Callable[[], object]) -> None:
        """Have the holder of the lead call something, and wait until it has."""
        done = threading.Event()

        def call_and_tell() -> None:
            call()
            done.set()

        self.deliveries.put(call_and_tell)
        assert done.wait(SOON)

    def run(self, *tasks: RecordedTask) -> None:
        """Deliver tasks, and wait for their end."""
        self.deliver(*tasks)
        for task in tasks:
            assert task.done.wait(SOON)

    def wait_for_turn_of(self, name: str) -> None:
        """Wait until a thread of that name is in a turn that has begun after now."""
        with self._turned:
            seen = self._turns
            self.deliver()  # ends the turn under way
            assert self._turned.wait_for(lambda: self._turns > seen and self._last_turn == name, SOON)

    @property
    def reactor(self) -> str:
        """Return the name of the thread whose turn is under way."""
        return self._last_turn

    def stop(self) -> int:
        """End all threads; return how many still run. There may never have been two leads."""
        self.dispatcher.end_leadership()
        self.deliver()
        left = self.dispatcher.stop_threads(SOON)
        assert self.collisions == 0, "two threads turned at once"
        return left


class Time:
    """The clock of the dispatcher, and the looks of its watchdog."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.watchdog = Watching()
        monkeypatch.setattr(module, "_now", self.clock)
        monkeypatch.setattr(watchdog_module, "time", SimpleNamespace(sleep=self.watchdog.sleep))


Make = Callable[..., Running]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Time that stands still."""
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


def lead_on_a_worker(running: Running) -> str:
    """Have an application thread take the lead; return its name."""
    task = RecordedTask()
    running.run(task)
    running.wait_for_turn_of(task.thread)
    assert task.thread != SPARE
    return task.thread


def take_the_lead_from(running: Running, still: Time) -> Blocked:
    """RunningTask a task that blocks until the watchdog has taken the lead; return the task."""
    slow = Blocked()
    running.deliver(slow)
    assert slow.begun.wait(SOON)
    still.watchdog.tick(2)  # one look sees the task, the next that it is still the same
    running.wait_for_turn_of(SPARE)
    return slow


# --- rule 1


@pytest.mark.parametrize("threads", [1, 4])
def test_rule_1_quick_tasks_never_change_threads(make: Make, threads: int) -> None:
    running = make(threads)
    name = lead_on_a_worker(running)
    tasks = [RecordedTask() for _ in range(100)]
    for task in tasks[:50]:
        running.run(task)
    running.run(*tasks[50:])
    assert {task.thread for task in tasks} == {name}
    assert running.reactor == name


def test_rule_1_tasks_run_between_turns(make: Make) -> None:
    running = make()
    lead_on_a_worker(running)
    turning: list[int] = []
    running.run(*[RecordedTask(lambda: turning.append(running.turning)) for _ in range(10)])
    assert turning == [0] * 10


# --- rule 2


def test_rule_2_a_slow_task_loses_the_lead_to_the_spare_and_the_io_goes_on(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    other = RecordedTask()
    running.run(other)
    assert not slow.done.is_set()
    assert other.thread not in (slow.thread, SPARE)
    slow.gate.set()
    assert slow.done.wait(SOON)
    assert running.reactor == SPARE


def test_rule_2_one_look_of_the_watchdog_takes_nothing(make: Make, still: Time) -> None:
    running = make(2)
    name = lead_on_a_worker(running)
    task = Blocked()
    running.deliver(task)
    assert task.begun.wait(SOON)
    still.watchdog.tick()
    task.gate.set()
    running.wait_for_turn_of(name)


def test_rule_2_a_thread_that_has_lost_the_lead_is_a_plain_worker(make: Make, still: Time) -> None:
    running = make(1)
    name = lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    slow.gate.set()
    task = RecordedTask()
    running.run(task)
    assert task.thread == name
    running.wait_for_turn_of(SPARE)


def test_rule_2_a_thread_takes_the_lead_that_a_later_reactor_has_laid_down(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    still.clock.advance(LONGEST_HOLD)
    later = Blocked()
    running.deliver(later)  # the spare gives the lead to the other thread, which runs this
    assert later.begun.wait(SOON)
    assert later.thread not in (slow.thread, SPARE)
    slow.gate.set()
    running.wait_for_turn_of(slow.thread)
    later.gate.set()
    assert later.done.wait(SOON)
    for _ in range(3):
        running.wait_for_turn_of(slow.thread)


@pytest.mark.parametrize("threads", [1, 2])
def test_rule_2_holds_for_the_real_watchdog(threads: int) -> None:
    running = Running(Dispatcher(threads))
    running.dispatcher.start(running.turn)
    slow = Blocked()
    running.deliver(slow)
    assert slow.begun.wait(SOON)
    running.wait_for_turn_of(SPARE)
    assert not slow.done.is_set()
    slow.gate.set()
    assert running.stop() == 0


# --- rule 3


def seconds_handed_over(running: Running, still: Time) -> float:
    """Return how long after a take, to a millisecond, tasks have been handed over."""
    for milliseconds in range(1000):
        task = RecordedTask()
        running.run(task)
        running.in_turn(lambda: None)
        if running.reactor == task.thread:
            return milliseconds / 1000
        still.clock.advance(0.001)
    raise AssertionError("no application thread gets the lead back")


def test_rule_3_the_spare_hands_over_for_a_short_while_after_a_take_among_much_quick_work(
    make: Make, still: Time
) -> None:
    running = make(4)
    slow = []
    for _ in range(3):
        lead_on_a_worker(running)
        for _ in range(25):
            running.run(advancing(still, RARE / 20))
        slow.append(take_the_lead_from(running, still))
        assert seconds_handed_over(running, still) == pytest.approx(SHORTEST_HOLD, abs=0.0011)
    for task in slow:
        task.gate.set()


def test_rule_3_the_spare_hands_over_twice_as_long_after_each_take_among_little_work(make: Make, still: Time) -> None:
    running = make(8)
    slow, held = [], []
    for _ in range(7):
        lead_on_a_worker(running)
        running.run(*[RecordedTask() for _ in range(100)])  # which take no time
        slow.append(take_the_lead_from(running, still))
        held.append(seconds_handed_over(running, still))
    for task in slow:
        task.gate.set()
    assert held == pytest.approx([min(SHORTEST_HOLD * 2**takes, LONGEST_HOLD) for takes in range(1, 8)], abs=0.0011)


def test_rule_3_tasks_that_are_slow_on_average_are_handed_over(make: Make, still: Time) -> None:
    running = make(4)
    name = lead_on_a_worker(running)
    for _ in range(20):
        running.run(advancing(still, 3 * FAST))
    running.wait_for_turn_of(SPARE)
    for _ in range(30):
        running.run(RecordedTask())
    task = RecordedTask()
    running.run(task)
    running.wait_for_turn_of(task.thread)
    assert name.startswith("waitress-")


def test_rule_3_the_quick_tasks_of_a_burst_are_not_taken_for_a_slow_one(make: Make, still: Time) -> None:
    running = make(4)
    name = lead_on_a_worker(running)
    for _ in range(10):
        tasks = [advancing(still, 0.2 * FAST) for _ in range(10)]
        running.run(*tasks)
        assert {task.thread for task in tasks} == {name}


def test_rule_3_each_task_of_a_burst_counts(make: Make, still: Time) -> None:
    running = make(4)
    lead_on_a_worker(running)
    tasks = [advancing(still, 1.8 * FAST) for _ in range(10)]
    assert 2 * 1.8 * FAST < QUANTUM < 3 * 1.8 * FAST  # three bursts of three
    running.run(*tasks)
    running.wait_for_turn_of(SPARE)


def test_rule_3_the_lead_is_not_given_while_no_thread_is_free(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_a_worker(running)
    one = take_the_lead_from(running, still)
    other = Blocked()
    running.deliver(other)
    assert other.begun.wait(SOON)
    still.clock.advance(2 * LONGEST_HOLD)
    waiting = RecordedTask()
    running.deliver(waiting)
    for _ in range(3):
        running.wait_for_turn_of(SPARE)
    assert not waiting.begun.is_set()
    one.gate.set()
    assert waiting.done.wait(SOON)
    assert waiting.thread == one.thread
    other.gate.set()
    assert other.done.wait(SOON)


def test_rule_3_what_waits_in_the_queue_is_run_in_order(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    order: list[int] = []
    tasks = [RecordedTask(lambda number=number: order.append(number)) for number in range(20)]  # type: ignore[misc]
    for task in tasks:
        running.deliver(task)
    running.wait_for_turn_of(SPARE)
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    assert order == list(range(20))


# --- rule 4


def test_rule_4_all_that_is_ready_runs_within_a_quantum_before_the_poller_is_asked(make: Make) -> None:
    running = make(1)
    lead_on_a_worker(running)
    tasks = [RecordedTask(lambda: running.log.append("task")) for _ in range(200)]
    running.log.clear()
    running.run(*tasks)
    running.wait_for_turn_of(tasks[0].thread)
    assert running.log[:201] == [*["task"] * 200, "turn 1"]
    assert IDLE_WAIT == 1


def test_rule_4_the_poller_is_asked_without_waiting_after_a_quantum(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_a_worker(running)

    def call() -> None:
        running.log.append("task")
        still.clock.advance(QUANTUM * 0.6)

    tasks = [RecordedTask(call) for _ in range(4)]
    still.clock.advance(1)
    running.log.clear()
    running.run(*tasks)
    assert running.log[:5] == ["task", "task", "turn 0", "task", "task"]


def test_rule_4_what_is_ready_goes_with_the_lead(make: Make, still: Time) -> None:
    running = make(2)
    name = lead_on_a_worker(running)
    slow = Blocked()
    others = [RecordedTask() for _ in range(3)]
    running.deliver(slow, *others)
    assert slow.begun.wait(SOON)
    still.watchdog.tick(2)
    for task in others:
        assert task.done.wait(SOON)
        assert task.thread != name
    assert not slow.done.is_set()
    slow.gate.set()


# --- rule 5


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_rule_5_there_is_one_lead_whatever_races(threads: int) -> None:
    # Tasks about as long as a quantum: the watchdog and the end of the task go for the lead at once.
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


def test_rule_5_the_spare_has_no_lead_once_it_has_given_it_away(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # The thread that was given the lead has run all that was ready, and turns, before the spare looks again.
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


# --- rule 6


@pytest.mark.parametrize("threads", [1, 2])
def test_rule_6_a_task_that_is_about_to_block_gives_the_lead_away(make: Make, threads: int) -> None:
    running = make(threads)
    lead_on_a_worker(running)
    gate = threading.Event()

    def call() -> None:
        running.dispatcher.yield_leadership()
        assert gate.wait(SOON)

    task = RecordedTask(call)
    running.deliver(task)
    running.wait_for_turn_of(SPARE)
    assert not task.done.is_set()
    gate.set()
    assert task.done.wait(SOON)


def test_rule_6_a_task_without_the_lead_gives_nothing_away(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    running.dispatcher.yield_leadership()
    for _ in range(3):
        running.wait_for_turn_of(SPARE)
    slow.gate.set()


# --- rule 7, and who sees tasks


class Sink:
    """Keeps the tasks that it gets, and the threads that they came from."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.threads: set[str] = set()

    def add_task(self, task: Task) -> None:
        self.threads.add(threading.current_thread().name)
        self.tasks.append(task)
        task.service()


def test_rule_7_another_dispatcher_gets_every_task_and_the_spare_keeps_the_lead(make: Make) -> None:
    sink = Sink()
    running = make(4, sink)
    tasks = [RecordedTask() for _ in range(50)]
    for task in tasks:
        running.run(task)
    running.wait_for_turn_of(SPARE)
    assert sink.tasks == tasks
    assert sink.threads == {SPARE}
    assert {thread.name for thread in running.dispatcher.threads} == {SPARE, "waitress-watchdog"}


def test_rule_8_the_watchdog_looks_less_often_the_longer_tasks_are_quick(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_a_worker(running)
    for _ in range(100):
        running.run(RecordedTask())
        still.watchdog.tick()
    pauses = list(still.watchdog.pauses)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (QUANTUM, LONGEST_PAUSE)
    take_the_lead_from(running, still).gate.set()
    assert still.watchdog.pauses[-1] == QUANTUM  # a task was slow: from now on it looks closely


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
        running.wait_for_turn_of(SPARE)
    assert seen == tasks


class RecordedChore(RecordedTask, InternalTask):
    """A task that is no request."""


def test_a_subclass_with_an_add_task_sees_requests_alone(make: Make) -> None:
    dispatcher = Subclass(2)
    running = make(dispatcher=dispatcher)
    chore = RecordedChore()
    running.run(chore, RecordedTask())
    assert dispatcher.count == 1
    assert chore.thread in {"waitress-0", "waitress-1"}


def test_a_dispatcher_that_refuses_a_task_costs_neither_the_lead_nor_the_others(
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
    assert not refused.begun.is_set()
    assert "ValueError: not this one" in caplog.text


def test_a_task_that_is_added_from_outside_is_run(make: Make) -> None:
    running = make(2)
    task = RecordedTask()
    running.dispatcher.add_task(task)
    assert task.done.wait(SOON)
    assert task.thread.startswith("waitress-")
    assert task.thread != SPARE


# --- threads


@pytest.mark.promise("S74")
def test_the_threads_have_names_and_do_not_keep_the_process_alive(make: Make) -> None:
    running = make(3)
    assert [thread.name for thread in running.dispatcher.threads] == [
        "waitress-0",
        "waitress-1",
        "waitress-2",
        SPARE,
        "waitress-watchdog",
    ]
    assert all(thread.daemon and thread in threading.enumerate() for thread in running.dispatcher.threads)


def test_threads_1_is_always_the_same_thread(make: Make, still: Time) -> None:
    running = make(1)
    tasks = [RecordedTask() for _ in range(20)]
    for task in tasks[:10]:
        running.run(task)
    slow = take_the_lead_from(running, still)
    for task in tasks[10:]:
        running.deliver(task)
    slow.gate.set()
    for task in tasks:
        assert task.done.wait(SOON)
    assert {task.thread for task in [*tasks, slow]} == {"waitress-0"}


@pytest.mark.parametrize("error", [Exception("x"), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("has_leadership", [True, False], ids=["with the lead", "from the queue"])
def test_a_thread_is_never_lost_to_a_task(
    make: Make, caplog: pytest.LogCaptureFixture, error: BaseException, has_leadership: bool
) -> None:
    running = make(1)
    if has_leadership:
        lead_on_a_worker(running)

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


@pytest.mark.parametrize("after", [0, 1, 4, 5], ids=["the first", "the second", "the spare", "the watchdog"])
def test_a_thread_that_can_not_be_started_leaves_none(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_some(thread: threading.Thread) -> None:
        if len(started) == after:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    dispatcher = Dispatcher(4)
    with pytest.raises(RuntimeError, match="can't start new thread"):
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


@pytest.mark.parametrize("holder", ["spare", "worker"])
def test_no_turn_begins_once_the_lead_has_ended(make: Make, holder: str) -> None:
    running = make(2, None if holder == "worker" else Sink())
    if holder == "worker":
        lead_on_a_worker(running)
    running.in_turn(running.dispatcher.end_leadership)
    running.log.clear()
    never = RecordedTask()
    running.deliver(never)
    assert not never.begun.wait(A_WHILE)
    assert running.log == []


def test_stopping_from_within_a_task_does_not_wait_for_itself(make: Make, still: Time) -> None:
    running = make(2)
    lead_on_a_worker(running)
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
        assert task.begun.wait(SOON)
    still.watchdog.open()
    running.dispatcher.end_leadership()
    running.deliver()
    assert running.dispatcher.cancel_pending() == 0
    assert running.dispatcher.stop_threads(A_WHILE) == 2
    assert running.dispatcher.cancel_pending() == 0  # takes no word away from a thread that has still to hear it
    for task in tasks:
        task.gate.set()
    for thread in running.dispatcher.threads:
        thread.join(SOON)
        assert not thread.is_alive()


# --- cancelling


def test_cancelling_counts_what_has_not_begun(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
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
    assert all(task.is_cancelled and not task.begun.is_set() for task in [*queued, *ready])
    assert not slow.is_cancelled
    slow.gate.set()
    task = RecordedTask()
    running.run(task)
    assert task.thread == slow.thread


def test_cancelled_tasks_count_as_queued_no_more(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2)
    for _ in range(5):
        dispatcher.add_task(RecordedTask())
    assert dispatcher.cancel_pending() == 5
    caplog.clear()
    still.clock.advance(QUIET_SECONDS)
    dispatcher.tick()
    assert dispatcher.cancel_pending() == 0
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    assert grown(1)[0] not in told(caplog)


def test_chores_are_not_cancelled_while_there_are_threads_to_run_them(make: Make, still: Time) -> None:
    running = make(1)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    queued, ready = RecordedChore(), RecordedChore()
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


def test_chores_are_cancelled_when_no_thread_is_left(still: Time) -> None:
    dispatcher, chore, late = Dispatcher(1), RecordedChore(), RecordedChore()
    dispatcher.add_task(chore)
    dispatcher.ready.append(late)
    dispatcher.end_leadership()
    assert dispatcher.cancel_pending() == 2
    assert chore.is_cancelled
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


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of what was logged of the queue."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "waitress.queue"]


def grown(*depths: int) -> list[tuple[str, str]]:
    return [("WARNING", f"Task queue depth is {depth}") for depth in depths]


def emptied(depth: int, seconds: float) -> tuple[str, str]:
    return "INFO", (
        f"Task queue is empty again: its greatest depth was {depth}, the longest wait {seconds:.3f} seconds"
    )


def test_the_queue_depth_is_told_once_for_each_doubling(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(2)
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    assert told(caplog) == []  # there is a thread for each
    for _ in range(20):
        dispatcher.add_task(RecordedTask())
    assert told(caplog) == grown(1, 2, 4, 8, 16)


def test_a_queue_that_is_empty_again_is_told_with_its_depth_and_its_longest_wait(
    make: Make, still: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = make(1)
    lead_on_a_worker(running)
    slow = take_the_lead_from(running, still)
    first, second, last = RecordedTask(), RecordedTask(), Blocked()
    running.dispatcher.add_task(first)
    still.clock.advance(2)
    running.dispatcher.add_task(second)
    running.dispatcher.add_task(last)
    still.clock.advance(1)
    slow.gate.set()
    assert last.begun.wait(SOON)  # and has not ended, but what it has waited counts already
    running.dispatcher.tick()
    assert told(caplog) == grown(1, 2)  # tasks had to wait a moment ago
    still.clock.advance(QUIET_SECONDS)
    for _ in range(3):
        running.dispatcher.tick()
    assert told(caplog) == [*grown(1, 2), emptied(3, 3)]
    last.gate.set()


def test_a_queue_that_comes_and_goes_is_told_once(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for _ in range(20):
        for _ in range(2):
            dispatcher.add_task(RecordedTask())
        still.clock.advance(1)
        dispatcher.cancel_pending()
        dispatcher.tick()
    assert told(caplog) == grown(1)
    still.clock.advance(QUIET_SECONDS)
    dispatcher.tick()
    assert told(caplog) == [*grown(1), emptied(1, 0)]


def test_a_queue_that_stands_is_not_told_to_be_empty(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for _ in range(2):
        dispatcher.add_task(RecordedTask())
    still.clock.advance(10 * QUIET_SECONDS)
    dispatcher.tick()
    assert told(caplog) == grown(1)


def test_a_queue_after_one_that_has_ended_is_told_anew(still: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dispatcher = Dispatcher(1)
    for count in (5, 2):
        for _ in range(count):
            dispatcher.add_task(RecordedTask())
        dispatcher.cancel_pending()
        still.clock.advance(QUIET_SECONDS)
        dispatcher.tick()
    assert told(caplog) == [*grown(1, 2, 4), emptied(4, 0), *grown(1), emptied(1, 0)]


# --- fork


def test_in_a_forked_child_the_thread_that_forked_ends_with_its_task(make: Make) -> None:
    running = make(1)
    lead_on_a_worker(running)

    def call() -> None:
        assert running.dispatcher._lock.acquire()  # by a thread that the child does not have
        running.dispatcher.abandon_after_fork()

    task = RecordedTask(call)
    queued = RecordedTask()
    running.dispatcher.add_task(queued)
    running.run(task)
    worker = running.dispatcher.threads[0]
    worker.join(SOON)
    assert not worker.is_alive()
    assert not queued.begun.is_set()


def test_every_task_can_be_handed_to_who_wants_to_see_it() -> None:
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


def test_it_counts_what_waits_and_what_is_busy(make: Make) -> None:
    running = make(1)
    dispatcher = running.dispatcher
    assert dispatcher.waiting_count == 0
    slow, waits = Blocked(), RecordedTask()
    dispatcher.add_task(slow)
    assert slow.begun.wait(SOON)
    dispatcher.add_task(waits)
    assert (dispatcher.busy_count, dispatcher.waiting_count) == (1, 1)
    slow.gate.set()
    assert waits.done.wait(SOON)
