"""Workers with an application that dies, hangs, grows, or does what no application should: they are replaced."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true, comes_to_rest, needs_proc
from tests.support.steady_load import SteadyLoad
from tests.support.times import SHORT_CHECKS, SHORT_END
from tests.support.workers import (
    APPLICATION,
    command,
    has_ended,
    needs_fork,
    needs_gil,
    pid_of,
    serve,
    workers_of,
    write_shop,
)

pytestmark = needs_fork


TELLS_WHEN_IT_IS_KNOWN = """
from waitress_core.processes.scoreboard import Slot
publish = Slot.publish

def publish_and_tell(slot, snapshot):
    publish(slot, snapshot)
    if snapshot["running"]:
        logging.warning("%s is known to run", snapshot["running"])

Slot.publish = publish_and_tell
"""


def test_a_worker_that_is_killed_is_replaced_and_the_log_says_what_ran(tmp_path: Path) -> None:
    with serve(tmp_path, APPLICATION + TELLS_WHEN_IT_IS_KNOWN) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("GET /sleep.* is known to run")
            for pid in pids:
                os.kill(pid, signal_number("SIGKILL"))
        # One may be replaced before the other has ended.
        said = [program.process.wait_for_line(r"Worker (\d+) (serves$|has ended: .*)") for _ in range(4)]
        lines = [match[0] for match in said if match[2] != "serves"]
        assert {line.partition(";")[0] for line in lines} == {
            f"Worker {pid} has ended: killed by SIGKILL" for pid in pids
        }
        assert any("it was running <WSGITask GET /sleep> for " in line for line in lines)
        assert {int(match[1]) for match in said if match[2] == "serves"}.isdisjoint(pids)
        with program.client() as client:
            assert client.get("/").status == 200


@needs_gil
def test_a_worker_that_hangs_writes_its_stacks_and_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, worker_timeout=0.5) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line(r"Worker \d+ has not responded for 1 seconds \(worker_timeout\): it is")
            program.process.wait_for_line(r"The threads of worker \d+, when it ended:")
            program.process.wait_for_line(r"in application")
            program.process.wait_for_line(r"Worker \d+ has ended: killed by SIGABRT")
        assert becomes_true(lambda: sum("serves" in line for line in program.process.log) == 3)


AT_FORK = """
import os, threading

lock = threading.Lock()
lock.acquire()
os.register_at_fork(after_in_child=lambda: os.path.exists("deadlock") and lock.acquire())
"""


def test_workers_that_are_deadlocked_at_the_fork_end_a_server_that_starts(tmp_path: Path) -> None:
    (tmp_path / "deadlock").touch()
    with serve(tmp_path, AT_FORK + APPLICATION, worker_timeout=0.5) as program:
        program.process.wait_for_line(r"Worker \d+ has not responded for \d seconds \(worker_timeout\): it is killed")
        assert program.process.wait() == 1
        assert "a worker has ended before it served: killed by SIGKILL" in program.process.log[-1]


def test_a_worker_that_is_deadlocked_at_the_fork_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, AT_FORK + APPLICATION, worker_timeout=0.5) as program:
        pids = workers_of(program.process, 2)
        (tmp_path / "deadlock").touch()
        os.kill(pids[0], signal_number("SIGKILL"))
        program.process.wait_for_line(r"Worker \d+ could not start: .* killed by SIGKILL")
        # The second had hung before the first was killed: no more of them are started meanwhile.
        assert any("The next worker starts in 1 seconds" in line for line in program.process.log[:-1])
        (tmp_path / "deadlock").unlink()
        workers_of(program.process, 1)


def test_workers_of_a_server_that_was_paused_serve_on(tmp_path: Path) -> None:
    with serve(tmp_path, worker_timeout=1) as program:
        pids = [program.id, *workers_of(program.process, 2)]
        for pid in pids:
            os.kill(pid, signal_number("SIGSTOP"))
        time.sleep(1.5)
        for pid in pids:
            os.kill(pid, signal_number("SIGCONT"))
        program.process.signal(signal_number("SIGUSR1"))
        for _ in pids:
            program.process.wait_for_line("Statistics")
        program.process.signal()
        assert program.process.wait() == 0
        assert not any("worker_timeout" in line for line in program.process.log)


PAUSED_AMID_A_TURN = """
import signal

note_stale = Supervisor._note_stale

def pause_once(supervisor):
    note_stale(supervisor)
    for name, number in (("paused", signal.SIGCONT), ("pause", signal.SIGSTOP)):
        if os.path.exists(name):
            for pid in supervisor._workers.pids:
                os.kill(pid, number)
            if name == "pause":
                time.sleep(1.5)
                os.rename("pause", "paused")  # they go on in the next turn
            else:
                os.unlink("paused")
                logging.warning("it goes on")

Supervisor._note_stale = pause_once
"""


def test_workers_of_a_supervisor_that_was_paused_amid_a_turn_serve_on(tmp_path: Path) -> None:
    with serve(tmp_path, APPLICATION + PAUSED_AMID_A_TURN, worker_timeout=1) as program:
        workers_of(program.process, 2)
        (tmp_path / "pause").touch()
        program.process.wait_for_line("it goes on")
        program.process.signal()
        assert program.process.wait() == 0
        assert not any("worker_timeout" in line for line in program.process.log)


def test_workers_are_replaced_after_their_requests_and_no_request_fails(tmp_path: Path) -> None:
    with serve(tmp_path, max_requests=50, max_requests_jitter=10) as program:
        workers_of(program.process, 2)
        with SteadyLoad(program.address, keeping=2, new=2) as load:
            for _ in range(4):
                program.process.wait_for_line(r"Worker \d+ has ended$")
        assert load.failures == []


def test_workers_are_replaced_when_they_are_old_and_no_request_fails(tmp_path: Path) -> None:
    with serve(tmp_path, max_worker_age=0.5) as program:
        workers_of(program.process, 2)
        with SteadyLoad(program.address, keeping=2, new=2) as load:
            for _ in range(4):
                program.process.wait_for_line(r"This worker is replaced: it is old \(max_worker_age\)")
                program.process.wait_for_line(r"Worker \d+ has ended$")
        assert load.failures == []


GREEDY = """
import os

kept = []

def application(environ, start_response):
    if environ["PATH_INFO"] == "/leak":
        kept.append(b"x" * (100 << 20))
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@needs_proc
def test_a_worker_with_an_application_that_leaks_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    with serve(tmp_path, GREEDY, max_worker_memory=110) as program:
        workers_of(program.process, 2)
        with SteadyLoad(program.address, keeping=2, new=2) as load:
            with program.client() as client:
                pid = pid_of(client.get("/leak"))
            program.process.wait_for_line(r"This worker is replaced: it uses 1\d\d MiB \(max_worker_memory\)")
            workers_of(program.process, 1)
            program.process.wait_for_line(rf"Worker {pid} has ended$")
        assert load.failures == []
        assert sum("max_worker_memory" in line for line in program.process.log) == 1


LIMITED = f"""
import resource
from pathlib import Path

def limit():
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (50 << 20), resource.RLIM_INFINITY))

{GREEDY.replace('kept.append(b"x" * (100 << 20))', "limit(); kept.append(bytes(8 << 30))")}
"""


@needs_proc
def test_a_request_for_which_there_is_no_memory_fails_alone(tmp_path: Path) -> None:
    with serve(tmp_path, LIMITED) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            pid = pid_of(client.get("/"))
            assert client.get("/leak").status == 500
        program.process.wait_for_line("MemoryError")
        with contextlib.ExitStack() as stack:
            answers = [stack.enter_context(program.client()).get("/") for _ in range(10)]
        assert pid in {pid_of(response) for response in answers}
        assert not any("has ended" in line for line in program.process.log)


LIMIT = 60 << 20  # bytes; without the leak a worker has half of them


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group with LIMIT bytes for its processes, of either version of cgroups."""
    for name in ("memory/memory.limit_in_bytes", "memory.max"):
        group = (Path("/sys/fs/cgroup") / name).parent / f"waitress-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / Path(name).name).write_text(str(LIMIT))
        except OSError:
            is_removed(group)
            continue
        yield group
        assert becomes_true(partial(is_removed, group))
        return
    pytest.skip("needs the right to make a control group with a limit of memory")


def is_removed(group: Path) -> bool:
    with contextlib.suppress(OSError):  # a process is in it
        group.rmdir()
    return not group.exists()


@needs_proc
def test_a_worker_that_the_system_kills_for_its_memory_is_replaced(tmp_path: Path, memory_group: Path) -> None:
    with serve(tmp_path, GREEDY) as program:
        for pid in workers_of(program.process, 2):
            (memory_group / "cgroup.procs").write_text(str(pid))
        with program.client() as client:
            client.send(b"GET /leak HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line(r"Worker \d+ has ended: killed by SIGKILL")
        workers_of(program.process, 1)
        with program.client() as client:
            assert client.get("/").status == 200


FORKING = """
import os, time
from pathlib import Path

def application(environ, start_response):
    start_response("200 OK", [])
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    return [f"{os.getpid()} {pid}".encode()]
"""


def test_a_process_that_an_application_forks_holds_up_nobody(tmp_path: Path) -> None:
    with serve(tmp_path, FORKING) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            pid, child = map(int, client.get("/", "Connection: close").body.split())
            assert pid in pids
            assert client.is_closed_within(20)
        program.process.signal()
        assert program.process.process.wait(30) == 0  # not the end of its output, which the child holds open
        assert all(map(has_ended, pids))
        with pytest.raises(ConnectionRefusedError):
            program.client()
        os.kill(child, signal_number("SIGKILL"))


FAILING = """
from waitress_core.lifecycle.run import ServerRun

def check(run):
    if os.path.exists("fail"):
        os.unlink("fail")
        raise RuntimeError("it cannot go on")

ServerRun._check = check
"""


def test_a_worker_that_cannot_go_on_is_replaced_and_the_log_has_its_exception(tmp_path: Path) -> None:
    with serve(tmp_path, SHORT_CHECKS + APPLICATION + FAILING) as program:
        workers_of(program.process, 2)
        (tmp_path / "fail").touch()
        program.process.wait_for_line(r"Worker \d+ has ended: exit status 3$")
        program.process.wait_for_line("Traceback")
        program.process.wait_for_line("^RuntimeError: it cannot go on$")
        workers_of(program.process, 1)


DEADLOCKED = """
import threading

lock = threading.Lock()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/deadlock":
        lock.acquire()
        logging.warning("it has the lock")
        lock.acquire()
    start_response("200 OK", [])
    return [b"well"]
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_an_application_that_deadlocks_holds_up_no_other_request_and_no_end(tmp_path: Path, name: str) -> None:
    with serve(tmp_path, SHORT_END + DEADLOCKED, threads=2, shutdown_timeout=0.5) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /deadlock HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("it has the lock")
            with contextlib.ExitStack() as stack:
                for _ in range(10):
                    assert stack.enter_context(program.client()).get("/").body == b"well"
            program.process.signal(signal_number(name))
            program.process.wait()
            assert becomes_true(lambda: all(map(has_ended, pids)))


def test_a_worker_with_threads_that_are_lost_to_requests_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, SHORT_END + APPLICATION, threads=1, request_timeout=0.2, shutdown_timeout=0.1) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.response().status == 503
        program.process.wait_for_line(r"This worker is replaced: its threads are lost to requests that do not end")
        workers_of(program.process, 1)
        with program.client() as client:
            assert client.get().status == 200


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "raise ValueError('in the shop')",
            "Error: Cannot import WSGI application 'shop:application': in the shop",
        ),
        ("import os; os._exit(5); raise", "Error: a worker has ended before it served: exit status 5"),
        ("import sys; sys.exit('no'); raise", "Error: the application ended the process: SystemExit('no')"),
    ],
    ids=["raises", "exits", "system-exit"],
)
def test_an_application_that_cannot_be_imported_ends_the_server(tmp_path: Path, source: str, message: str) -> None:
    write_shop(tmp_path, source)
    with command(tmp_path, "--workers=2") as (process, _):
        assert process.wait() == 1
    assert message in process.log
    assert not any(re.search(r"Worker \d+ has ended", line) for line in process.log)


ONE_LOADS_AND_ONE_RAISES = """
import os, time

try:
    os.mkdir("loading")
except FileExistsError:
    raise ValueError("in the shop")
time.sleep(60)
"""


def test_an_import_error_of_one_worker_is_reported_alone(tmp_path: Path) -> None:
    write_shop(tmp_path, ONE_LOADS_AND_ONE_RAISES)
    with command(tmp_path, "--workers=2") as (process, _):
        assert process.wait() == 1
    assert "Error: Cannot import WSGI application 'shop:application': in the shop" in process.log
    assert not any(re.search(r"Worker \d+ has ended", line) for line in process.log)


def test_workers_that_die_young_are_replaced_after_growing_pauses(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        workers_of(program.process, 2)
        for _ in range(2):
            with program.client() as client, contextlib.suppress(ConnectionError, AssertionError):
                client.get("/exit")
            program.process.wait_for_line(r"Worker \d+ has ended: exit status 7")
        program.process.wait_for_line(r"The next worker starts in 1 seconds")
        workers_of(program.process, 1)


@needs_proc
def test_a_supervisor_is_at_rest_after_a_pause_of_starts(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        for pid in workers_of(program.process, 2):
            os.kill(pid, signal_number("SIGKILL"))
        program.process.wait_for_line(r"The next worker starts in 1 seconds")
        # Not by further lines: one of the new workers may have served before the pause.
        assert becomes_true(lambda: sum("Worker" in line and "serves" in line for line in program.process.log) == 4)
        assert comes_to_rest(program.id, seconds=20)


NASTY = {
    "blocks-signals": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "handles-signals": "import signal\nsignal.signal(signal.SIGTERM, lambda number, frame: None)",
    "starts-threads": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "forks": "import os\npid = os.fork()\npid or os._exit(0)\nos.waitpid(pid, 0)",
    "exit-functions": "import atexit\natexit.register(lambda: sys.stderr.write('an exit function has run\\n'))",
}


@pytest.mark.parametrize("name", NASTY)
def test_an_application_that_does_this_at_import_is_served_and_drained(tmp_path: Path, name: str) -> None:
    write_shop(tmp_path, "nasty")
    source = (tmp_path / "shop.py").read_text()
    (tmp_path / "shop.py").write_text(f"import sys\n{NASTY[name]}\n{source}")
    with command(tmp_path, "--workers=2") as (process, address):
        pids = workers_of(process, 2)
        with Client(address) as client:
            assert client.get("/").body == b"nasty"
        process.signal()
        assert process.wait(15) == 0
    assert all(map(has_ended, pids))
    run = "\n".join(process.log).count("an exit function has run")  # two processes may write one line
    assert run == (2 if name == "exit-functions" else 0)
