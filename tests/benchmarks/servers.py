"""This server and its peers: how each is installed and started, with the same application, threads and one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".venvs" / "peers"  # a virtual environment for each, in the version that stands here
THREADS = 4
START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """One server: `command` takes a port at `{port}`, and `module:object` at `{application}`."""

    name: str
    requirement: str
    """What pip installs for it; empty for what is of this repository."""
    command: tuple[str, ...]


def _peer(name: str, version: str, command: str, *options: str) -> Server:
    folder = f"{name}-{version}"
    return Server(f"{name} {version}", f"{name}=={version}", (str(PEERS / folder / "bin" / command), *options))


def _waitress(*options: str) -> tuple[str, ...]:
    return ("--listen=127.0.0.1:{port}", f"--threads={THREADS}", *options, "{application}")


def waitress_servers(*options: str) -> tuple[Server, Server]:
    """Give this server and waitress 3.0.2, with further options of the command."""
    own = str(Path(sys.executable).with_name("waitress-serve"))
    return (
        Server("waitress", "", (own, *_waitress(*options))),
        _peer("waitress", "3.0.2", "waitress-serve", *_waitress(*options)),
    )


OTHERS = (
    _peer(
        *("gunicorn", "27.0.1", "gunicorn", "--worker-class=gthread", "--workers=1", f"--threads={THREADS}"),
        *("--no-control-socket", "--bind=127.0.0.1:{port}", "{application}"),
    ),
    _peer(
        *("cheroot", "11.1.2", "cheroot", "--bind", "127.0.0.1:{port}"),
        *("--threads", str(THREADS), "{application}"),
    ),
    _peer(
        *("granian", "2.8.7", "granian", "--interface=wsgi", "--host=127.0.0.1", "--port={port}"),
        *("--workers=1", f"--blocking-threads={THREADS}", "{application}"),
    ),
)


def install(server: Server) -> None:
    """Make a peer's virtual environment, if it is not there."""
    if not server.requirement or Path(server.command[0]).exists():
        return
    folder = Path(server.command[0]).parents[1]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, server.requirement], check=True)


@contextmanager
def started(server: Server, application: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server on a free port until the end of the context; gives its process and port.

    Raises:
        RuntimeError: it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.format(port=port, application=application) for word in server.command]
    # No more than the application on the path: a package that is set up for one must not be found by another.
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{server.name} does not start: {' '.join(command)}") from None
                time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
