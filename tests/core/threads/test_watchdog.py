"""The watchdog alone: each pause is a step of the test, so one thread plays all."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from waitress_core.threads import watchdog as module
from waitress_core.threads.event import Event
from waitress_core.threads.leadership import QUANTUM, SHORTEST_PAUSE, LeadershipPolicy
from waitress_core.threads.watchdog import CHECKS_UNTIL_PARKED, LONGEST_PAUSE, Watchdog

Step = Callable[[], object]


def nothing() -> None:
    pass


class Slot:
    """The slot of leadership; `on_check` is called whenever it is asked whether it is empty."""

    def __init__(self) -> None:
        self.is_filled = False
        self.on_check: Step = nothing

    def __call__(self) -> bool:
        self.on_check()
        return self.is_filled


class PlayedEvent(Event):
    """An event that does not wait, but calls `on_wait`."""

    def __init__(self, on_wait: Callable[[Callable[[], bool]], None]) -> None:
        super().__init__()
        self._on_wait = on_wait

    def wait(self, seconds: float) -> bool:
        self._on_wait(self.is_set)
        return self.is_set()


class Watched:
    """A watchdog with sleeps and waits that the test plays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.policy = LeadershipPolicy()
        self.slot = Slot()
        self.takes = 0
        self.pauses: list[float] = []
        self.waits: list[bool] = []  # whether each wait of the parked watchdog was ended by another thread
        self.on_wait: Step = nothing
        self.watchdog = Watchdog(self.policy, self.slot, self._take)
        self._steps: list[Step] = []
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=self._sleep))
        monkeypatch.setattr(self.watchdog, "_unparked", PlayedEvent(self._wait))

    def _wait(self, is_set: Callable[[], bool]) -> None:
        self.on_wait()
        self.waits.append(is_set())

    def _take(self) -> None:
        self.takes += 1
        self.slot.is_filled = False

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self._steps:
            self._steps.pop(0)()
        else:
            self.watchdog.stop()

    def start_task(self) -> None:
        """Do what the leader does before a task."""
        self.policy.tasks_run += 1
        self.slot.is_filled = True
        if self.watchdog.is_parked:
            self.watchdog.unpark()

    def end_task(self) -> None:
        self.slot.is_filled = False

    def run(self, *steps: Step) -> None:
        """Run the watchdog: one step in each of its pauses, and the stop in the last."""
        self._steps = list(steps)
        self.watchdog.run()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


UNTIL_PARKED: list[Step] = [nothing] * (CHECKS_UNTIL_PARKED + 2)  # the first check sees that there was none


def test_a_task_that_runs_from_one_check_to_the_next_loses_leadership(watched: Watched) -> None:
    watched.run(watched.start_task)
    assert watched.takes == 1  # at the check that ends the last pause


def test_a_task_that_another_follows_between_two_checks_loses_nothing(watched: Watched) -> None:
    watched.run(*[watched.start_task] * 5, watched.end_task)
    assert watched.takes == 0


def test_a_task_that_ends_between_two_checks_loses_nothing(watched: Watched) -> None:
    watched.run(watched.start_task, watched.end_task)
    assert watched.takes == 0


def test_pauses_grow_with_quick_tasks_and_are_short_again_after_a_take(watched: Watched) -> None:
    watched.run(*[watched.start_task] * 100, nothing)
    *growing, last = watched.pauses
    assert growing == sorted(growing)
    assert (growing[0], growing[-1], last) == (QUANTUM, LONGEST_PAUSE, SHORTEST_PAUSE)
    assert watched.takes == 1


def test_after_a_take_pauses_are_the_shortest_only_while_tasks_come(watched: Watched) -> None:
    watched.run(watched.start_task, nothing, watched.start_task, watched.end_task)
    *_, after_the_take, after_a_task, after_none = watched.pauses
    assert (after_the_take, after_none) == (SHORTEST_PAUSE, QUANTUM)
    assert SHORTEST_PAUSE < after_a_task < QUANTUM


def test_without_tasks_it_parks_and_checks_closely_afterwards(watched: Watched) -> None:
    watched.run(watched.start_task, watched.end_task, *UNTIL_PARKED)
    assert watched.waits == [False]
    assert watched.pauses[-1] == QUANTUM
    assert not watched.watchdog.is_parked


def test_a_task_that_starts_while_it_waits_unparks_it(watched: Watched) -> None:
    watched.on_wait = watched.start_task
    watched.run(*UNTIL_PARKED)
    assert watched.waits == [True]


def test_it_waits_each_time_it_parks(watched: Watched) -> None:
    starts: list[Step] = [watched.start_task]
    watched.on_wait = lambda: starts.pop()() if starts else None
    watched.run(*UNTIL_PARKED, watched.end_task, *UNTIL_PARKED)
    assert watched.waits == [True, False]


def test_a_task_that_starts_just_before_the_wait_unparks_it(watched: Watched) -> None:
    def check() -> None:
        if watched.watchdog.is_parked:
            watched.slot.on_check = nothing
            watched.policy.tasks_run += 1  # the slot is filled a moment later
            watched.watchdog.unpark()

    watched.slot.on_check = check
    watched.run(*UNTIL_PARKED)
    assert watched.waits == [True]


@pytest.mark.parametrize("seen", ["count", "slot"])
def test_a_task_that_has_not_seen_it_park_is_not_left_alone(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    park = watched.watchdog._park

    def start_and_park(count: int) -> None:
        # After the last check, and before the watchdog says that it is parked.
        if seen == "count":
            watched.policy.tasks_run += 1
        else:
            watched.slot.is_filled = True
        park(count)

    monkeypatch.setattr(watched.watchdog, "_park", start_and_park)
    watched.run(*UNTIL_PARKED, nothing)
    assert watched.waits == []


@pytest.mark.parametrize("moment", ["before the wait", "in the wait"])
def test_a_stop_ends_it_while_it_parks(watched: Watched, moment: str) -> None:
    def stop_when_parked() -> None:
        if watched.watchdog.is_parked:
            watched.watchdog.stop()

    if moment == "in the wait":
        watched.on_wait = watched.watchdog.stop
    else:
        watched.slot.on_check = stop_when_parked
    watched.run(*UNTIL_PARKED, *[nothing] * 100)
    assert watched.waits == ([True] if moment == "in the wait" else [])
    assert len(watched.pauses) == len(UNTIL_PARKED)
