"""Workers whose application dies, hangs, grows, or does what no application should: they are replaced."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true
from tests.support.steady_load import SteadyLoad
from tests.support.workers import (
    command,
    has_ended,
    needs_fork,
    serve,
    workers_of,
    write_shop,
)

pytestmark = needs_fork


def test_a_worker_that_is_killed_is_replaced_and_the_log_says_what_ran(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("slow")
            time.sleep(0.2)  # until the worker has published a snapshot
            for pid in pids:
                os.kill(pid, signal_number("SIGKILL"))
        lines = [program.process.wait_for_line(r"Worker \d+ has ended: .*")[0] for _ in range(2)]
        assert {line.partition(";")[0] for line in lines} == {
            f"Worker {pid} has ended: killed by SIGKILL" for pid in pids
        }
        assert any("it was running <WSGITask GET /slow> for " in line for line in lines)
        assert set(workers_of(program.process, 2)).isdisjoint(pids)
        with program.client() as client:
            assert client.get("/").status == 200


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="needs the GIL, which the application keeps for ever"
)
def test_a_worker_that_hangs_writes_its_stacks_and_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, worker_timeout=0.5) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line(r"Worker \d+ has not ticked for 1 seconds \(worker_timeout\): it is killed")
            program.process.wait_for_line(r"The threads of worker \d+, when it ended:")
            program.process.wait_for_line(r"in application")
            program.process.wait_for_line(r"Worker \d+ has ended: killed by SIGABRT")
        assert becomes_true(lambda: sum("serves" in line for line in program.process.log) == 3)


def test_workers_are_replaced_after_their_requests_and_no_request_fails(tmp_path: Path) -> None:
    with serve(tmp_path, max_requests=50, max_requests_jitter=10) as program:
        workers_of(program.process, 2)
        with SteadyLoad(program.address, keeping=2, new=2) as load:
            for _ in range(4):
                program.process.wait_for_line(r"Worker \d+ has ended$")
        assert load.failures == []


def test_a_worker_whose_threads_are_lost_to_requests_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path, threads=1, request_timeout=0.2, shutdown_timeout=0.1) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.response().status == 503
        program.process.wait_for_line(r"This worker is replaced: its threads are lost to requests that do not end")
        workers_of(program.process, 1)
        with program.client() as client:
            assert client.get().status == 200


def test_workers_drain_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("slow")
            program.process.process.kill()
            assert client.response().status == 200
        assert becomes_true(lambda: all(map(has_ended, pids)))


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


def test_workers_that_die_young_are_replaced_after_growing_pauses(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        workers_of(program.process, 2)
        for _ in range(2):
            with program.client() as client, contextlib.suppress(ConnectionError, AssertionError):
                client.get("/exit")
            program.process.wait_for_line(r"Worker \d+ has ended: exit status 7")
        program.process.wait_for_line(r"The next worker starts in 1 seconds")
        workers_of(program.process, 1)


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
