"""The process of the status server, as its supervisor starts and watches it: with real processes."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.processes import becomes_true

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def module() -> Any:
    """The module, which Windows cannot import."""
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    return importlib.import_module("waitress_core.processes.status_process")


class EndingServer:
    """A status server that ends its process."""

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end

    def serve_status(self, parent: int) -> None:
        self._end()


@forks
@pytest.mark.parametrize(
    ("end", "how"),
    [(lambda: os._exit(5), "exit status 5"), (lambda: os.kill(os.getpid(), 9), "killed by SIGKILL")],
    ids=["exit", "kill"],
)
def test_a_status_process_that_ends_is_replaced_and_the_log_says_how_it_ended(
    end: Callable[[], object],
    how: str,
    module: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    process = module.StatusProcess(EndingServer(end))
    process.check(())
    first = process.pid

    def is_replaced() -> bool:
        process.check(())
        return bool(process.pid != first)

    assert becomes_true(is_replaced)
    process.end()
    assert f"The process of the status server has ended: {how}; another one follows" in caplog.text
