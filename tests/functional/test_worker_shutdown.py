"""The end of several workers: by a signal, whatever is done to them at that moment, or without their supervisor."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.platforms import make_fifo, open_gate, signal_number
from tests.support.processes import becomes_true, serving_program
from tests.support.servers import Spawned, spawned, spawned_script
from tests.support.times import SHORT_END
from tests.support.workers import APPLICATION, COMMAND, SHORT, has_ended, needs_fork, serve, workers_of

pytestmark = needs_fork


@pytest.mark.parametrize(("name", "is_answered"), [("SIGTERM", True), ("SIGQUIT", False)], ids=["term", "quit"])
def test_a_signal_ends_all_workers(tmp_path: Path, name: str, is_answered: bool) -> None:
    make_fifo(tmp_path / "gate")
    with serving_program(SHORT + SHORT_END + APPLICATION, tmp_path, workers=2, worker_kind="process") as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("waits")
            program.process.signal(signal_number(name))
            if is_answered:
                for _ in pids:
                    program.process.wait_for_line("Stopping: ")
                open_gate(tmp_path)
                assert client.response().status == 200
        assert program.process.wait(10) == 0
    assert all(map(has_ended, pids))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_the_path_of_a_unix_socket_stays_until_the_server_ends(tmp_path: Path, name: str) -> None:
    path = tmp_path / "it.sock"
    source = f"{SHORT}import logging\nlogging.basicConfig(level=logging.INFO)\n{APPLICATION}"
    source += "from waitress_core import create_server\n"
    source += f"create_server(application, workers=2, worker_kind='process', unix_socket={str(path)!r}).run()"
    with spawned_script(source, tmp_path) as process:
        workers_of(process, 2)
        process.signal(signal_number("SIGTTOU"))
        process.wait_for_line(r"Worker \d+ has ended$")
        with Client(str(path)) as client:
            assert client.get("/").status == 200
        process.signal(signal_number(name))
        process.wait()
        assert becomes_true(lambda: not path.exists())


def test_workers_drain_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    make_fifo(tmp_path / "gate")
    with serve(tmp_path) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("waits")
            program.process.process.kill()
            for _ in pids:
                program.process.wait_for_line("The supervisor, process .*, is gone: this worker drains and ends")
            open_gate(tmp_path)
            assert client.response().status == 200
        assert becomes_true(lambda: all(map(has_ended, pids)))


# Each request waits until the file `gate` is there. So does the import, once the file `slowly` is.
GATED = """
import logging, os, time

while os.path.exists("slowly") and not os.path.exists("gate"):
    time.sleep(0.01)

def application(environ, start_response):
    environ["wsgi.input"].read()
    logging.warning("running in %d", os.getpid())
    while environ["PATH_INFO"] == "/wait" and not os.path.exists("gate"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"answered"]
"""
UPLOAD = b"GET /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000


def by_signal(name: str, line: str) -> Callable[[Spawned, int], object]:
    """Return what sends a signal to the supervisor, and waits until the log says that it has started."""

    def do(process: Spawned, unused: int) -> object:
        process.signal(signal_number(name))
        return process.wait_for_line(line)

    return do


def kill(process: Spawned, unused: int) -> object:
    """Kill a worker that runs nothing."""
    os.kill(unused, signal_number("SIGKILL"))
    return process.wait_for_line(rf"Worker {unused} has ended: killed by SIGKILL")


def recycle(process: Spawned, unused: int) -> object:
    """Have the workers reach max_requests."""
    for _ in range(6):
        with Client("it.sock") as client:
            client.get("/")
    return process.wait_for_line(r"This worker is replaced: .*max_requests")


@pytest.mark.parametrize(
    "do",
    [
        by_signal("SIGHUP", "replacing 3 worker"),
        by_signal("SIGTTIN", "4 worker.* from now on"),
        by_signal("SIGTTOU", "2 worker.* from now on"),
        by_signal("SIGUSR2", r"process \d+ takes over when it serves"),
        kill,
        recycle,
    ],
    ids=["reload", "one-more", "one-fewer", "successor", "kill", "recycle"],
)
def test_a_server_that_is_stopped_amid_a_change_answers_all_and_leaves_nothing(
    do: Callable[[Spawned, int], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(GATED)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["--workers=3", "--worker-kind=process", "--unix-socket=it.sock", "--pid-file=it.pid"]
    words += ["--inbuf-overflow=1000", *(["--max-requests=2"] if do is recycle else [])]
    command = [sys.executable, "-c", COMMAND, *words, "shop:application"]
    with spawned(command, tmp_path, {"TMPDIR": str(temporary)}) as process, contextlib.ExitStack() as stack:
        pids = workers_of(process, 3)
        clients = [stack.enter_context(Client("it.sock")) for _ in range(2)]
        running = set()
        for client in clients:
            client.send(UPLOAD)
            running.add(int(process.wait_for_line(r"running in (\d+)")[1]))
        (tmp_path / "slowly").touch()
        do(process, next(pid for pid in pids if pid not in running))
        process.signal()
        process.wait_for_line("Stopping|SIGTERM")
        (tmp_path / "gate").touch()
        for client in clients:
            assert client.response().body == b"answered"
            client.close()
        assert process.wait() == 0
        started = {int(pid) for line in process.log for pid in re.findall(r"(?:Worker|process) (\d+)", line)}
        assert started >= set(pids)
        assert becomes_true(lambda: all(map(has_ended, started)))
        assert not list(temporary.iterdir())
        assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {
            "shop.py",
            "temporary",
            "slowly",
            "gate",
        }
