"""What systemd is told, by a notifier alone and by a server."""

import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manual_clock import ManualClock
from tests.support.platforms import signal_number
from tests.support.processes import serving_program
from tests.support.servers import run_in_thread
from tests.support.systemd import Systemd
from waitress_core import create_server
from waitress_core.connection.context import State
from waitress_core.lifecycle.notify import Notifier, notifier_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is not on Windows")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    found = Systemd(str(tmp_path / "notify"))
    yield found
    found.socket.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def notifier(systemd: Systemd, clock: ManualClock) -> Iterator[Notifier]:
    made = Notifier(systemd.address, "Serving on\nhttp://it", keep_alive_seconds=5, clock=clock)
    yield made
    made.close()


# --- the protocol


def test_the_states_of_a_server_are_told_once(notifier: Notifier, systemd: Systemd) -> None:
    notifier.on_state(State.SERVING)
    assert systemd.heard() == ["READY=1", "STATUS=Serving on http://it"]
    for state in (State.LEAVING, State.DRAINING, State.CLOSING, State.CLOSED):
        notifier.on_state(state)
    assert systemd.heard() == ["STOPPING=1", "STATUS=Stopping: requests in progress are answered"]
    assert systemd.has_heard_nothing()


def test_a_server_that_ends_at_once_says_so(notifier: Notifier, systemd: Systemd) -> None:
    notifier.on_state(State.CLOSING)
    assert systemd.heard() == ["STOPPING=1", "STATUS=Stopping: at once"]


def test_a_reload_is_told_with_its_time_and_its_end(notifier: Notifier, systemd: Systemd) -> None:
    notifier.ready("Serving with 4 workers")
    systemd.heard()
    before = time.monotonic_ns() // 1000
    with contextlib.suppress(ZeroDivisionError), notifier.reloading():
        name, when, status = systemd.heard()
        raise ZeroDivisionError
    assert (name, status) == ("RELOADING=1", "STATUS=Reloading")
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert systemd.heard() == ["READY=1", "STATUS=Serving with 4 workers"]


def test_a_server_that_stops_is_not_ready_again_after_a_reload(notifier: Notifier, systemd: Systemd) -> None:
    notifier.stopping("at once")
    systemd.heard()
    with notifier.reloading():
        assert systemd.has_heard_nothing()
    assert systemd.has_heard_nothing()


def test_a_server_that_stops_while_it_reloads_is_not_ready_again(notifier: Notifier, systemd: Systemd) -> None:
    with notifier.reloading():
        notifier.stopping("at once")
    assert [systemd.heard()[0], systemd.heard()[0]] == ["RELOADING=1", "STOPPING=1"]
    assert systemd.has_heard_nothing()


def test_a_notifier_that_is_closed_says_nothing(
    notifier: Notifier, systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    with notifier.reloading():
        systemd.heard()
        notifier.close()
        notifier.close()
    assert systemd.has_heard_nothing()
    assert caplog.messages == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
def test_the_socket_may_have_an_abstract_name() -> None:
    systemd = Systemd(f"@waitress-test-{os.getpid()}")
    with systemd.socket, contextlib.closing(Notifier(systemd.address)) as notifier:
        notifier.status("heard")
        assert systemd.heard() == ["STATUS=heard"]


def test_status_and_successor_are_told_at_any_time(notifier: Notifier, systemd: Systemd) -> None:
    notifier.status("2 of 4 workers replaced")
    notifier.main_pid(4711)
    assert [systemd.heard(), systemd.heard()] == [["STATUS=2 of 4 workers replaced"], ["MAINPID=4711"]]


def test_the_watchdog_is_fed_when_it_is_time(notifier: Notifier, systemd: Systemd, clock: ManualClock) -> None:
    notifier.keep_alive()
    assert systemd.heard() == ["WATCHDOG=1"]
    clock.advance(4.9)
    notifier.keep_alive()
    assert systemd.has_heard_nothing()
    clock.advance(0.2)
    notifier.keep_alive()
    assert systemd.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.25),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "30s"}, None),
    ],
    ids=["none", "any-process", "this-process", "another-process", "zero", "no-number"],
)
def test_the_environment_says_whether_there_is_a_watchdog(environ: dict[str, str], seconds: float | None) -> None:
    with contextlib.closing(notifier_for({"NOTIFY_SOCKET": "/nowhere", **environ}, 7)) as notifier:
        assert notifier.keep_alive_seconds == seconds


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@nobody", "vsock:2:1", "", "/" + "x" * 200])
def test_a_socket_that_is_gone_is_one_record(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(Notifier(address, keep_alive_seconds=1)) as notifier, notifier.reloading():
        notifier.keep_alive()
        notifier.on_state(State.LEAVING)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith(f"Cannot notify systemd of RELOADING=1 at NOTIFY_SOCKET={address}: ")


def test_a_systemd_that_is_back_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "notify")
    with contextlib.closing(Notifier(path)) as notifier:
        notifier.status("lost")
        systemd = Systemd(path)
        notifier.status("heard")
        with systemd.socket:
            assert systemd.heard() == ["STATUS=heard"]


def test_a_systemd_that_hangs_holds_nobody_up_for_long(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("waitress_core.lifecycle.notify.SEND_SECONDS", 0.01)
    with contextlib.closing(Notifier(systemd.address)) as notifier:
        for _ in range(10_000):
            notifier.status("x" * 1000)
            if caplog.messages:
                break
    assert re.search(f"timed out|{os.strerror(errno.EAGAIN)}", caplog.messages[0])  # PyPy does not wait at all


# --- a server


APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_a_service_is_ready_when_it_serves_and_reloads_and_stops(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.setenv("WATCHDOG_USEC", "500000")
    with serving_program(APPLICATION, tmp_path) as served, served.client() as client:
        _, status = systemd.wait_for("READY=1")
        assert status == f"STATUS=Serving on http://127.0.0.1:{served.address[1]}"
        assert client.get().body == b"ok"
        systemd.wait_for("WATCHDOG=1")
        served.process.signal(signal_number("SIGHUP"))
        systemd.wait_for("RELOADING=1")
        systemd.wait_for("READY=1")
        systemd.wait_for("WATCHDOG=1")
        served.process.signal()
        systemd.wait_for("STOPPING=1")
        assert served.process.wait() == 0


def test_a_service_without_its_socket_serves_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with serving_program(APPLICATION, tmp_path) as served, served.client() as client:
        served.process.wait_for_line("Cannot notify systemd of READY=1 at NOTIFY_SOCKET=.*gone: ")
        assert client.get().body == b"ok"
        served.process.signal()
        assert served.process.wait() == 0
    assert len([line for line in served.process.log if "systemd" in line]) == 1


@pytest.mark.parametrize("how", ["start", "run-in-a-thread"])
def test_a_server_that_is_a_part_of_a_program_reports_nothing_to_systemd(
    how: str, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    server = create_server(lambda environ, start_response: [], listen="127.0.0.1:0")
    with server if how == "start" else run_in_thread(server):
        pass
    assert systemd.has_heard_nothing()


def test_a_reactor_that_is_stuck_does_not_feed_the_watchdog(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    source = APPLICATION.replace("    start", "    server._run.call_soon_threadsafe(gate.wait)\n    start", 1)
    with serving_program(
        f"import threading\ngate = threading.Event()\n{source}", tmp_path, has_short_ticks=True
    ) as served:
        systemd.wait_for("WATCHDOG=1")
        with served.client() as client:
            client.get()
            systemd.socket.settimeout(0.5)  # five times as long as it is given
            with pytest.raises(TimeoutError):
                systemd.wait_for("the end of the messages")
