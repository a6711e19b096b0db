"""The supervisor's loop, turn by turn, without a process: the clock and the wait are the test's."""

import errno
import importlib
import logging
import os
import sys
from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.status.snapshots import snapshot_of
from tests.support.manual_clock import ManualClock
from waitress_core import Adjustments
from waitress_core.connection.context import State
from waitress_core.lifecycle.signals import Action
from waitress_core.lifecycle.states import StopRequest
from waitress_core.observability.snapshot import Snapshot
from waitress_core.processes.plan import END_SECONDS, KILL_SECONDS, Stop
from waitress_core.processes.scoreboard import Word
from waitress_core.processes.states import Event, SupervisorState, WorkerState
from waitress_core.processes.worker_pipes import WorkerPipes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


class FakeServer:
    """What the supervisor asks of a server; notes what is reported to it."""

    def __init__(self) -> None:
        self.adj = Adjustments(listen="127.0.0.1:0", workers=2, status_listen="127.0.0.1:0")
        self.events: list[Event] = []
        self.failure: BaseException = ValueError("threads=0")  # of the settings of now

    def on_supervisor(self, event: Event, supervisor: object) -> None:
        self.events.append(event)

    def remake(self, old: object) -> None:
        raise self.failure


class FakeWaiting:
    """Waits on the clock of the test, until an event: one comes each `event_seconds`."""

    def __init__(self, clock: ManualClock) -> None:
        self.event_seconds = float("inf")
        self.waited: list[float] = []
        self._clock = clock

    def wait(self, pipes: Iterable[int], seconds: float) -> bool:
        self.waited.append(seconds)
        self._clock.advance(min(seconds, self.event_seconds))
        return self.event_seconds <= seconds

    def leave(self) -> list[Any]:
        return []


class Supervised:
    """A supervisor of no worker at all, which can start none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = importlib.import_module("waitress_core.processes.supervisor")
        self.clock = ManualClock()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.clock))
        self.waiting = FakeWaiting(self.clock)
        monkeypatch.setattr(module, "Waiting", lambda: self.waiting)
        monkeypatch.setattr(module.StatusProcess, "check", lambda self, leave: None)  # it starts none
        self.server = FakeServer()
        self.stop_requests: list[StopRequest] = []
        self.actions: deque[tuple[Action, str]] = deque()
        self.it = module.Supervisor(
            self.server, workers=0, stop_requests=self.stop_requests, actions=self.actions, folder=""
        )

    def refuse_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the system have no process left."""

        def start(*arguments: object) -> None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr(self.it._workers, "start", start)

    def add_worker(self, snapshot: Snapshot) -> Any:
        """Add one that serves, and has published a snapshot; it is no process."""
        handles = importlib.import_module("waitress_core.processes.worker_handle")
        slot = self.it._workers.scoreboard.take()
        slot[Word.PID] = 1
        slot.publish({"status": snapshot})
        handle = handles.WorkerHandle(1, slot, WorkerPipes())
        handle.pipes.keep_supervisors()
        self.it._workers._handles[1] = handle
        handle.enter(WorkerState.SERVING)
        return handle

    def turn(self, turns: int = 1) -> None:
        for _ in range(turns):
            self.it._turn()


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Supervised:
    return Supervised(monkeypatch)


def test_after_a_pause_of_starts_the_supervisor_waits_for_ticks_again(supervised: Supervised) -> None:
    supervised.it._pause.note_end(supervised.clock(), is_early=True)
    supervised.it._pause.note_end(supervised.clock(), is_early=True)
    supervised.clock.advance(0.9)
    supervised.turn(4)
    assert supervised.waiting.waited == pytest.approx([0.1, 1, 1, 1])


@pytest.mark.parametrize("seconds", [0.01, 0.3, 5], ids=["often", "at-times", "never"])
def test_there_is_a_tick_each_second_however_often_something_happens(seconds: float, supervised: Supervised) -> None:
    supervised.waiting.event_seconds = seconds
    until = supervised.clock() + 9.5
    while supervised.clock() < until:
        supervised.turn()
    assert supervised.server.events.count(Event.TICK) in (9, 10)


def test_a_supervisor_that_is_replaced_can_still_be_stopped(supervised: Supervised) -> None:
    now = supervised.clock()
    supervised.it._start_stop(Stop(now + 10, now + 14, retires=True))
    supervised.stop_requests.append(StopRequest(State.LEAVING, now + 25))
    supervised.it._note_stop_requests()
    assert supervised.it._stop == Stop(now + 25 + END_SECONDS, now + 25 + KILL_SECONDS)


def test_many_workers_that_cannot_start_are_one_failure_of_the_system(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervised.refuse_processes(monkeypatch)
    supervised.it._wanted = 8
    started_at = supervised.clock()
    while supervised.clock() < started_at + 3.5:
        supervised.turn()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.partition("; ")[2] for line in said] == [
        f"the next attempt follows in {seconds} seconds" for seconds in (1, 1, 2)
    ]


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (ValueError("threads=0"), "SIGHUP: threads=0; settings and workers stay as they were"),
        (KeyError("shop"), "KeyError: 'shop'"),
        (SystemExit(2), "SystemExit: 2"),
    ],
    ids=["settings", "fault", "exit"],
)
def test_a_reload_that_the_program_fails_changes_nothing(
    failure: BaseException, text: str, supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    supervised.server.failure = failure
    supervised.turn()
    supervised.actions.append((Action.RELOAD, "SIGHUP"))
    supervised.turn()
    assert text in caplog.text
    assert supervised.it.state is SupervisorState.SERVING
    assert supervised.it._figures.counted["reloads"] == {"done": 0, "failed": 1}


def test_a_worker_that_ends_while_the_status_is_read_is_counted_once(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = supervised.add_worker(snapshot_of(bytes_in=7))
    snapshots = supervised.it._figures.snapshots

    def end_after_reading() -> list[Snapshot]:
        found: list[Snapshot] = snapshots()
        if found:
            supervised.it._on_ended(handle, 0)
        return found

    monkeypatch.setattr(supervised.it._figures, "snapshots", end_after_reading)
    workers, supervision = supervised.it.status()
    assert (workers, supervision["ended"]["bytes_in"]) == ([], 7)
