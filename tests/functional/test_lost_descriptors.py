"""An application that closes descriptors of the server: the process ends and reports why, and a worker is replaced."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import comes_to_rest, needs_proc, serving_program
from tests.support.times import SHORT_CHECKS, SHORT_END
from tests.support.workers import command, needs_fork, serve, workers_of, write_shop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows a socket has no descriptor of this kind")

CLOSING = f"""
{SHORT_CHECKS}
import gc, os, socket, stat

def close_those(is_wanted):
    for number in range(3, 200):
        try:
            if is_wanted(number, os.fstat(number).st_mode):
                os.close(number)
        except OSError:
            pass

def listens(number, mode):
    if not stat.S_ISSOCK(mode):
        return False
    blocks = os.get_blocking(number)
    known = socket.socket(fileno=number)
    try:
        return known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    finally:
        os.set_blocking(known.detach(), blocks)  # PyPy has made it block, for the processes that share it as well

def close_report():
    from waitress_core.processes.worker import Worker
    [worker] = [one for one in gc.get_objects() if isinstance(one, Worker)]
    os.close(worker._pipe)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in ("/all", "/taken"):
        os.closerange(3, 200)
    if path == "/taken":
        for _ in range(50):
            os.open(os.devnull, os.O_RDONLY)
    if path == "/pipes":
        close_those(lambda number, mode: stat.S_ISFIFO(mode))
    if path == "/listeners":
        close_those(listens)
    if path == "/report":
        close_report()
    start_response("200 OK", [])
    return [b"well"]
"""
REPORT = "Other code has closed file descriptors of the server, which ends now"


@pytest.mark.parametrize("what", ["all", "taken", "pipes", "listeners"])
def test_a_server_without_its_descriptors_ends_and_reports_why(what: str, tmp_path: Path) -> None:
    with serving_program(SHORT_END + CLOSING, tmp_path, has_short_ticks=True) as program:
        with program.client() as client:
            client.send(f"GET /{what} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            program.process.wait_for_line(rf"{REPORT}: \[\d")
        assert program.process.wait() == 1
        assert program.process.log[-1].startswith("OSError: other code has closed file descriptors of the server: [")


@needs_fork
@pytest.mark.parametrize("what", ["all", "taken", "pipes", "listeners"])
def test_a_worker_without_its_descriptors_is_replaced(what: str, tmp_path: Path) -> None:
    with serve(tmp_path, SHORT_END + CLOSING) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            client.send(f"GET /{what} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            program.process.wait_for_line(rf"{REPORT}: \[\d")
            program.process.wait_for_line(r"Worker \d+ has ended: exit status 3")
        workers_of(program.process, 1)
        with program.client() as client:
            assert client.get("/").body == b"well"


@needs_fork
def test_workers_without_their_descriptors_end_a_server_that_starts(tmp_path: Path) -> None:
    write_shop(tmp_path, "never", at_import="import os\nos.closerange(3, 200)\n")
    with command(tmp_path, "--workers=2") as (process, _):
        process.wait_for_line(rf"{REPORT}: \[\d")
        assert process.wait() == 1


@needs_fork
@needs_proc
def test_a_supervisor_sleeps_although_a_worker_cannot_report(tmp_path: Path) -> None:
    with serve(tmp_path, CLOSING) as program:
        workers_of(program.process, 2)
        with program.client() as client:
            assert client.get("/report").body == b"well"
        assert comes_to_rest(program.id, most_switches=200)
