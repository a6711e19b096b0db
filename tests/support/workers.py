"""Several worker processes: served by a program or by the command, and what becomes of them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .platforms import HAS_GIL
from .processes import Program, serving_program
from .servers import Spawned, spawned
from .times import SHORT_TICKS

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
needs_gil = pytest.mark.skipif(not HAS_GIL, reason="needs the GIL, which the application keeps for ever")

SHORT = SHORT_TICKS + "from waitress_core.processes.supervisor import Supervisor\nSupervisor.tick_seconds = 0.05\n"
# `/wait` waits for the other end of the FIFO `gate`; `/hang` keeps the interpreter for ever, in native code.
APPLICATION = """
import os, re, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        re.match(r"(a+)+$", "a" * 60 + "b")
    if path == "/wait":
        logging.warning("waits")
        with open("gate") as gate:
            gate.read()
    if path == "/sleep":
        time.sleep(20)
    if path == "/exit":
        os._exit(7)
    start_response("200 OK", [])
    return [f"{os.getpid()} {environ['wsgi.multiprocess']}".encode()]
"""
COMMAND = SHORT + "import sys\nfrom waitress_cli import main\nsys.exit(main(sys.argv[1:]))\n"


def serve(tmp_path: Path, source: str = APPLICATION, **settings: Any) -> contextlib.AbstractContextManager[Program]:
    """Serve the application by a program, with two workers."""
    return serving_program(
        SHORT + source,
        tmp_path,
        "logging.info('%s', server.stats())",
        workers=2,
        worker_kind="process",
        **settings,
    )


@contextlib.contextmanager
def command(tmp_path: Path, *arguments: str, before: str = "") -> Iterator[tuple[Spawned, Any]]:
    """Serve `shop:application` by the command, after some Python; yield the process and its address."""
    words = ["--listen=127.0.0.1:0", "--worker-kind=process", *arguments, "shop:application"]
    with spawned([sys.executable, "-c", before + COMMAND, *words], tmp_path) as process:
        yield process, process.wait_for_address()


def write_shop(tmp_path: Path, version: str, *, at_import: str = "") -> None:
    """Write an application that answers with its version, or raises at import; first it runs `at_import`."""
    source = f"""
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"{version}"]
"""
    # Another size: within a second the cached bytecode of the old file would be taken for that of the new one.
    text = at_import + (version if "raise" in version else source)
    (tmp_path / "shop.py").write_text(text, encoding="utf-8")  # in one call: a worker may be reading it


def pid_of(response: Any) -> int:
    return int(response.body.split()[0])


def workers_of(process: Spawned, count: int) -> list[int]:
    """Wait for so many workers to serve; return their process ids."""
    return [int(process.wait_for_line(r"Worker (\d+) serves")[1]) for _ in range(count)]


def children_of(pid: int) -> set[int]:
    """Return the child processes of a process that has one thread; empty without /proc."""
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def wait_for_exit(process: Spawned, seconds: float = 20) -> int:
    """Wait for the end of a supervisor; return its exit status. Its successor may have its standard error open.

    If it does not end, its workers write the stacks of their threads, which the supervisor logs.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.process.wait(seconds)
    for child in children_of(process.process.pid):
        os.kill(child, signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.process.wait(seconds)
    raise AssertionError(f"the supervisor has not ended in {seconds} s; log: {process.log}")


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
