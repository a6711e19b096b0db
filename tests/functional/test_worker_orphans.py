"""A supervisor that is killed leaves no process, whatever its workers, its status server or its successor are doing."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true, needs_proc
from tests.support.servers import Spawned
from tests.support.workers import command, has_ended, needs_fork, needs_gil, workers_of

pytestmark = [needs_fork, needs_proc]

END_SECONDS = 20.0  # most of it the start of a process on a machine under load

SERVES = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/exit":
        os._exit(7)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
# While the file `hang` is there, the import does what HANGS says, after a line that says so.
SHOP = f"""
import os, sys
if os.path.exists("hang"):
    sys.stderr.write(f"importing in {{os.getpid()}}\\n")
    exec(open("hang").read())
{SERVES}"""
HANGS = {
    "waits": "import time\nwhile True: time.sleep(0.01)",
    "blocks": "import threading; threading.Lock().acquire() and threading.Event().wait()",
    "keeps-the-interpreter": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "handles-signals": """
import signal, time
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, frame: None)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True: time.sleep(0.01)
""",
    "has-forked": """
import time
parent = os.getpid()
if not os.fork():
    while os.getppid() == parent: time.sleep(0.01)
    os._exit(0)
while True: time.sleep(0.01)
""",
}


def processes_in(folder: Path) -> dict[int, str]:
    """Return the processes that run in a folder, with their states."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ends
            if (entry / "cwd").readlink() == folder and not has_ended(int(entry.name)):
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()[0]
    return found


@pytest.fixture(autouse=True)
def _kill_what_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in processes_in(tmp_path):
        os.kill(pid, signal_number("SIGKILL"))


def write(tmp_path: Path, hang: str | None = None) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    if hang is not None:
        (tmp_path / "hang").write_text(hang)


def is_left_alone(process: Spawned, tmp_path: Path) -> None:
    """Kill the supervisor: nothing is left."""
    process.process.kill()
    process.process.wait()
    assert becomes_true(lambda: not processes_in(tmp_path), END_SECONDS), processes_in(tmp_path)


@pytest.mark.parametrize("hang", HANGS)
def test_a_worker_that_never_ends_to_import_ends_with_its_supervisor(hang: str, tmp_path: Path) -> None:
    write(tmp_path, HANGS[hang])
    with command(tmp_path, "--workers=2") as (process, _):
        for _ in range(2):
            process.wait_for_line("importing in")
        is_left_alone(process, tmp_path)


def reload(process: Spawned, address: Any) -> None:
    process.signal(signal_number("SIGHUP"))


def crash(process: Spawned, address: Any) -> None:
    with Client(address) as client, contextlib.suppress(ConnectionError, AssertionError):
        client.get("/exit")


def recycle(process: Spawned, address: Any) -> None:
    for _ in range(5):
        with Client(address) as client:
            client.get("/")


def hand_over(process: Spawned, address: Any) -> None:
    process.signal(signal_number("SIGUSR2"))


# The guard of a successor checks so often whether its predecessor is there.
SHORT_GUARD = "import waitress_core.processes.successor as it\nit.CHECK_SECONDS = 0.1\n"


@pytest.mark.parametrize("do", [reload, crash, recycle, hand_over], ids=lambda do: do.__name__.replace("_", "-"))
def test_a_new_worker_that_never_ends_to_import_ends_too(do: Callable[[Spawned, Any], None], tmp_path: Path) -> None:
    write(tmp_path)
    words = ["--max-requests=2"] if do is recycle else []
    with command(tmp_path, "--workers=2", *words, before=SHORT_GUARD) as (process, address):
        workers_of(process, 2)
        write(tmp_path, HANGS["waits"])
        do(process, address)
        process.wait_for_line("importing in")
        is_left_alone(process, tmp_path)


def test_where_the_system_cannot_end_a_worker_a_thread_does(tmp_path: Path) -> None:
    write(tmp_path, HANGS["waits"])
    by_thread = "import waitress_core.processes.lifeline as it\nit.let_system_kill = lambda pipe, pid: False\n"
    with command(tmp_path, "--workers=2", before=by_thread) as (process, _):
        for _ in range(2):
            process.wait_for_line("importing in")
        is_left_alone(process, tmp_path)


NEVER_ENDS = {
    "thread": "import threading; threading.Thread(target=threading.Event().wait).start()",
    "exit-function": "import atexit, time; atexit.register(time.sleep, 1000)",
    "greedy-exit-function": "import atexit, re; atexit.register(re.match, r'(a+)+$', 'a' * 60 + 'b')",
}


@pytest.mark.parametrize("is_told_to_end", [False, True], ids=["killed", "told-to-end-and-killed"])
@pytest.mark.parametrize("application", NEVER_ENDS)
def test_an_application_that_never_ends_does_not_outlive_the_supervisor(
    application: str, is_told_to_end: bool, tmp_path: Path
) -> None:
    write(tmp_path)
    (tmp_path / "shop.py").write_text(NEVER_ENDS[application] + "\n" + SHOP)
    short = "import waitress_core.processes.worker as it\nit.KILL_SECONDS = 0.5\n"
    with command(tmp_path, "--workers=2", "--shutdown-timeout=0.5", before=short) as (process, _):
        workers_of(process, 2)
        if is_told_to_end:
            process.signal()
            process.wait_for_line("Stopping")
        is_left_alone(process, tmp_path)


HANGING = """
import logging, re

def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        logging.getLogger().warning("it hangs")
        re.match(r"(a+)+$", "a" * 60 + "b")
    start_response("200 OK", [])
    return [b"well"]
"""
SOON_HANGING = "import waitress_core.processes.worker_handle as it\nit.FRESH_SECONDS = 0.3\n"
needs_kernel = pytest.mark.skipif(sys.platform != "linux", reason="needs F_SETSIG")


def asks_to_kill(pid: int) -> int:
    """Return for how many workers a supervisor has asked the system to kill them with it."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
    flags = [int(match[1], 8) for text in texts if (match := re.search(r"^flags:\s*(\d+)", text, re.MULTILINE))]
    return sum(bool(flag & getattr(os, "O_ASYNC", 0)) for flag in flags)


@needs_kernel
@needs_gil
def test_native_code_that_keeps_the_interpreter_ends_with_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(HANGING)
    with command(tmp_path, "--workers=2", before=SOON_HANGING) as (process, address):
        workers_of(process, 2)
        with Client(address) as client:
            client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            process.wait_for_line("it hangs")
            assert becomes_true(lambda: asks_to_kill(process.process.pid) == 1)
            is_left_alone(process, tmp_path)


@needs_kernel
def test_a_worker_that_ticks_again_may_drain_without_its_supervisor(tmp_path: Path) -> None:
    write(tmp_path)
    with command(tmp_path, "--workers=2", before=SOON_HANGING) as (process, _):
        pid, _ = workers_of(process, 2)
        os.kill(pid, signal_number("SIGSTOP"))
        assert becomes_true(lambda: asks_to_kill(process.process.pid) == 1)
        os.kill(pid, signal_number("SIGCONT"))
        assert becomes_true(lambda: asks_to_kill(process.process.pid) == 0)


FULL = """
import os
read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
try:
    while True: os.write(write_end, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(write_end, True)
os.dup2(write_end, 2)
"""


def test_a_worker_with_a_log_that_nobody_reads_ends_with_its_supervisor(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "shop.py").write_text(FULL + SHOP)
    short = "import waitress_core.processes.worker as it\nit.KILL_SECONDS = 0.5\n"
    with command(tmp_path, "--workers=2", "--shutdown-timeout=0.5", before=short) as (process, _):
        workers_of(process, 2)
        is_left_alone(process, tmp_path)


def test_the_process_of_the_status_server_that_starts_ends_with_its_supervisor(tmp_path: Path) -> None:
    (tmp_path / "setproctitle.py").write_text("""
import os, sys, time

def setproctitle(title):
    if title == "waitress: status":
        sys.stderr.write("starting\\n")
        while not os.path.exists("go"): time.sleep(0.01)
""")
    write(tmp_path)
    with command(tmp_path, "--workers=2", "--status-listen=127.0.0.1:0") as (process, _):
        process.wait_for_line("starting")
        process.process.kill()
        process.process.wait()
        (tmp_path / "go").touch()
        is_left_alone(process, tmp_path)


SUCCESSOR = """
import json, os, signal, sys, time
sys.stderr.write("successor %d\\n" % os.getpid())
pipe, _ = json.loads(os.environ["_WAITRESS_HANDOVER"])
"""
STUBBORN = {
    "ignores": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGQUIT, signal.SIG_IGN)",
    "serves-too-late": "signal.signal(signal.SIGTERM, lambda *_: os.write(pipe, b'!'))",
    "closes-the-pipe": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.close(pipe)",
}


def instead(program: str) -> str:
    """Return what has SIGUSR2 start another program than the command."""
    return f"import sys\nsys.orig_argv[1:] = ['-c', {SUCCESSOR + program!r}]\n"


FOREVER = "\nsys.stderr.write('stays\\n')\nwhile True: time.sleep(0.01)"


@contextlib.contextmanager
def with_stubborn_successor(name: str, tmp_path: Path, kill_seconds: float) -> Iterator[Spawned]:
    """Run a supervisor with a successor that neither serves nor ends."""
    write(tmp_path)
    short = f"{SHORT_GUARD}import waitress_core.processes.supervisor as it\nit.KILL_SECONDS = {kill_seconds}\n"
    before = instead(STUBBORN[name] + FOREVER) + short
    with command(tmp_path, "--workers=2", "--shutdown-timeout=0", before=before) as (process, _):
        workers_of(process, 2)
        process.signal(signal_number("SIGUSR2"))
        process.wait_for_line("stays")
        yield process


@pytest.mark.parametrize("name", STUBBORN)
def test_a_server_that_is_stopped_kills_a_successor_that_does_not_end(name: str, tmp_path: Path) -> None:
    with with_stubborn_successor(name, tmp_path, 1.5) as process:
        process.signal()
        assert process.wait(20) == 0
        assert not processes_in(tmp_path)
        assert not any("Traceback" in line or "ERROR" in line for line in process.log)


@pytest.mark.parametrize("name", STUBBORN)
def test_a_successor_that_does_not_end_is_killed_without_its_predecessor(name: str, tmp_path: Path) -> None:
    with with_stubborn_successor(name, tmp_path, 0.5) as process:
        is_left_alone(process, tmp_path)


def test_a_successor_that_is_killed_is_noticed_although_its_fork_is_left(tmp_path: Path) -> None:
    write(tmp_path)
    forks = "if not os.fork():\n    while not os.path.exists('go'): time.sleep(0.01)\n    os._exit(0)"
    with command(tmp_path, "--workers=2", before=instead(forks + FOREVER)) as (process, _):
        workers_of(process, 2)
        process.signal(signal_number("SIGUSR2"))
        pid = int(process.wait_for_line(r"successor (\d+)")[1])
        process.wait_for_line("stays")
        os.kill(pid, signal_number("SIGKILL"))
        process.wait_for_line(rf"The successor, process {pid}, has ended: killed by SIGKILL; this server keeps serving")
        (tmp_path / "go").touch()
        process.signal()
        assert process.wait() == 0


def test_a_successor_of_one_process_ends_with_its_predecessor(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "it.toml").write_text("workers = 2\nshutdown_timeout = 0\n")
    short = f"{SHORT_GUARD}import waitress_core.processes.supervisor as it\nit.KILL_SECONDS = 0.5\n"
    with command(tmp_path, "--config=it.toml", before=short) as (process, _):
        workers_of(process, 2)
        (tmp_path / "it.toml").write_text("workers = 1\n")
        write(tmp_path, HANGS["handles-signals"])
        process.signal(signal_number("SIGUSR2"))
        process.wait_for_line("importing in")
        is_left_alone(process, tmp_path)
