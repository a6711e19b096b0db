"""Several worker processes, as people run them: how they share clients, and how signals reach them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true
from tests.support.servers import spawned, spawned_script
from tests.support.steady_load import SteadyLoad
from tests.support.workers import (
    COMMAND,
    command,
    has_ended,
    needs_fork,
    pid_of,
    serve,
    workers_of,
    write_shop,
)

pytestmark = needs_fork


def test_workers_share_the_clients_and_their_figures_are_added(tmp_path: Path) -> None:
    with serve(tmp_path) as program, contextlib.ExitStack() as stack:
        pids = workers_of(program.process, 2)
        # One after the other: of many that come at once a worker that the system lets wait has fewer.
        responses = [stack.enter_context(program.client()).get("/") for _ in range(100)]
        assert {response.body.split()[1] for response in responses} == {b"True"}
        shares = Counter(pid_of(response) for response in responses)
        assert set(shares) == set(pids)
        assert max(shares.values()) <= 2 * min(shares.values())
        program.process.signal(signal_number("SIGUSR1"))
        assert becomes_true(lambda: any("Statistics" in line for line in program.process.log))
        program.process.signal()
        assert program.process.wait() == 0
        assert re.search(r"ServerStats\(connections=0, .*requests=100, ", program.process.log[-1])
    assert all(map(has_ended, pids))


def test_lines_of_the_access_log_are_whole_and_none_is_missing(tmp_path: Path) -> None:
    write_shop(tmp_path, "well")
    with command(tmp_path, "--workers=2", "--access-log=it.log") as (process, address):
        workers_of(process, 2)
        with SteadyLoad(address, keeping=2, new=2, path=f"/{'x' * 3000}") as load:
            assert becomes_true(lambda: load.count > 200)
        process.signal()
        assert process.wait() == 0
    lines = (tmp_path / "it.log").read_text().splitlines()
    assert len(lines) == load.count
    whole = re.compile(rf'127\.0\.0\.1 [^"]+ "GET /{"x" * 3000} HTTP/1\.1" 200 4 "-" "-"')
    assert not [line for line in lines if whole.fullmatch(line) is None]


def test_each_process_has_a_title_if_the_package_for_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "setproctitle.py").write_text("""
import os

def setproctitle(title):
    with open("titles", "a") as file:
        file.write(f"{os.getpid()} {title}\\n")
""")
    write_shop(tmp_path, "well")
    with command(tmp_path, "--workers=2") as (process, _):
        pids = workers_of(process, 2)
        titles = dict(line.split(" ", 1) for line in (tmp_path / "titles").read_text().splitlines())
        assert titles[str(process.process.pid)] == "waitress: supervisor"
        assert sorted(titles[str(pid)] for pid in pids) == ["waitress: worker 1", "waitress: worker 2"]
        process.signal()
        assert process.wait() == 0


def test_workers_come_and_go_by_signals(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        workers_of(program.process, 2)
        program.process.signal(signal_number("SIGTTIN"))
        program.process.wait_for_line(r"SIGTTIN: 3 worker\(s\) from now on")
        third = workers_of(program.process, 1)
        program.process.signal(signal_number("SIGTTOU"))
        program.process.wait_for_line(rf"Worker {third[0]} has ended$")


def test_there_are_no_more_workers_than_can_be_set(tmp_path: Path) -> None:
    write_shop(tmp_path, "well")
    few = "import waitress_core.processes.supervisor as it\nit.MOST_WORKERS = 3\n"
    with command(tmp_path, "--workers=2", before=few) as (process, _):
        workers_of(process, 2)
        for count in (1, 0, 0):
            process.signal(signal_number("SIGTTIN"))
            process.wait_for_line(r"SIGTTIN: 3 worker")
            workers_of(process, count)
        process.signal()
        assert process.wait() == 0


def test_workers_wait_for_a_slot_of_the_scoreboard(tmp_path: Path) -> None:
    write_shop(tmp_path, "well")
    few = "import waitress_core.processes.scoreboard as it\nit.Scoreboard.__init__.__defaults__ = (2,)\n"
    with command(tmp_path, "--workers=2", before=few) as (process, address):
        workers_of(process, 2)
        process.signal(signal_number("SIGTTIN"))
        process.wait_for_line("Cannot start a worker: no more than 2 workers can run at once; the next attempt follows")
        with Client(address) as client:
            assert client.get("/").status == 200
        process.signal()
        assert process.wait() == 0


def can_be_process_1() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_process_1(), reason="needs unshare, and the right to make a namespace of processes")
def test_a_supervisor_as_process_1_waits_for_processes_that_others_have_left(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("""
import os, subprocess
from pathlib import Path

def name_of(path):
    try:
        return path.read_text().strip()
    except OSError:  # the process has ended since
        return ""

def application(environ, start_response):
    if environ["PATH_INFO"] == "/leave":
        subprocess.run(["sh", "-c", "sleep 0.1 &"])
    names = [name_of(path) for path in Path("/proc").glob("[0-9]*/comm")]
    start_response("200 OK", [])
    return [f"{os.getppid()} {names.count('sleep')}".encode()]
""")
    options = ["--listen=127.0.0.1:0", "--worker-kind=process", "--workers=2"]
    words = [sys.executable, "-c", COMMAND, *options, "shop:application"]
    with spawned(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *words], tmp_path) as process:
        address = process.wait_for_address()
        workers_of(process, 2)

        def ask(path: str) -> list[bytes]:
            with Client(address) as client:
                return client.get(path).body.split()

        for _ in range(5):
            assert ask("/leave")[0] == b"1"
        assert becomes_true(lambda: ask("/")[1] == b"0")  # a process that nobody waits for keeps its name
        faults = [line for line in process.log if "Error" in line or "WARNING" in line]
        assert [line for line in faults if "Task queue depth" not in line] == []  # a busy machine may have a queue
        supervisor = int(Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text())
        os.kill(supervisor, signal_number("SIGUSR2"))
        process.wait_for_line("SIGUSR2: ignored, because this is process 1: its container ends with it")
        assert ask("/")[0] == b"1"


def test_worker_processes_are_refused_outside_of_the_main_thread(tmp_path: Path) -> None:
    source = """
import threading
from waitress_core import create_server

def application(environ, start_response): ...

server = create_server(application, listen="127.0.0.1:0", workers=2, worker_kind="process")
for call in (server.start, server.run):
    def attempt():
        try:
            call()
        except RuntimeError as error:
            print(error)
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
"""
    with spawned_script(source, tmp_path) as process:
        assert process.wait() == 0
    assert (
        process.output == ["worker processes are run by run() in the main thread: no other one can handle signals"] * 2
    )
