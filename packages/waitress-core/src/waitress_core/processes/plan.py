"""What the supervisor does next: decisions only. `supervisor.Supervisor` asks `plan` after every event, and acts.

Pure: the states of the workers and an instant in, steps out. Never reads a clock, a process or a file.

The rules, in this order:
1. When the server ends, every worker is told to stop, or to retire if a successor serves; past the deadline to end at
   once; after that it is killed. None is started.
2. A worker that does not tick is made to write its stacks, and is killed a moment later. One that loads the application
   may take its time; one that starts without that does not, and may be deadlocked at the fork. One that retires for
   too long is killed. One that still starts when it is to be replaced is stopped: it has no clients yet, and may never
   end to import.
3. Missing workers are started, at once or after the pause that follows early deaths.
4. A worker that is to be replaced retires when another serves in its place: one worker more than wanted is started for
   that. So no moment has fewer workers that accept than it is meant to have.
5. Workers that are too many retire: first those that are to be replaced, then the newest.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .states import WorkerState

ABORT_SECONDS = 2.0  # for the stacks of a worker's threads to be written, on a machine under load
# After the deadline of a worker that drains, which it keeps itself: then it is told to end at once.
END_SECONDS = 1.0
KILL_SECONDS = 5.0  # after the same deadline, in which threads that still run are waited for: then it is killed

# A worker that has died younger than this counts as an early death: more of them make the supervisor pause.
YOUNG_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0


class Action(enum.Enum):
    """What a step does with a worker."""

    START = "start one more"
    RETIRE = "let it answer what it has, and end"
    STOP = "let it drain and end: the server ends, or it starts with what is no longer to be served"
    END = "let it end at once"
    ABORT = "let it write the stacks of its threads, and die"
    KILL = "kill it"


class Step(NamedTuple):
    """One action; `pid` is 0 for a start."""

    action: Action
    pid: int = 0


class WorkerView(NamedTuple):
    """A worker at one moment. `since` is the instant at which it entered its state."""

    pid: int
    state: WorkerState
    since: float
    beat_age: float = 0.0  # seconds since its last tick
    is_stale: bool = False  # it is to be replaced
    is_loading: bool = False  # it starts, and loads the application
    was_told_to_end: bool = False


class Stop(NamedTuple):
    """The server ends: workers that drain are told to end at `end_at`, and killed at `kill_at`."""

    end_at: float
    kill_at: float
    retires: bool = False  # a successor serves in its place: workers that serve retire


class Limits(NamedTuple):
    """The settings that the rules need, in seconds."""

    worker_timeout: float
    shutdown_timeout: float


def plan(
    workers: Sequence[WorkerView],
    *,
    wanted: int,
    now: float,
    limits: Limits,
    may_start_at: float = 0.0,
    stop: Stop | None = None,
    watched_since: float = 0.0,
) -> list[Step]:
    """Return what to do now. `workers` are in the order of their start.

    Before `watched_since` the supervisor did not run, and the workers may not have run either.
    """
    steps = [step for worker in workers for step in _watch(worker, now, limits, stop, watched_since)]
    if stop is not None:
        return steps
    told = {step.pid for step in steps}
    serving = [worker for worker in workers if worker.state is WorkerState.SERVING and worker.pid not in told]
    starting = [worker for worker in workers if worker.state is WorkerState.STARTING and worker.pid not in told]
    stale = [worker for worker in serving if worker.is_stale]
    # One worker more than wanted, but only one: memory for all of them twice may be more than there is.
    missing = wanted + bool(stale) - len(serving) - len(starting)
    if missing > 0 and now >= may_start_at:
        steps += [Step(Action.START)] * missing
    surplus = len(serving) - wanted
    if surplus > 0:
        leaving = [*stale, *(worker for worker in reversed(serving) if not worker.is_stale)][:surplus]
        steps += [Step(Action.RETIRE, worker.pid) for worker in leaving]
    return steps


def _watch(worker: WorkerView, now: float, limits: Limits, stop: Stop | None, watched_since: float) -> list[Step]:
    """Return what one worker has coming, whatever the others do."""
    state, age = worker.state, now - worker.since
    if state is WorkerState.ABORTED:
        return [Step(Action.KILL, worker.pid)] if age >= ABORT_SECONDS else []
    steps = []
    if stop is None:
        if state is WorkerState.STARTING and worker.is_stale:
            return [Step(Action.STOP, worker.pid)]
        if state in (WorkerState.RETIRING, WorkerState.STOPPING):
            until = worker.since + limits.shutdown_timeout
            stop = Stop(until + END_SECONDS, until + KILL_SECONDS)
    elif stop.retires and state is WorkerState.SERVING:
        steps.append(Step(Action.RETIRE, worker.pid))
    elif state < WorkerState.RETIRING or (state is WorkerState.RETIRING and not stop.retires):
        steps.append(Step(Action.STOP, worker.pid))
    if stop is not None and state < WorkerState.ABORTED:
        if now >= stop.kill_at:
            return [*steps, Step(Action.KILL, worker.pid)]
        if now >= stop.end_at and not worker.was_told_to_end:
            steps.append(Step(Action.END, worker.pid))
    if (
        state <= WorkerState.RETIRING
        and not (state is WorkerState.STARTING and worker.is_loading)
        and 0 < limits.worker_timeout <= worker.beat_age
        and limits.worker_timeout <= min(age, now - watched_since)
    ):
        return [Step(Action.ABORT, worker.pid)]
    return steps


def seconds_to_wait(now: float, *, tick_at: float, may_start_at: float) -> float:
    """Return for how long there is nothing to do without an event: until the next tick, or a pause ends before that."""
    until = min(tick_at, may_start_at) if may_start_at > now else tick_at
    return max(0.0, until - now)


class StartPause:
    """When the next worker may start: those that die young make it wait."""

    def __init__(self) -> None:
        self.until = 0.0  # an instant
        self._early_deaths = 0

    def note_end(self, now: float, *, is_early: bool) -> float:
        """Count the end of a worker that was to go on; return how long a pause starts with it, in seconds.

        An early death in a pause is not counted: workers that die together have one cause.
        """
        if is_early and now < self.until:
            return 0.0
        self._early_deaths = self._early_deaths + 1 if is_early else 0
        pause = pause_after(self._early_deaths)
        self.until = now + pause if pause else 0.0
        return pause

    def note_no_process(self, now: float) -> float:
        """The system had no process for a worker; return when to try again, in seconds."""
        pause = max(1.0, self.note_end(now, is_early=True))
        self.until = now + pause
        return pause

    def note_ages(self, ages: Iterable[float]) -> None:
        """Forget early deaths once all workers have lived for longer."""
        if self._early_deaths and all(age >= YOUNG_SECONDS for age in ages):
            self._early_deaths = 0

    def end(self) -> None:
        """Forget early deaths: what caused them may have changed."""
        self.until, self._early_deaths = 0.0, 0


def pause_after(early_deaths: int) -> float:
    """Return how long to wait before the next start, after so many early deaths in a row: 0, 1, 2, 4, 8, 16, 30 s."""
    return 0.0 if early_deaths < 2 else min(LONGEST_PAUSE_SECONDS, 2.0 ** (early_deaths - 2))
