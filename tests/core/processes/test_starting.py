"""The status server while the application is imported, by the command."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, Response
from tests.support.platforms import make_fifo, signal_number
from tests.support.processes import becomes_true
from tests.support.servers import Spawned, spawned
from tests.support.workers import needs_fork

pytestmark = needs_fork

SHOP = """
import os

{first}
with open("gate") as gate:  # a named pipe, until somebody writes to it
    exec(gate.read())

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@contextlib.contextmanager
def starting(folder: Path, *options: str, first: str = "") -> Iterator[Spawned]:
    """Run the command for an application that waits at its import for `let_go`; the status server has a unix socket."""
    (folder / "shop.py").write_text(SHOP.format(first=first), encoding="utf-8")
    make_fifo(folder / "gate")
    command = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "--status-listen=unix:./status.sock"]
    with spawned([*command, *options, "shop:application"], folder) as server:
        yield server


def let_go(folder: Path, source: str = "") -> None:
    """Let all go on that wait at the gate, one at least, and all that come later."""
    gate = folder / "gate"
    with gate.open("w", encoding="utf-8") as pipe:
        pipe.write(source)
        gate.unlink()
        gate.write_text(source, encoding="utf-8")


def ask(folder: Path, path: str) -> Response:
    with Client(str(folder / "status.sock")) as client:
        return client.get(path)


def answers(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return ask(folder, "/health").status == 200
    return False


@pytest.mark.parametrize("options", [[], ["--workers=2"], ["--workers=2", "--preload"]], ids=["one", "two", "preload"])
def test_a_server_that_starts_lives_and_is_not_ready(options: list[str], tmp_path: Path) -> None:
    with starting(tmp_path, *options) as server:
        assert becomes_true(lambda: answers(tmp_path))
        response = ask(tmp_path, "/ready")
        assert (response.status, response.body) == (
            503,
            b"not ready: it is starting: the application is not served yet\n",
        )
        assert b'"is_ready": false' in ask(tmp_path, "/status.json").body
        let_go(tmp_path)
        server.wait_for_address()
        assert becomes_true(lambda: answers(tmp_path) and ask(tmp_path, "/ready").body == b"ready\n")
        server.signal()
        assert server.wait() == 0
    assert not (tmp_path / "status.sock").exists()


def test_an_application_that_cannot_be_imported_leaves_no_status_server(tmp_path: Path) -> None:
    with starting(tmp_path) as server:
        assert becomes_true(lambda: answers(tmp_path))
        let_go(tmp_path, "raise ValueError('no database')")
        assert server.wait() == 1
        assert server.log[0] == "Error: Cannot import WSGI application 'shop:application': no database"
    assert not (tmp_path / "status.sock").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_signal_ends_a_server_that_starts_at_once(name: str, tmp_path: Path) -> None:
    with starting(tmp_path) as server:
        assert becomes_true(lambda: answers(tmp_path))
        server.signal(signal_number(name))
        assert server.wait(5) == -signal_number(name)
        assert becomes_true(lambda: not answers(tmp_path))
    assert not (tmp_path / "status.sock").exists()


FORK = """
import time
server = os.getpid()
if not os.fork():
    while os.getppid() == server:
        time.sleep(0.05)
    os._exit(0)
"""


def test_a_process_that_the_application_forks_at_its_import_does_not_keep_it(tmp_path: Path) -> None:
    with starting(tmp_path, first=FORK) as server:
        assert becomes_true(lambda: answers(tmp_path))
        let_go(tmp_path)
        server.wait_for_address()
        assert becomes_true(lambda: answers(tmp_path) and ask(tmp_path, "/ready").body == b"ready\n")


CLOSES = "os.closerange(3, 64)"
# The numbers are those of its files then, which it writes to at its end.
REUSES = f"""{CLOSES}
import atexit
files = [open("data", "ab", buffering=0) for _ in range(8)]
atexit.register(lambda: [file.write(b"x") for file in files])
"""


@pytest.mark.parametrize(("first", "data"), [(CLOSES, b""), (REUSES, b"x" * 8)], ids=["closed", "reused"])
def test_an_application_may_close_what_it_does_not_know_at_its_import(first: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with starting(tmp_path, first=first) as server:
        assert becomes_true(lambda: answers(tmp_path))
        let_go(tmp_path)
        server.wait_for_address()
        assert becomes_true(lambda: answers(tmp_path) and ask(tmp_path, "/ready").body == b"ready\n")
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in "".join(server.log)
    assert (tmp_path / "data").read_bytes() == data


def test_an_address_of_the_status_server_in_use_is_reported_once(tmp_path: Path) -> None:
    with starting(tmp_path) as first:
        assert becomes_true(lambda: answers(tmp_path))
        let_go(tmp_path)
        first.wait_for_address()
        command = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "--status-listen=unix:./status.sock"]
        with spawned([*command, "os:path"], tmp_path) as second:
            assert second.wait() == 1
            assert len(second.log) == 1
        assert answers(tmp_path)
