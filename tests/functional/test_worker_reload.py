"""Workers that are replaced on request: by a reload, by a successor of the supervisor, by a changed file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import over_tls
from tests.support.certificates import server_file
from tests.support.client import Client
from tests.support.platforms import make_fifo, open_gate, signal_number
from tests.support.ports import free_port
from tests.support.processes import becomes_true, text_of
from tests.support.servers import spawned
from tests.support.steady_load import SteadyLoad
from tests.support.workers import (
    APPLICATION,
    COMMAND,
    children_of,
    command,
    has_ended,
    needs_fork,
    wait_for_exit,
    workers_of,
    write_shop,
)

pytestmark = needs_fork


@contextlib.contextmanager
def https_client(address: Any) -> Iterator[Client]:
    over_tls.addresses.add(address)
    try:
        with Client(address) as client:
            yield client
    finally:
        over_tls.addresses.discard(address)


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
            process.wait_for_line(r"The reload has failed: 2 old worker\(s\)")
            before = load.count
            assert becomes_true(lambda: load.count > before + 100)
        assert load.failures == []
        assert set(load.answers) == {"200 old", "200 newer"}
        process.signal()
        assert process.wait() == 0


def test_a_failed_reload_counts_no_worker_that_still_retires(tmp_path: Path) -> None:
    make_fifo(tmp_path / "gate")
    (tmp_path / "shop.py").write_text("import logging\n" + APPLICATION, encoding="utf-8")
    with command(tmp_path, "--workers=2") as (process, address), Client(address) as client:
        workers_of(process, 2)
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        process.wait_for_line("waits")
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(r"Reloaded: 2 worker\(s\) replaced")
        write_shop(tmp_path, "raise ValueError('in the new code')")
        process.signal(signal_number("SIGHUP"))
        assert process.wait_for_line(r"The reload has failed: (\d+) old worker\(s\) keep serving")[1] == "2"
        open_gate(tmp_path)
        assert client.response().status == 200
        process.signal()
        assert process.wait() == 0


def test_a_reload_reads_the_settings_again_or_leaves_all_as_it_is(tmp_path: Path) -> None:
    def write(settings: str) -> None:
        (tmp_path / "it.toml").write_text(settings, encoding="utf-8")

    def ident(address: Any) -> str | None:
        with Client(address) as client:
            return client.get("/").header("server")

    def reloads() -> Any:
        with Client(status) as client:
            return json.loads(client.get("/status.json").body)["supervisor"]["reloads"]

    status = str(tmp_path / "s")
    write_shop(tmp_path, "old")
    write("workers = 2\nident = 'first'\n")
    with command(tmp_path, "--config=it.toml", f"--status-listen={status}") as (process, address):
        old = workers_of(process, 2)
        assert ident(address) == "first"
        write("workers = 1\nident = 'second'\n")
        with SteadyLoad(address, keeping=2, new=2) as load:
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"Reloaded: 1 worker\(s\) replaced")
            assert becomes_true(lambda: all(has_ended(pid) for pid in old))  # until then they may answer
            assert ident(address) == "second"
            write("workers = 0\n")
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line(r"SIGHUP: .*workers.*; settings and workers stay as they were")
            assert becomes_true(lambda: reloads() == {"done": 1, "failed": 1})
            assert ident(address) == "second"
        assert load.failures == []
        process.signal()
        assert process.wait() == 0


def listened_on(pid: int) -> set[int]:
    """Return the TCP ports that a process has sockets to listen on."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {f"socket:[{row[9]}]": int(row[1].rpartition(":")[2], 16) for row in table if row[3] == "0A"}
    return {ports[link] for entry in Path(f"/proc/{pid}/fd").iterdir() if (link := os.readlink(entry)) in ports}


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="needs /proc, which tells of another process's sockets")
def test_after_a_reload_each_process_has_the_sockets_only_that_it_serves(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    port = free_port()
    soon = "import waitress_core.processes.status_process as it\nit.PAUSE_SECONDS = 0.0\n"
    with command(tmp_path, "--workers=2", f"--status-listen=127.0.0.1:{port}", before=soon) as (process, address):
        workers_of(process, 2)
        process.signal(signal_number("SIGHUP"))
        new = workers_of(process, 2)
        assert [listened_on(pid) for pid in new] == [{address[1]}] * 2

        assert becomes_true(lambda: len(children_of(process.process.pid)) == 3)  # the old ones have ended
        (status,) = children_of(process.process.pid) - set(new)
        os.kill(status, signal_number("SIGKILL"))
        process.wait_for_line("The process of the status server has ended")
        assert becomes_true(lambda: answers(("127.0.0.1", port)))
        (status,) = children_of(process.process.pid) - set(new)
        assert listened_on(status) == {port}
        process.signal()
        assert process.wait() == 0


def answers(address: Any) -> bool:
    with contextlib.suppress(OSError), Client(address) as client:
        return client.get("/health").status == 200
    return False


PRELOADED = """
import os

loaded_by = os.getpid()

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{loaded_by} {os.getpid()}".encode()]
"""


def test_preloaded_workers_keep_their_application_and_get_new_settings_at_a_reload(tmp_path: Path) -> None:
    def write(settings: str) -> None:
        shutil.copy(server_file(), tmp_path / f"{settings}.pem")
        (tmp_path / "it.toml").write_text(
            f"tls_certificate = '{settings}.pem'\nident = '{settings}'\naccess_log_file = '{settings}.log'\n"
        )

    (tmp_path / "shop.py").write_text(PRELOADED)
    write("first")
    with command(tmp_path, "--config=it.toml", "--workers=2", "--preload") as (process, address):
        pids = workers_of(process, 2)

        def ask() -> tuple[str | None, int, int]:
            with https_client(address) as client:
                response = client.get("/")
            loaded_by, pid = map(int, response.body.split())
            return response.header("server"), loaded_by, pid

        name, loaded_by, pid = ask()
        assert (name, loaded_by) == ("first", process.process.pid)
        assert pid in pids
        (tmp_path / "shop.py").write_text("raise ValueError('it is read again')")
        (tmp_path / "first.pem").unlink()
        write("second")
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(r"Reloaded: 2 worker\(s\) replaced")
        assert becomes_true(lambda: all(map(has_ended, pids)))
        name, loaded_by, pid = ask()
        assert (name, loaded_by) == ("second", process.process.pid)
        assert pid not in pids
        assert becomes_true(lambda: text_of(tmp_path / "second.log").count("GET / ") == 1)
        assert (tmp_path / "first.log").read_text().count("GET / ") == 1
        assert not any("ERROR" in line for line in process.log)
        process.signal()
        assert process.wait() == 0


def test_a_reload_takes_the_log_level_and_the_application_of_the_command(tmp_path: Path) -> None:
    def write(level: str, application: str) -> None:
        (tmp_path / "it.toml").write_text(f"log_level = '{level}'\napp = '{application}'\n")

    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(
            "import logging\n\ndef application(environ, start_response):\n"
            f"    logging.debug('{name} is asked')\n    start_response('200 OK', [])\n    return [b'{name}']\n"
        )
    write("info", "first:application")
    words = ["--listen=127.0.0.1:0", "--config=it.toml", "--workers=2", "--worker-kind=process"]
    with spawned([sys.executable, "-c", COMMAND, *words], tmp_path) as process:
        address = process.wait_for_address()
        workers_of(process, 2)

        def answer() -> bytes:
            with Client(address) as client:
                return client.get("/").body

        assert answer() == b"first"
        write("loud", "first:application")
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(r"SIGHUP: .*log_level.*; settings and workers stay as they were")
        write("debug", "second:application")
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(r"Reloaded: 2 worker\(s\) replaced")
        assert becomes_true(lambda: answer() == b"second")
        process.wait_for_line("DEBUG .*second is asked")
        assert not any("first is asked" in line for line in process.log)
        process.signal()
        assert process.wait() == 0


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
            process.wait_for_line(r"The successor, process \d+, has ended: exit status 1; this server keeps serving")
            write_shop(tmp_path, "newer")
            process.signal(signal_number("SIGUSR2"))
            successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
            stack.callback(end, successor)
            process.wait_for_line(rf"Process {successor} serves in place of this one")
            assert wait_for_exit(process) == 0
            before = load.count
            assert becomes_true(lambda: load.count > before + 100)
        assert load.failures == []
        assert set(load.answers) == {"200 old", "200 newer"}
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["loaded-by-workers", "preloaded"])
def test_ready_stays_ready_from_a_supervisor_to_its_successor(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        """
import logging

def application(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        logging.warning("held")
        with open("gate") as gate:
            gate.read()
    start_response("200 OK", [])
    return [b"ok"]
"""
    )
    make_fifo(tmp_path / "gate")
    status = str(tmp_path / "s")

    def is_ready() -> bool:
        with Client(status) as client:
            return client.get("/ready").body == b"ready\n"

    with contextlib.ExitStack() as stack:
        process, address = stack.enter_context(command(tmp_path, "--workers=2", f"--status-listen={status}", *options))
        workers_of(process, 2)  # both with the first shop.py
        held = stack.enter_context(Client(address))
        assert becomes_true(is_ready)
        held.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        process.wait_for_line("held")
        source = (tmp_path / "shop.py").read_text()
        waiting = "import sys\nprint('starts', file=sys.stderr)\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
        (tmp_path / "shop.py").write_text("import os, time\n" + waiting + source)
        process.signal(signal_number("SIGUSR2"))
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
        stack.callback(end, successor)
        process.wait_for_line("starts")
        assert all(is_ready() for _ in range(20))  # whichever of two would answer
        (tmp_path / "go").touch()
        process.wait_for_line(rf"Process {successor} serves in place of this one")
        assert becomes_true(is_ready)
        assert all(is_ready() for _ in range(20))
        open_gate(tmp_path)
        assert held.response().status == 200
        held.close()
        assert wait_for_exit(process) == 0
        assert is_ready()
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


HANGS_IF_ASKED_TO = """
import os, sys, time

while os.path.exists("hang"):
    if not os.path.exists("hangs"):
        open("hangs", "w").close()
    time.sleep(0.01)
"""


def test_a_supervisor_that_is_replaced_ends_although_a_worker_never_ends_to_import(tmp_path: Path) -> None:
    write_shop(tmp_path, "old", at_import=HANGS_IF_ASKED_TO)
    with command(tmp_path, "--workers=2") as (process, _), contextlib.ExitStack() as stack:
        pids = workers_of(process, 2)
        (tmp_path / "hang").touch()
        os.kill(pids[0], signal_number("SIGKILL"))
        assert becomes_true((tmp_path / "hangs").exists)
        write_shop(tmp_path, "newer")
        process.signal(signal_number("SIGUSR2"))
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
        stack.callback(end, successor)
        process.wait_for_line(rf"Process {successor} serves in place of this one")
        assert wait_for_exit(process) == 0
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


def test_no_signal_revives_a_supervisor_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        """
import logging, os, time

def application(environ, start_response):
    logging.warning("held")
    while not os.path.exists("let-go"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"ok"]
"""
    )
    with command(tmp_path, "--workers=2") as (process, address), contextlib.ExitStack() as stack:
        workers_of(process, 2)
        client = stack.enter_context(Client(address))
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        process.wait_for_line("held")
        process.signal(signal_number("SIGUSR2"))
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
        stack.callback(end, successor)
        process.wait_for_line(rf"Process {successor} serves in place of this one")
        for name in ("SIGTTIN", "SIGTTOU"):
            process.signal(signal_number(name))
            assert "ignored" in process.wait_for_line(f"{name}: .*")[0]
        (tmp_path / "let-go").touch()
        assert client.response().status == 200
        client.close()
        assert wait_for_exit(process) == 0
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


def test_a_successor_may_be_a_single_process(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    (tmp_path / "it.toml").write_text("workers = 2\n")
    with command(tmp_path, "--config=it.toml") as (process, address), contextlib.ExitStack() as stack:
        workers_of(process, 2)
        (tmp_path / "it.toml").write_text("workers = 1\n")
        write_shop(tmp_path, "newer")
        with SteadyLoad(address, keeping=2, new=2) as load:
            process.signal(signal_number("SIGUSR2"))
            successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
            stack.callback(end, successor)
            process.wait_for_line(rf"Process {successor} serves in place of this one")
            assert wait_for_exit(process) == 0
            before = load.answers["200 newer"]
            assert becomes_true(lambda: load.answers["200 newer"] > before + 100)
        assert load.failures == []
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


def test_a_server_that_is_stopped_stops_its_successor_too(tmp_path: Path) -> None:
    write_shop(tmp_path, "old")
    with command(tmp_path, "--workers=2") as (process, _):
        workers_of(process, 2)
        write_shop(tmp_path, "import time; time.sleep(60); raise")
        process.signal(signal_number("SIGUSR2"))
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
        process.wait_for_line("Serving on")
        process.signal()
        assert process.wait() == 0
        assert becomes_true(lambda: has_ended(successor))


UNTIL_GO = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"


def test_a_reload_takes_the_place_of_one_that_never_ends_to_import(tmp_path: Path) -> None:
    write_shop(tmp_path, "first")
    with command(tmp_path, "--workers=2") as (process, address), SteadyLoad(address, keeping=1, new=1) as load:
        workers_of(process, 2)
        write_shop(tmp_path, "second", at_import=f"import sys; sys.stderr.write('importing\\n')\n{UNTIL_GO}")
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line("importing")  # before the file changes
        write_shop(tmp_path, "third")
        process.signal(signal_number("SIGHUP"))
        stopped = process.wait_for_line(r"Worker (\d+) is stopped: it starts with what was there before the reload")[1]
        process.wait_for_line(rf"Worker {stopped} has ended: killed by SIGTERM")
        process.wait_for_line(r"Reloaded: 2 worker\(s\)")
        before = load.answers["200 third"]
        assert becomes_true(lambda: load.answers["200 third"] > before + 10)
        process.signal()
        assert process.wait() == 0
    assert set(load.answers) == {"200 first", "200 third"}


def test_signals_that_come_too_early_are_acted_on_later(tmp_path: Path) -> None:
    write_shop(tmp_path, "first", at_import=UNTIL_GO)
    with command(tmp_path, "--workers=2") as (process, address), contextlib.ExitStack() as stack:
        for _ in range(2):  # while it starts
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line("SIGHUP: postponed until the server has started")
        (tmp_path / "go").touch()
        process.wait_for_line(r"SIGHUP: replacing 2 worker\(s\)")
        process.wait_for_line(r"Reloaded: 2 worker\(s\)")
        (tmp_path / "go").unlink()
        write_shop(tmp_path, "second", at_import=UNTIL_GO)
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(r"SIGHUP: replacing 2 worker\(s\)")  # and not at once for the second of those before
        process.signal(signal_number("SIGUSR2"))  # while it reloads
        process.wait_for_line("SIGUSR2: postponed until the server has started or reloaded")
        (tmp_path / "go").touch()
        process.wait_for_line(r"Reloaded: 2 worker\(s\)")
        successor = int(process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")[1])
        stack.callback(end, successor)
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line(rf"Process {successor} serves in place of this one")
        assert wait_for_exit(process) == 0
        with Client(address) as client:
            assert client.get("/").body == b"second"
        end(successor)
        assert becomes_true(lambda: has_ended(successor))


def test_a_reload_that_waits_for_a_successor_follows_when_that_fails(tmp_path: Path) -> None:
    write_shop(tmp_path, "first")
    with command(tmp_path, "--workers=2") as (process, address):
        workers_of(process, 2)
        write_shop(tmp_path, "raise ValueError", at_import=f"import sys\nprint('waits', file=sys.stderr)\n{UNTIL_GO}")
        process.signal(signal_number("SIGUSR2"))
        process.wait_for_line(r"SIGUSR2: process (\d+) takes over when it serves")
        process.wait_for_line("waits")  # of either worker: they may write on one line
        for name, then in (("SIGHUP", "postponed until"), ("SIGUSR2", "ignored, because a successor is starting")):
            process.signal(signal_number(name))
            process.wait_for_line(f"{name}: {then}")
        write_shop(tmp_path, "second")
        (tmp_path / "go").touch()
        process.wait_for_line("The successor, process .* has ended")
        process.wait_for_line(r"Reloaded: 2 worker\(s\)")

        def body() -> bytes:
            with Client(address) as client:
                return client.get("/").body

        assert becomes_true(lambda: body() == b"second")  # a worker that retires may accept one more client
        process.signal()
        assert process.wait() == 0


# Looks at files again and again, as watchfiles does where the system does not report changes.
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
        write_shop(tmp_path, "import sys; sys.exit('not today'); raise")
        process.wait_for_line(r"it ends the process: SystemExit\('not today'\); it is loaded again when a file changes")
        write_shop(tmp_path, "repaired again")
        assert becomes_true(lambda: load.answers["200 repaired again"] > 10)
        (tmp_path / "page.html").write_text("changed")
        process.wait_for_line(r"page.html has changed: the workers are replaced")
        process.wait_for_line(r"Worker \d+ serves")
    assert load.failures == []
