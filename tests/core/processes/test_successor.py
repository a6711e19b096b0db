"""The environment of a server that takes over from this one."""

import importlib
import os
import sys
from typing import Any

import pytest

from waitress_core.net.listener import HANDOVER_VARIABLE


@pytest.fixture
def successor() -> Any:
    """The module, which Windows cannot import."""
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    return importlib.import_module("waitress_core.processes.successor")


def test_what_systemd_says_to_a_server_it_says_to_its_successor(successor: Any) -> None:
    before, now = str(os.getppid()), str(os.getpid())
    said = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000"}
    environ = successor._environ({**said, "LISTEN_PID": before, "WATCHDOG_PID": before}, "its")
    assert environ == {**said, "LISTEN_PID": now, "WATCHDOG_PID": now, HANDOVER_VARIABLE: "its"}


def test_what_systemd_says_to_another_process_stays(successor: Any) -> None:
    assert successor._environ({"WATCHDOG_PID": "1234567"}, "its") == {
        "WATCHDOG_PID": "1234567",
        HANDOVER_VARIABLE: "its",
    }
