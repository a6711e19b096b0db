"""The supervisor's view of a worker: what it reads in the worker's pipe."""

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from waitress_core.processes.scoreboard import Scoreboard
from waitress_core.processes.worker import report
from waitress_core.processes.worker_pipes import WorkerPipes


@pytest.fixture
def handle() -> Iterator[Any]:
    """The handle of a worker that this process is."""
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    module = importlib.import_module("waitress_core.processes.worker_handle")
    made = module.WorkerHandle(os.getpid(), Scoreboard(slots=1).take(), WorkerPipes())
    yield made
    os.close(made.pipes.reports_end)
    made.close()


def test_reports_are_read_in_their_order_and_other_text_is_kept(handle: Any) -> None:
    end = handle.pipes.reports_end
    report(end, "loads")
    os.write(end, b"Fatal Python error: Aborted\n")
    report(end, "failed", ["no \u2603", "Traceback"])
    os.write(end, b"Thread 1:")
    assert handle.reports() == [("loads", None), ("failed", ["no \u2603", "Traceback"])]
    assert handle.stacks == "Fatal Python error: Aborted\nThread 1:"
    assert handle.reports() == []


@pytest.mark.parametrize(
    "torn",
    [b'\x1dfailed ["one", "tw\n', b'\x1dfailed ["one"\x1dchanged "shop.py"\n', b"\x1d\xff\xfe\n", b"\x1d\n"],
    ids=["cut", "two", "no-text", "empty"],
)
def test_a_report_that_is_torn_is_kept_as_text(torn: bytes, handle: Any) -> None:
    end = handle.pipes.reports_end
    os.write(end, torn)
    report(end, "serves")
    assert handle.reports() == [("serves", None)]
    assert handle.stacks == torn.decode("utf-8", "replace").strip()
