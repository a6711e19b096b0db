"""Signals, as supervisors, shells, terminals and people send them to real processes."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import get
from tests.support.client import Client
from tests.support.platforms import open_gate, signal_number
from tests.support.processes import Program, becomes_true, serving_program
from tests.support.servers import spawned, spawned_script
from tests.support.times import SHORT_AGAIN, SHORT_AGAIN_SECONDS, SHORT_END

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")

# `/wait` waits for the other end of the FIFO `gate`; `/large` is more than sockets hold.
APPLICATION = """
import os
os.path.exists("gate") or os.mkfifo("gate")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        logging.warning("waits")
        with open("gate") as gate:
            gate.read()
    start_response("200 OK", [])
    return [b"x" * 20_000_000 if path == "/large" else path.encode()]
"""


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Program]]:
    """Serve the application in its own process, without a terminal."""

    def serve(set_up: str = "", **settings: Any) -> contextlib.AbstractContextManager[Program]:
        return serving_program(set_up + APPLICATION, tmp_path, **settings)

    return serve


Serve = Callable[..., contextlib.AbstractContextManager[Program]]


def start_request(client: Client, program: Program) -> None:
    client.send(get(target="/wait"))
    program.process.wait_for_line("waits")


# --- several at once


@pytest.mark.parametrize(
    "numbers",
    [
        ["SIGTERM"] * 2,
        ["SIGTERM"] * 20,
        ["SIGINT"] * 2,
        ["SIGINT", "SIGTERM"],
        ["SIGTERM", "SIGINT"],
        ["SIGINT", "SIGTERM", "SIGINT", "SIGTERM"],
    ],
    ids=" ".join,
)
def test_signals_at_once_lose_no_running_request(numbers: list[str], serve: Serve, tmp_path: Path) -> None:
    with serve() as served, served.client() as client:
        start_request(client, served)
        for number in numbers:
            served.process.signal(getattr(signal, number))
        served.process.wait_for_line("Stopping: ")
        open_gate(tmp_path)
        assert client.response().body == b"/wait"
        client.close()
        assert served.process.wait() == 0


def test_sigterm_drains_however_often_it_comes(serve: Serve, tmp_path: Path) -> None:
    with serve(SHORT_AGAIN) as served, served.client() as client:
        start_request(client, served)
        for _ in range(3):
            served.process.signal(signal.SIGTERM)
            time.sleep(1.2 * SHORT_AGAIN_SECONDS)
        open_gate(tmp_path)
        assert client.response().body == b"/wait"
        client.close()
        assert served.process.wait() == 0


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs the command timeout")
def test_a_server_under_timeout_loses_no_running_request(tmp_path: Path) -> None:
    # It signals its child, and then the whole group, which the child is in.
    script = tmp_path / "served.py"
    script.write_text(f"import logging\n{APPLICATION}")
    command = ["timeout", "1000", sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "served:application"]
    with spawned(command, tmp_path) as process:
        address = process.wait_for_address()
        with Client(address) as client:
            client.send(get(target="/wait"))
            process.wait_for_line("waits")
            process.signal(signal.Signals["SIGALRM"])  # its time is up
            process.wait_for_line("Stopping: ")
            open_gate(tmp_path)
            assert client.response().body == b"/wait"
        assert process.wait() == 124


# --- what ends at once


@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("last", ["SIGINT", "SIGQUIT"])
def test_a_further_signal_ends_at_once_and_blames_no_client(first: str, last: str, serve: Serve) -> None:
    set_up = SHORT_AGAIN + SHORT_END
    with serve(set_up, shutdown_timeout=1000) as served, served.client() as client, served.client() as reader:
        start_request(client, served)
        reader.send(get(target="/large"))
        assert reader.socket.recv(10)
        served.process.signal(getattr(signal, first))
        served.process.wait_for_line(
            r"Stopping: answering the requests in progress \(2\); .*SIG.* ends the server at once"
        )
        time.sleep(SHORT_AGAIN_SECONDS)
        served.process.signal(getattr(signal, last))
        started_at = time.monotonic()
        assert served.process.wait() == 0
        assert time.monotonic() - started_at < 10
        assert client.rest() == b""
        assert [line for line in served.process.log if "2 connection(s) cut off, because a signal ends" in line]
        assert not [line for line in served.process.log if "disconnected" in line]


def test_sigquit_alone_ends_at_once(serve: Serve) -> None:
    with serve(SHORT_END) as served, served.client() as client:
        start_request(client, served)
        served.process.signal(signal_number("SIGQUIT"))
        assert served.process.wait() == 0
        assert client.rest() == b""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_an_idle_server_ends_within_half_a_second(name: str, serve: Serve) -> None:
    """The best of a few: on a machine that others use too, it may be given no processor for so long."""
    times: list[float] = []
    while not times or (min(times) >= 0.5 and len(times) < 20):
        with serve() as served, served.client() as client:
            assert client.get().body == b"/"
            before = time.monotonic()
            served.process.signal(getattr(signal, name))
            served.process.process.wait(20)
            times.append(time.monotonic() - before)
            assert client.rest() == b""
    assert min(times) < 0.5


# --- requests that the server itself cuts off


@pytest.mark.parametrize("cut", ["timeout", "slow-reader"])
def test_a_request_that_the_server_cuts_off_is_not_logged_as_the_clients_doing(
    cut: str, serve: Serve, tmp_path: Path
) -> None:
    source = """
def application(environ, start_response):
    start_response("200 OK", [])
    return (b"x" * 100_000 for _ in range(1000))
"""
    settings: dict[str, Any] = {"channel_timeout": 1} if cut == "slow-reader" else {"shutdown_timeout": 0.2}
    settings["outbuf_high_watermark"] = 1_000_000
    with serving_program(source, tmp_path, has_short_ticks=True, **settings) as served:
        with served.client() as client:
            client.send(get())
            assert client.socket.recv(10)
            if cut == "timeout":
                served.process.signal(signal.SIGTERM)
            served.process.wait_for_line("Connection cut off by the server while serving /")
        if cut == "slow-reader":  # the other one is ending, and a second signal may come after its last handler
            served.process.signal(signal.SIGTERM)
        assert served.process.wait() == 0
        assert not [line for line in served.process.log if "disconnected" in line]


# --- what does not end the server


def with_log_file(path: Path) -> str:
    return f"logging.getLogger('waitress').addHandler(logging.FileHandler({os.fspath(path)!r}))\n"


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_log_files_are_reopened(name: str, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "the.log"
    with serve(with_log_file(path)) as served, served.client() as client:
        start_request(client, served)
        moved = path.rename(tmp_path / "the.log.1")
        served.process.signal(getattr(signal, name))
        served.process.wait_for_line(f"{name}: 1 log file\\(s\\) reopened")
        served.process.signal(signal_number("SIGUSR2"))
        served.process.wait_for_line("SIGUSR2 is ignored")
        open_gate(tmp_path)
        assert client.response().body == b"/wait"
        assert "SIGUSR2 is ignored" in path.read_text()
        assert "SIGUSR2 is ignored" not in moved.read_text()
        served.process.signal()
        assert served.process.wait() == 0


def test_sigusr1_logs_statistics_and_each_running_request(serve: Serve, tmp_path: Path) -> None:
    with serve(threads=3) as served, served.client() as client, served.client() as other:
        start_request(client, served)
        start_request(other, served)
        for _ in range(2):
            served.process.signal(signal_number("SIGUSR1"))
            statistics = served.process.wait_for_line("Statistics: (.*)")[1]
            assert '"threads_busy": 2, ' in statistics
            for _ in range(2):
                served.process.wait_for_line(
                    r"<WSGITask GET /wait> has been running for \d+\.\d seconds, in thread waitress-\d"
                )
        for waiting in (client, other):
            while not waiting.can_read_within(0.05):  # an opening lets one call go on, or both
                with contextlib.suppress(OSError):  # neither is at the gate
                    os.close(os.open(tmp_path / "gate", os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)))
            assert waiting.response().body == b"/wait"


def test_each_of_many_signals_is_acted_on(serve: Serve) -> None:
    with serve() as served, served.client() as client:
        assert client.get().body == b"/"
        for _ in range(20):
            served.process.signal(signal_number("SIGUSR2"))
            served.process.wait_for_line("SIGUSR2 is ignored")
        assert client.get().body == b"/"


def test_signals_that_a_program_handles_are_its_own(tmp_path: Path) -> None:
    source = """
import faulthandler, signal
faulthandler.register(signal.SIGUSR1)
signal.signal(signal.SIGUSR2, lambda *_: logging.warning("its own"))
signal.signal(signal.SIGHUP, signal.SIG_IGN)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""
    with serving_program(source, tmp_path) as served:
        served.process.signal(signal_number("SIGHUP"))
        served.process.signal(signal_number("SIGUSR2"))
        served.process.wait_for_line("its own")
        if Path("/proc/self/status").exists():
            served.process.signal(signal_number("SIGUSR1"))
            # CPython 3.15.0 sometimes writes the second in place of the stacks.
            served.process.wait_for_line("most recent call first|<freed thread state>")
        with served.client() as client:
            assert client.get().body == b"ok"
        assert not [line for line in served.process.log if "reopened" in line]


# --- terminals


class Terminal:
    """A program with the test as its terminal."""

    def __init__(self, source: str, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(source, encoding="utf-8")
        self.id, self.descriptor = 0, -1
        if sys.platform != "win32":
            import pty

            self.id, self.descriptor = pty.fork()
            if not self.id:
                os.chdir(tmp_path)
                os.execv(sys.executable, [sys.executable, str(script)])
        self.text = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the program has written this."""
        until = time.monotonic() + 30
        while not (match := re.search(pattern, self.text)):
            assert time.monotonic() < until, self.text
            if select.select([self.descriptor], [], [], 1)[0]:
                self.text += os.read(self.descriptor, 4096).decode()
        self.text = self.text[match.end() :]
        return match

    def type(self, text: bytes) -> None:
        """Type this."""
        os.write(self.descriptor, text)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def end(self) -> None:
        """Kill the program if it still runs."""
        self.hang_up()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.id, signal_number("SIGKILL"))
            os.waitpid(self.id, 0)

    def status(self) -> int:
        """Wait for the end, and return the exit status."""
        return os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1])


SCRIPT = """
import os, socket, sys
{set_up}
import logging
from waitress import serve
os.path.exists("gate") or os.mkfifo("gate")

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        os.write(1, b"waits ")
        with open("gate") as gate:
            gate.read()
        open("done", "w").close()
    start_response("200 OK", [])
    return [b"ok"]

listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], "", flush=True)
serve(application, sockets=[listener]{settings})
"""


@pytest.fixture
def on_terminal(tmp_path: Path) -> Iterator[Callable[..., tuple[Terminal, tuple[str, int]]]]:
    """Serve a script by `serve` on a terminal; return that, and the address."""
    opened: list[Terminal] = []

    def open_terminal(set_up: str = "", settings: str = "") -> tuple[Terminal, tuple[str, int]]:
        terminal = Terminal(SCRIPT.format(set_up=set_up, settings=settings), tmp_path)
        opened.append(terminal)
        address = "127.0.0.1", int(terminal.wait_for(r"port (\d+) ")[1])
        with Client(address) as client:  # it serves, and handles signals
            assert client.get().body == b"ok"
        return terminal, address

    yield open_terminal
    for terminal in opened:
        terminal.end()


OnTerminal = Callable[..., tuple[Terminal, tuple[str, int]]]


def test_serve_says_on_a_terminal_what_it_waits_for_and_what_ends_it_now(
    on_terminal: OnTerminal, tmp_path: Path
) -> None:
    terminal, address = on_terminal()
    with Client(address) as client, Client(address) as other:
        assert other.get().body == b"ok"
        client.send(get(target="/wait"))
        terminal.wait_for("waits ")
        terminal.type(b"\x03")
        terminal.wait_for("Stopping: waiting for 1 request; Ctrl-C again ends the server at once\r\n")
        open_gate(tmp_path)
        assert client.response().body == b"ok"
    assert terminal.status() == 0


def test_ctrl_c_again_ends_at_once(on_terminal: OnTerminal) -> None:
    terminal, address = on_terminal(SHORT_AGAIN + SHORT_END)
    with Client(address) as client:
        client.send(get(target="/wait"))
        terminal.wait_for("waits ")
        terminal.type(b"\x03")
        terminal.wait_for("Ctrl-C again ends the server at once\r\n")
        time.sleep(SHORT_AGAIN_SECONDS)
        terminal.type(b"\x03")
        assert client.rest() == b""
    assert terminal.status() == 0


@pytest.mark.parametrize(
    ("set_up", "said"),
    [
        ("", 1),
        ("import logging; logging.basicConfig(level=logging.INFO)", 1),
        ("import logging; logging.basicConfig(level=logging.INFO, filename='the.log')", 1),
        ("import logging; logging.getLogger('waitress').setLevel(logging.INFO)", 1),
        ("sys.stderr = None", 0),
        ("sys.stderr.close()", 0),
    ],
    ids=["no-log", "log", "log-file", "level", "no-stderr", "closed"],
)
def test_it_is_said_once(set_up: str, said: int, on_terminal: OnTerminal) -> None:
    terminal, _ = on_terminal(set_up)
    terminal.type(b"\x03")
    assert terminal.status() == 0
    with contextlib.suppress(OSError):  # the end of a terminal
        while text := os.read(terminal.descriptor, 4096):
            terminal.text += text.decode()
    assert terminal.text.count("Stopping: ") == said


def test_a_server_drains_and_ends_when_its_terminal_is_closed(on_terminal: OnTerminal, tmp_path: Path) -> None:
    terminal, address = on_terminal()
    with Client(address) as client, Client(address) as idle:
        assert idle.get().body == b"ok"
        client.send(get(target="/wait"))
        terminal.wait_for("waits ")
        terminal.hang_up()
        assert idle.rest() == b""  # a server that drains ends it
        open_gate(tmp_path)
        assert client.response().body == b"ok"
    assert terminal.status() == 0
    assert (tmp_path / "done").exists()


def test_the_same_under_nohup_goes_on(on_terminal: OnTerminal) -> None:
    terminal, address = on_terminal("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    terminal.hang_up()
    time.sleep(0.2)  # an ignored signal leaves no trace to wait for
    with Client(address) as client:
        assert client.get().body == b"ok"


def test_a_hangup_without_a_terminal_goes_on(tmp_path: Path) -> None:
    source = SCRIPT.format(set_up="", settings=", threads=2")
    with spawned_script(source, tmp_path) as process:
        assert becomes_true(lambda: bool(process.output))
        address = "127.0.0.1", int(process.output[0].split()[1])
        with Client(address) as client:  # the socket listens before the server handles signals
            assert client.get().body == b"ok"
        for _ in range(3):
            process.signal(signal_number("SIGHUP"))
            with Client(address) as client:
                assert client.get().body == b"ok"
        process.signal()
        assert process.wait() == 0
