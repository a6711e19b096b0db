"""From one supervisor to the next, with a successor that the test plays."""

import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from waitress_core.net import handover
from waitress_core.net.handover import handover_text
from waitress_core.net.listener import HANDOVER_VARIABLE
from waitress_core.processes.plan import Stop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


class FakeSuccessor:
    """Is ready when the test says so; notes what is done with it."""

    def __init__(self, *arguments: object) -> None:
        self.pid = 4711
        self.pipes = [7]
        self.status: int | None = None
        self.ready: bool | None = None
        self.calls: list[object] = []

    def is_ready(self) -> bool | None:
        return self.ready

    def close(self) -> None:
        self.calls.append("close")

    def release(self) -> None:
        self.calls.append("release")

    def end(self, number: int) -> None:
        self.calls.append(signal.Signals(number).name)


Start = Callable[[], tuple[Any, FakeSuccessor]]


@pytest.fixture
def module() -> Any:
    """The module, which Windows cannot import."""
    return importlib.import_module("waitress_core.processes.takeover")


@pytest.fixture
def start(module: Any, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return what makes a takeover with a successor that has started."""

    def make() -> tuple[Any, FakeSuccessor]:
        monkeypatch.setattr(module, "Successor", FakeSuccessor)
        takeover = module.Takeover("/")
        takeover.start_successor("SIGUSR2", [], [], shutdown_timeout=1.0)
        return takeover, takeover._successor

    return make


def test_a_successor_that_serves_is_released_and_named_once(start: Start) -> None:
    takeover, successor = start()
    assert takeover.note_successor(is_ending=False) == 0
    assert (takeover.has_successor, takeover.pipes) == (True, [7])
    assert takeover.leave() == [successor.close]
    successor.ready = True
    assert takeover.note_successor(is_ending=False) == 4711
    assert successor.calls == ["close", "release"]
    assert takeover.note_successor(is_ending=False) == 0
    assert (takeover.has_successor, takeover.pipes, takeover.leave()) == (False, [], [])


@pytest.mark.parametrize("is_ending", [False, True])
def test_a_successor_that_has_ended_is_forgotten(
    start: Start, is_ending: bool, caplog: pytest.LogCaptureFixture
) -> None:
    takeover, successor = start()
    successor.ready, successor.status = False, 0x100
    assert takeover.note_successor(is_ending=is_ending) == 0
    assert successor.calls == ["close"]
    assert not takeover.has_successor
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    failed = "The successor, process 4711, has ended: exit status 1; this server keeps serving"
    assert errors == ([] if is_ending else [failed])


def test_a_successor_that_serves_too_late_ends_with_its_predecessor(start: Start) -> None:
    takeover, successor = start()
    successor.ready = True
    assert takeover.note_successor(is_ending=True) == 0
    now = time.monotonic()
    takeover.end_successor(Stop(now + 60, now + 60))
    takeover.end_successor(Stop(now, now + 60))
    takeover.end_successor(Stop(now, now))
    assert successor.calls == ["SIGTERM", "SIGQUIT", "SIGKILL"]
    assert takeover.has_successor


def test_a_successor_that_cannot_be_started_is_logged(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no process left")

    monkeypatch.setattr(module, "Successor", refuse)
    takeover = module.Takeover("/")
    takeover.start_successor("SIGUSR2", [], [], shutdown_timeout=1.0)
    takeover.end_successor(Stop(0, 0))
    assert not takeover.has_successor
    assert "SIGUSR2: cannot start a successor: no process left" in caplog.text


def test_a_predecessor_is_there_until_this_one_is_ready(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not module.Takeover("/").has_predecessor
    read_end, write_end = os.pipe()
    monkeypatch.setattr(handover, "_received", None)
    monkeypatch.setenv(HANDOVER_VARIABLE, handover_text(write_end, []))
    takeover = module.Takeover("/")
    assert takeover.has_predecessor
    takeover.report_ready()
    takeover.report_ready()
    assert not takeover.has_predecessor
    assert os.read(read_end, 2) == b"\0"
    os.close(read_end)
