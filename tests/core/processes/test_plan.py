"""What the supervisor does next: states in, steps out, without a process."""

import pytest

from waitress_core.processes.plan import (
    ABORT_SECONDS,
    END_SECONDS,
    KILL_SECONDS,
    LONGEST_PAUSE_SECONDS,
    YOUNG_SECONDS,
    Action,
    Limits,
    StartPause,
    Step,
    Stop,
    WorkerView,
    pause_after,
    plan,
    seconds_to_wait,
)
from waitress_core.processes.states import (
    SUPERVISOR_TRANSITIONS,
    WORKER_TRANSITIONS,
    SupervisorState,
    WorkerState,
)

STARTING, SERVING, RETIRING, STOPPING, ABORTED, KILLED, _ = WorkerState
NOW = 1000.0
LIMITS = Limits(worker_timeout=60, shutdown_timeout=25)
START = Step(Action.START)


def worker(pid: int, state: WorkerState = SERVING, *, is_stale: bool = False, **values: float) -> WorkerView:
    """Return a worker that entered its state `age` seconds ago and has ticked `beat_age` seconds ago."""
    since = NOW - values.pop("age", 500)
    return WorkerView(pid, state, since, values.pop("beat_age", 0.5), is_stale, **values)  # type: ignore[arg-type]  # told


@pytest.mark.parametrize(
    ("workers", "wanted", "steps"),
    [
        ([], 2, [START, START]),
        ([worker(1)], 2, [START]),
        ([worker(1), worker(2, STARTING)], 2, []),
        ([worker(1), worker(2)], 2, []),
        ([worker(1), worker(2, RETIRING, age=1)], 2, [START]),
        ([worker(1), worker(2), worker(3)], 2, [Step(Action.RETIRE, 3)]),
        ([worker(1), worker(2), worker(3)], 1, [Step(Action.RETIRE, 3), Step(Action.RETIRE, 2)]),
    ],
    ids=["none", "one-missing", "one-starts", "enough", "one-retires", "one-too-many", "two-too-many"],
)
def test_there_are_as_many_workers_as_wanted(workers: list[WorkerView], wanted: int, steps: list[Step]) -> None:
    assert plan(workers, wanted=wanted, now=NOW, limits=LIMITS) == steps


@pytest.mark.parametrize(
    ("workers", "steps"),
    [
        ([worker(1, is_stale=True), worker(2, is_stale=True)], [START]),
        ([worker(1, is_stale=True), worker(2, is_stale=True), worker(3, STARTING)], []),
        ([worker(1, is_stale=True), worker(2, STARTING, is_stale=True)], [Step(Action.STOP, 2), START]),
        ([worker(1, is_stale=True), worker(2, is_stale=True), worker(3)], [Step(Action.RETIRE, 1)]),
        ([worker(2, is_stale=True), worker(3), worker(1, RETIRING, age=1)], [START]),
        ([worker(2, is_stale=True), worker(3), worker(4)], [Step(Action.RETIRE, 2)]),
        ([worker(3), worker(4)], []),
    ],
    ids=["first", "it-starts", "it-starts-with-old-code", "it-serves", "second", "it-serves-too", "done"],
)
def test_a_successor_serves_before_a_worker_retires(workers: list[WorkerView], steps: list[Step]) -> None:
    assert set(plan(workers, wanted=2, now=NOW, limits=LIMITS)) == set(steps)


def test_no_worker_starts_in_the_pause_after_early_deaths() -> None:
    assert plan([worker(1)], wanted=2, now=NOW, limits=LIMITS, may_start_at=NOW + 1) == []
    assert plan([worker(1)], wanted=2, now=NOW, limits=LIMITS, may_start_at=NOW) == [START]


def test_pauses_grow_up_to_half_a_minute() -> None:
    assert [pause_after(deaths) for deaths in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, LONGEST_PAUSE_SECONDS]


def test_only_early_deaths_in_a_row_make_the_next_worker_wait() -> None:
    pause = StartPause()
    assert [pause.note_end(NOW + seconds, is_early=True) for seconds in (0, 10, 20)] == [0, 1, 2]
    assert pause.until == NOW + 22
    assert pause.note_end(NOW + 21, is_early=False) == 0
    assert pause.until == 0
    assert [pause.note_end(NOW + seconds, is_early=True) for seconds in (30, 40)] == [0, 1]
    pause.end()
    assert pause.until == 0
    assert pause.note_end(NOW + 40, is_early=True) == 0


def test_workers_that_die_together_make_the_pause_no_longer() -> None:
    pause = StartPause()
    assert [pause.note_end(NOW, is_early=True) for _ in range(8)] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert pause.until == NOW + 1
    assert [pause.note_end(NOW + 1, is_early=True) for _ in range(8)] == [2, 0, 0, 0, 0, 0, 0, 0]


def test_early_deaths_are_forgotten_when_all_workers_have_lived() -> None:
    pause = StartPause()
    pause.note_end(NOW, is_early=True)
    pause.note_ages([YOUNG_SECONDS, YOUNG_SECONDS - 1])
    assert pause.note_end(NOW, is_early=True) == 1
    pause.note_ages([YOUNG_SECONDS, YOUNG_SECONDS + 1])
    assert pause.note_end(NOW, is_early=True) == 0


def test_without_a_process_left_the_next_attempt_is_a_second_later_at_least() -> None:
    pause = StartPause()
    assert [pause.note_no_process(NOW + seconds) for seconds in (0, 10, 20)] == [1, 1, 2]
    assert pause.until == NOW + 22


@pytest.mark.parametrize(
    ("tick_in", "may_start_in", "seconds"),
    [(1, -NOW, 1), (1, -1, 1), (1, 0, 1), (1, 0.25, 0.25), (1, 30, 1), (-2, 30, 0), (-2, -2, 0)],
    ids=[
        "no-pause",
        "pause-is-over",
        "pause-ends-now",
        "pause-ends-first",
        "tick-is-first",
        "tick-is-late",
        "all-late",
    ],
)
def test_the_supervisor_waits_until_something_is_due(tick_in: float, may_start_in: float, seconds: float) -> None:
    assert seconds_to_wait(NOW, tick_at=NOW + tick_in, may_start_at=NOW + may_start_in) == seconds


@pytest.mark.parametrize(
    ("state", "beat_age", "age", "timeout", "is_aborted"),
    [
        (SERVING, 61, 500, 60, True),
        (SERVING, 59, 500, 60, False),
        (SERVING, 61, 10, 60, False),
        (SERVING, 9999, 9999, 0, False),
        (STARTING, 9999, 9999, 60, True),
        (RETIRING, 61, 70, 60, True),
    ],
    ids=["hangs", "ticks", "serves-since-now", "off", "starts", "retires"],
)
def test_a_worker_that_does_not_tick_is_aborted(
    state: WorkerState, beat_age: float, age: float, timeout: float, is_aborted: bool
) -> None:
    limits = Limits(worker_timeout=timeout, shutdown_timeout=9999)
    steps = plan([worker(1, state, beat_age=beat_age, age=age), worker(2)], wanted=1, now=NOW, limits=limits)
    assert (Step(Action.ABORT, 1) in steps) is is_aborted


def test_a_worker_that_loads_the_application_may_take_its_time() -> None:
    for state, steps in ((STARTING, []), (SERVING, [Step(Action.ABORT, 1), START])):
        loading = worker(1, state, beat_age=9999, age=9999, is_loading=True)
        assert plan([loading], wanted=1, now=NOW, limits=LIMITS) == steps


def test_a_worker_has_time_to_tick_again_after_a_pause_of_the_server() -> None:
    paused = [worker(1, beat_age=500)]
    for seconds, steps in ((59, []), (60, [Step(Action.ABORT, 1), START])):
        assert plan(paused, wanted=1, now=NOW, limits=LIMITS, watched_since=NOW - seconds) == steps


def test_a_worker_that_is_aborted_is_killed_and_has_a_successor() -> None:
    assert plan([worker(1, ABORTED, age=0)], wanted=1, now=NOW, limits=LIMITS) == [START]
    workers = [worker(1, ABORTED, age=ABORT_SECONDS), worker(2)]
    assert plan(workers, wanted=1, now=NOW, limits=LIMITS) == [Step(Action.KILL, 1)]


@pytest.mark.parametrize(
    ("age", "was_told", "action"),
    [
        (25, False, None),
        (25 + END_SECONDS, False, Action.END),
        (25 + END_SECONDS, True, None),
        (25 + KILL_SECONDS, True, Action.KILL),
    ],
    ids=["in-time", "late", "told", "too-late"],
)
@pytest.mark.parametrize("state", [RETIRING, STOPPING])
def test_a_worker_that_leaves_for_too_long_is_ended(
    state: WorkerState, age: float, was_told: bool, action: Action | None
) -> None:
    steps = plan([worker(1, state, age=age, was_told_to_end=was_told), worker(2)], wanted=1, now=NOW, limits=LIMITS)
    assert steps == ([] if action is None else [Step(action, 1)])


@pytest.mark.parametrize(
    ("state", "after", "actions"),
    [
        (STARTING, -5, [Action.STOP]),
        (SERVING, -5, [Action.STOP]),
        (RETIRING, -5, [Action.STOP]),
        (STOPPING, -5, []),
        (SERVING, 0, [Action.STOP, Action.END]),
        (STOPPING, 0, [Action.END]),
        (STOPPING, 5, [Action.KILL]),
        (SERVING, 5, [Action.STOP, Action.KILL]),
        (KILLED, 5, []),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_server_that_ends_stops_all_workers_and_starts_none(
    state: WorkerState, after: float, actions: list[Action]
) -> None:
    stop = Stop(end_at=NOW - after, kill_at=NOW - after + 5)
    steps = plan([worker(1, state, age=1)], wanted=2, now=NOW, limits=LIMITS, stop=stop)
    assert steps == [Step(action, 1) for action in actions]


@pytest.mark.parametrize(
    ("state", "after", "actions"),
    [
        (STARTING, -5, [Action.STOP]),
        (SERVING, -5, [Action.RETIRE]),
        (RETIRING, -5, []),
        (STOPPING, -5, []),
        (SERVING, 0, [Action.RETIRE, Action.END]),
        (RETIRING, 0, [Action.END]),
        (RETIRING, 5, [Action.KILL]),
        (STOPPING, 5, [Action.KILL]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_server_that_is_replaced_retires_its_workers_and_ends_whatever_they_do(
    state: WorkerState, after: float, actions: list[Action]
) -> None:
    stop = Stop(end_at=NOW - after, kill_at=NOW - after + 5, retires=True)
    loading = worker(1, state, age=1, is_loading=True)
    assert plan([loading], wanted=2, now=NOW, limits=LIMITS, stop=stop) == [Step(action, 1) for action in actions]


def test_states_only_move_on_and_all_can_end() -> None:
    assert all(end > start for start, ends in WORKER_TRANSITIONS.items() for end in ends)
    assert all(
        WorkerState.ENDED in ends for start, ends in WORKER_TRANSITIONS.items() if start is not WorkerState.ENDED
    )
    assert set(WORKER_TRANSITIONS) == set(WorkerState)
    assert set(SUPERVISOR_TRANSITIONS) == set(SupervisorState)
