"""A worker's own side, without a process: what it writes into its slot, and when it asks to end."""

import contextlib
import faulthandler
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from waitress_core import Adjustments
from waitress_core.connection.context import State
from waitress_core.processes import worker as module
from waitress_core.processes.plan import KILL_SECONDS
from waitress_core.processes.scoreboard import Command, Scoreboard, Word
from waitress_core.processes.worker import REPORT_MARK, Worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


opened: list[int] = []


limits: list[float] = []  # after which this process would be ended


@pytest.fixture(autouse=True)
def close_pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the pipes that a test has opened; note when this process would be ended."""
    limits.clear()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **options: limits.append(seconds))
    yield
    while opened:
        os.close(opened.pop())


class Serving:
    """A worker with a server that serves, as its parent's child."""

    def __init__(self, supervisor: int | None = None, **settings: Any) -> None:
        self.slot = Scoreboard(slots=1).take()
        self.read_end, self.write_end = os.pipe()
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        self.worker = Worker(
            self.slot,
            self.write_end,
            adj,
            os.getppid() if supervisor is None else supervisor,
            ending_with_supervisor=contextlib.nullcontext,
        )
        self.requests = 0
        self.is_orphaned = False
        self.stops: list[tuple[State, float, bool]] = []
        self.worker.note_serves(
            snapshot=lambda: {"requests": self.requests},
            requests=lambda: self.requests,
            stop=self.stop,
            on_orphaned=self.orphaned,
        )

    def stop(self, state: State, seconds: float, *, retires: bool = False) -> None:
        self.stops.append((state, seconds, retires))

    def orphaned(self) -> None:
        self.is_orphaned = True

    def tick(self) -> "Serving":
        self.worker.on_tick()
        return self

    @property
    def wants_to_be_replaced(self) -> bool:
        return bool(self.slot[Word.REPLACE])


def test_a_worker_reports_that_it_serves_and_publishes_each_second() -> None:
    serving = Serving()
    assert os.read(serving.read_end, 100) == REPORT_MARK + b"serves null\n"
    assert serving.slot.snapshot() == {"requests": 0}
    serving.slot[Word.BEAT] = 0
    serving.requests = 5
    serving.tick()
    assert serving.slot.beat_age < 60
    assert (serving.slot.snapshot(), serving.slot[Word.REQUESTS]) == ({"requests": 5}, 5)
    serving.worker.on_state(State.DRAINING)
    assert serving.slot[Word.STATE] == State.DRAINING
    assert serving.stops == []


def test_a_worker_asks_to_be_replaced_after_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "randint", lambda least, most: most)
    serving = Serving(max_requests=100, max_requests_jitter=10)
    serving.requests = 109
    assert not serving.tick().wants_to_be_replaced
    serving.requests = 110
    assert serving.tick().wants_to_be_replaced
    assert serving.stops == []  # a successor serves first


def test_a_worker_asks_to_be_replaced_when_its_run_has_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    serving = Serving()
    assert not serving.tick().wants_to_be_replaced
    serving.worker.ask_to_be_replaced("its threads are lost")
    assert serving.tick().wants_to_be_replaced
    assert "This worker is replaced: its threads are lost" in caplog.text


def test_a_worker_asks_to_be_replaced_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(max_worker_age=60)
    assert not serving.tick().wants_to_be_replaced
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert serving.tick().wants_to_be_replaced


def test_a_worker_asks_to_be_replaced_when_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(max_worker_memory=200)
    monkeypatch.setattr(module, "resident_bytes", lambda: 200 << 20)
    assert not serving.tick().wants_to_be_replaced
    monkeypatch.setattr(module, "resident_bytes", lambda: (200 << 20) + 1)
    assert serving.tick().wants_to_be_replaced


def test_the_memory_in_use_is_known() -> None:
    assert 5 << 20 < module.resident_bytes() < 10 << 30


@pytest.mark.parametrize(
    ("command", "retires"), [(Command.RETIRE, True), (Command.STOP, False)], ids=["retire", "stop"]
)
def test_a_worker_does_what_the_supervisor_asks_for_once(command: Command, retires: bool) -> None:
    serving = Serving(shutdown_timeout=7)
    serving.slot[Word.COMMAND] = command
    assert serving.worker.is_dismissed() is retires
    serving.tick().tick()
    assert serving.stops == [(State.LEAVING, 7, retires)]


def test_a_worker_that_retires_can_still_be_stopped() -> None:
    serving = Serving()
    for command in (Command.RETIRE, Command.STOP):
        serving.slot[Word.COMMAND] = command
        serving.tick()
    assert [retires for _, _, retires in serving.stops] == [True, False]


def test_a_worker_drains_when_its_supervisor_is_gone() -> None:
    serving = Serving(supervisor=1 if os.getppid() != 1 else 2, shutdown_timeout=7).tick().tick()
    assert serving.stops == [(State.LEAVING, 7, False)]
    assert serving.is_orphaned
    assert limits == [7 + KILL_SECONDS]


def test_the_end_of_a_worker_is_limited_once() -> None:
    serving = Serving(shutdown_timeout=1e300)
    assert limits == []
    serving.worker.limit_end()
    serving.worker.limit_end()
    assert limits == [threading.TIMEOUT_MAX]


def test_a_worker_drains_although_the_system_has_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("unable to start watchdog thread")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", fail)
    serving = Serving(supervisor=1 if os.getppid() != 1 else 2).tick()
    assert len(serving.stops) == 1


def test_a_worker_that_retires_leaves_the_paths_to_those_that_serve_on() -> None:
    serving = Serving(supervisor=1 if os.getppid() != 1 else 2)
    serving.slot[Word.COMMAND] = Command.RETIRE
    serving.tick().tick()
    assert not serving.is_orphaned
