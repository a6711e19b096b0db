"""Several worker processes, as people run them: real processes, signals and load."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import Program, becomes_true, needs_proc, serving_program
from tests.support.servers import Spawned, spawned, spawned_script
from tests.support.steady_load import SteadyLoad
from tests.support.times import SHORT_TICKS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")

SHORT = SHORT_TICKS + "from waitress_core.processes.supervisor import Supervisor\nSupervisor.tick_seconds = 0.05\n"
# `/hang` keeps the interpreter for ever, in native code.
APPLICATION = """
import os, re, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        re.match(r"(a+)+$", "a" * 60 + "b")
    if path == "/slow":
        logging.warning("slow")
        time.sleep(1)
    if path == "/sleep":
        time.sleep(20)
    if path == "/exit":
        os._exit(7)
    start_response("200 OK", [])
    return [f"{os.getpid()} {environ['wsgi.multiprocess']}".encode()]
"""
COMMAND = SHORT + "import sys\nfrom waitress_cli import main\nsys.exit(main(sys.argv[1:]))\n"


def serve(tmp_path: Path, **settings: Any) -> contextlib.AbstractContextManager[Program]:
    return serving_program(
        SHORT + APPLICATION,
        tmp_path,
        "logging.info('%s', server.stats())",
        workers=2,
        worker_kind="process",
        **settings,
    )


@contextlib.contextmanager
def command(tmp_path: Path, *arguments: str) -> Iterator[tuple[Spawned, Any]]:
    """Serve `shop:application` by the command; yield the process and its address."""
    words = ["--listen=127.0.0.1:0", "--worker-kind=process", *arguments, "shop:application"]
    with spawned([sys.executable, "-c", COMMAND, *words], tmp_path) as process:
        yield process, process.wait_for_address()


def write_shop(tmp_path: Path, version: str) -> None:
    """Write an application that answers with its version, or raises at import."""
    source = f"""
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"{version}"]
"""
    # Another size: within a second the cached bytecode of the old file would be taken for that of the new one.
    (tmp_path / "shop.py").write_text(version if "raise" in version else source, encoding="utf-8")


def pid_of(response: Any) -> int:
    return int(response.body.split()[0])


def workers_of(process: Spawned, count: int) -> list[int]:
    """Wait for so many workers to serve; return their process ids."""
    return [int(process.wait_for_line(r"Worker (\d+) serves")[1]) for _ in range(count)]


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


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


def test_a_reload_under_load_shows_new_code_and_fails_no_request(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    with command(tmp_path, "--workers=2") as (process, address):
        workers_of(process, 2)
        with SteadyLoad(address, keeping=4, new=4) as load:
            assert becomes_true(lambda: load.count > 100)
            write_shop(tmp_path, "newer")
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"Reloaded: 2 worker\(s\) replaced")
            before = load.answers["200 newer"]
            assert becomes_true(lambda: load.answers["200 newer"] > before + 100)
            write_shop(tmp_path, "raise ValueError('in the new code')")
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"Worker \d+ could not start: .*in the new code")
            process.wait_for_line(r"The reload has failed: 2 worker\(s\)")
            before = load.count
            assert becomes_true(lambda: load.count > before + 100)
        assert load.failures == []
        assert set(load.answers) == {"200 old", "200 newer"}
        process.signal()
        assert process.wait() == 0


def test_a_reload_reads_the_settings_again_or_leaves_all_as_it_is(tmp_path: Path) -> None:
    def write(settings: str) -> None:
        (tmp_path / "it.toml").write_text(settings, encoding="utf-8")

    def ident(address: Any) -> str | None:
        with Client(address) as client:
            return client.get("/").header("server")

    write_shop(tmp_path, "old")
    write("workers = 2\nident = 'first'\n")
    with command(tmp_path, "--config=it.toml") as (process, address):
        workers_of(process, 2)
        assert ident(address) == "first"
        write("workers = 1\nident = 'second'\n")
        with SteadyLoad(address, keeping=2, new=2) as load:
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"Reloaded: 1 worker\(s\) replaced")
            assert becomes_true(lambda: ident(address) == "second")
            write("workers = 0\n")
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"SIGHUP: .*workers.*; the settings and workers from before stay")
            assert ident(address) == "second"
        assert load.failures == []
        process.signal()
        assert process.wait() == 0


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


@pytest.mark.parametrize(("name", "is_answered"), [("SIGTERM", True), ("SIGQUIT", False)], ids=["term", "quit"])
def test_a_signal_ends_all_workers(tmp_path: Path, name: str, is_answered: bool) -> None:
    with serving_program(
        SHORT + APPLICATION.replace("sleep(1)", "sleep(0.5)"), tmp_path, workers=2, worker_kind="process"
    ) as program:
        pids = workers_of(program.process, 2)
        with program.client() as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            program.process.wait_for_line("slow")
            program.process.signal(signal_number(name))
            if is_answered:
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


def test_workers_come_and_go_by_signals(tmp_path: Path) -> None:
    with serve(tmp_path) as program:
        workers_of(program.process, 2)
        program.process.signal(signal_number("SIGTTIN"))
        program.process.wait_for_line(r"SIGTTIN: 3 worker\(s\) wanted")
        third = workers_of(program.process, 1)
        program.process.signal(signal_number("SIGTTOU"))
        program.process.wait_for_line(rf"Worker {third[0]} has ended$")


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


def can_be_process_1() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_be_process_1(), reason="needs unshare, and the right to make a namespace of processes")
def test_a_supervisor_as_process_1_waits_for_processes_that_others_have_left(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("""
import os, subprocess
from pathlib import Path

def application(environ, start_response):
    if environ["PATH_INFO"] == "/leave":
        subprocess.run(["sh", "-c", "sleep 0.1 &"])
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path("/proc").glob("[0-9]*/stat")]
    start_response("200 OK", [])
    return [f"{os.getppid()} {states.count('Z')}".encode()]
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
        time.sleep(0.3)  # until they have ended
        assert becomes_true(lambda: ask("/")[1] == b"0")
        assert not any("Error" in line or "WARNING" in line for line in process.log)


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


@needs_proc
def test_preloaded_workers_have_the_application_of_their_parent(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os\nloaded_by = os.getpid()\n\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [str(loaded_by).encode()]\n"
    )
    with command(tmp_path, "--workers=2", "--preload") as (process, address):
        workers_of(process, 2)
        with Client(address) as client:
            assert int(client.get("/").body) == process.process.pid


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


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def test_a_successor_takes_over_under_load_and_no_request_fails(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    with command(tmp_path, "--workers=2") as (process, address), contextlib.ExitStack() as stack:
        workers_of(process, 2)
        with SteadyLoad(address, keeping=4, new=4) as load:
            write_shop(tmp_path, "raise ValueError('in the new code')")
            process.signal(signal_number("SIGUSR2"))
            process.wait_for_line(r"Error: .*in the new code")
            process.wait_for_line(r"The successor, process \d+, has ended: exit status 1; this server serves on")
            write_shop(tmp_path, "newer")
            process.signal(signal_number("SIGUSR2"))
            successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) is to take over")[1])
            stack.callback(end, successor)
            process.wait_for_line(rf"Process {successor} serves in place of this one")
            assert process.process.wait(20) == 0
            before = load.count
            assert becomes_true(lambda: load.count > before + 100)
        assert load.failures == []
        assert set(load.answers) == {"200 old", "200 newer"}
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


def test_a_server_that_is_stopped_stops_its_successor_too(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    with command(tmp_path, "--workers=2") as (process, _):
        workers_of(process, 2)
        write_shop(tmp_path, "import time; time.sleep(60); raise")
        process.signal(signal_number("SIGUSR2"))
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) is to take over")[1])
        process.wait_for_line("Serving on")
        process.signal()
        assert process.wait() == 0
        assert becomes_true(lambda: has_ended(successor))


# Looks at files again and again, as watchfiles does where the system does not tell of changes.
WATCHFILES = """
import os, time

def state(folders):
    paths = [entry.path for folder in folders for entry in os.scandir(folder)]
    return {path: os.stat(path).st_mtime_ns for path in paths if path.endswith((".py", ".html"))}

def watch(*folders, **options):
    before = state(folders)
    while True:
        time.sleep(0.02)
        after = state(folders)
        yield {(1, path) for path in after if after[path] != before.get(path)}
        before = after
"""


def test_a_changed_file_replaces_the_worker_and_an_error_is_shown_as_a_page(tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text(WATCHFILES)
    (tmp_path / "page.html").write_text("")
    write_shop(tmp_path, "old")
    extra = f"--reload-extra={tmp_path}/*.html"
    with command(tmp_path, "--reload", extra) as (process, address), SteadyLoad(address, keeping=1, new=1) as load:
        assert becomes_true(lambda: load.answers["200 old"] > 10)
        write_shop(tmp_path, "newer")
        process.wait_for_line(r"shop.py has changed: the workers are replaced")
        assert becomes_true(lambda: load.answers["200 newer"] > 10)
        write_shop(tmp_path, "raise ValueError('<in the new code>')")
        process.wait_for_line(r"in the new code>; it is loaded again when a file changes")
        process.wait_for_line(r"Worker \d+ serves")
        with Client(address) as client:
            shown = client.get("/", "Accept: text/html")
        assert shown.status == 500
        assert b"ValueError: " in shown.body
        assert b"&lt;in the new code&gt;" in shown.body
        write_shop(tmp_path, "repaired")
        assert becomes_true(lambda: load.answers["200 repaired"] > 10)
        (tmp_path / "page.html").write_text("changed")
        process.wait_for_line(r"page.html has changed: the workers are replaced")
        process.wait_for_line(r"Worker \d+ serves")
    assert load.failures == []
