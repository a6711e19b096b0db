"""A process that takes over from this one: its environment, its parent, and how it fails."""

import errno
import importlib
import os
import select
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import becomes_true
from waitress_core.net.listener import HANDOVER_VARIABLE

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def successor() -> Any:
    """The module, which Windows cannot import."""
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    return importlib.import_module("waitress_core.processes.successor")


def test_what_systemd_says_to_a_server_it_says_to_its_successor(successor: Any) -> None:
    before, now = "4711", str(os.getpid())
    said = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000"}
    environ = successor._environ({**said, "LISTEN_PID": before, "WATCHDOG_PID": before}, "its", 4711)
    assert environ == {**said, "LISTEN_PID": now, "WATCHDOG_PID": now, HANDOVER_VARIABLE: "its"}


def test_what_systemd_says_to_another_process_stays(successor: Any) -> None:
    assert successor._environ({"WATCHDOG_PID": "1234567"}, "its", 4711) == {
        "WATCHDOG_PID": "1234567",
        HANDOVER_VARIABLE: "its",
    }


# It is ready, and informs its parent when it has another one.
SERVES = f"""
import json, os, time
pipe, _ = json.loads(os.environ[{HANDOVER_VARIABLE!r}])
guard = os.getppid()
os.write(pipe, b"!")
while os.getppid() == guard:
    time.sleep(0.01)
os.write(pipe, str(os.getppid()).encode())
"""


def started(successor: Any, program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a program in place of the command of this process; return it when it serves, or has ended."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", program])
    made = successor.Successor([], str(folder), (), (), 5.0)
    assert select.select(made.pipes, [], [], 20)[0]
    return made


@forks
def test_a_successor_that_serves_is_no_descendant_of_its_predecessor(
    successor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = started(successor, SERVES, tmp_path, monkeypatch)
    assert made.is_ready()
    made.release()
    assert select.select(made.pipes, [], [], 20)[0]
    parent = int(os.read(made.pipes[0], 32))
    made.close()
    assert parent not in (os.getpid(), made.pid)


@forks
@pytest.mark.parametrize(
    ("program", "status"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)],
    ids=["status", "signal"],
)
def test_a_successor_that_fails_reports_how(
    program: str, status: int, successor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = started(successor, program, tmp_path, monkeypatch)
    assert becomes_true(lambda: made.is_ready() is False)
    assert made.pipes == []
    assert os.waitstatus_to_exitcode(made.status) == status


@pytest.mark.parametrize("fails", ["second pipe", "fork"], ids=lambda fails: fails.replace(" ", "-"))
def test_a_successor_that_cannot_be_started_leaves_no_descriptor(
    fails: str, successor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    make_pipe = os.pipe

    def pipe() -> tuple[int, int]:
        if opened and fails == "second pipe":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        ends = make_pipe()
        opened.extend(ends)
        return ends

    def fork() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "pipe", pipe)
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(OSError):
        successor.Successor([], str(tmp_path), (), (), 5.0)
    assert len(opened) == (2 if fails == "second pipe" else 4)
    assert [end for end in opened if is_open(end)] == []


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
