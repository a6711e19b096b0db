"""This server and its peers: how each is installed and started, with the same application and threads, one process.

Each has the best settings that its documentation names for such a load. The servers in C have one thread, which runs
the application too.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".venvs" / "peers"  # a virtual environment for each, with the version named below
APPLICATION = "applications:application"
THREADS = 4
START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """One server: in `command` `{port}` is replaced by a port and `{application}` by `module:object`."""

    name: str
    requirement: str
    """What pip installs for it, an executable of which starts it; empty for the servers of this repository."""
    command: tuple[str, ...]
    speaks_tls: bool = False

    @property
    def python(self) -> str:
        """The interpreter of the environment in which the server is installed."""
        return str(executable(self.requirement, "python")) if self.requirement else sys.executable

    @property
    def settings(self) -> str:
        """The command as one would type it."""
        command, *options = self.command
        return " ".join([Path(command).name, *options])


def executable(requirement: str, command: str) -> Path:
    """Return the path of a command that `install` installs."""
    return PEERS / requirement.replace("==", "-") / "bin" / command


def _peer(name: str, version: str, command: str, *options: str, speaks_tls: bool = False, variant: str = "") -> Server:
    requirement = f"{name}=={version}"
    command = str(executable(requirement, command))
    return Server(f"{name} {version}{variant}", requirement, (command, *options), speaks_tls)


def waitress_options(*options: str) -> tuple[str, ...]:
    """Return the arguments of `waitress-serve`, the same for all of its versions."""
    return ("--listen=127.0.0.1:{port}", f"--threads={THREADS}", *options, "{application}")


def waitress_servers(*options: str) -> tuple[Server, Server]:
    """Return this server and waitress 3.0.2, with further options of the command."""
    own = str(Path(sys.executable).with_name("waitress-serve"))
    return (
        Server("waitress", "", (own, *waitress_options(*options))),
        _peer("waitress", "3.0.2", "waitress-serve", *waitress_options(*options)),
    )


# What `openssl req -newkey` makes a key of, for each kind of certificate
TLS_KEYS = {"P-256": ("ec", "ec_paramgen_curve:P-256"), "RSA 2048": ("rsa", "rsa_keygen_bits:2048")}


def certificate_files(kind: str) -> tuple[Path, Path]:
    """Return the paths of a certificate and its key, which `make_certificates` makes."""
    name = kind.replace(" ", "-").lower()
    return PEERS / f"tls-{name}.pem", PEERS / f"tls-{name}.key"


def tls_servers(kind: str = "P-256") -> tuple[Server, ...]:
    """Return this server, gunicorn, cheroot, uvicorn and granian, with the same certificate, and one loop."""
    certificate, key = map(str, certificate_files(kind))
    gunicorn, _, granian = OTHERS
    own = waitress_servers(f"--tls-certificate={certificate}", f"--tls-key={key}")[0]
    module = ("-m", "tests.benchmarks.cheroot_tls_server")
    return (
        replace(own, speaks_tls=True),
        replace(gunicorn, command=(*gunicorn.command, "--certfile", certificate, "--keyfile", key), speaks_tls=True),
        _peer("cheroot", "11.1.2", "python", *module, "{port}", str(THREADS), certificate, key, speaks_tls=True),
        _peer(
            *("uvicorn", "0.38.0", "uvicorn", "--interface=wsgi", "--port={port}", "--no-access-log", "{application}"),
            *("--ssl-certfile", certificate, "--ssl-keyfile", key),
            speaks_tls=True,
        ),
        replace(
            granian,
            command=(
                *(*granian.command, "--ssl-certificate", certificate, "--ssl-keyfile", key),
                "--ssl-protocol-min=tls1.2",  # as the others: see `load.handshakes_per_second`
            ),
            speaks_tls=True,
        ),
        replace(LIMIT, command=(*LIMIT.command, certificate, key), speaks_tls=True),
    )


def make_certificates() -> None:
    """Make the certificates of the servers that speak TLS, by the command openssl."""
    for kind, (algorithm, option) in TLS_KEYS.items():
        certificate, key = certificate_files(kind)
        if not certificate.exists():
            PEERS.mkdir(parents=True, exist_ok=True)
            command = ["openssl", "req", "-x509", "-newkey", algorithm, "-pkeyopt", option, "-nodes", "-days", "3650"]
            files = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
            subprocess.run([*command, *files], check=True, capture_output=True)


OTHERS = (
    _peer(
        *("gunicorn", "27.0.1", "gunicorn", "--worker-class=gthread", "--workers=1", f"--threads={THREADS}"),
        *("--keep-alive=75", "--worker-connections=20000", "--no-control-socket", "--bind=127.0.0.1:{port}"),
        "{application}",
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
GRANIAN = OTHERS[-1]
# No more requests than threads are given to the interpreter at once; without it granian queues them.
GRANIAN_LIMITED = replace(
    GRANIAN,
    name=f"{GRANIAN.name} limited",
    command=(*GRANIAN.command[:-1], f"--backpressure={THREADS}", GRANIAN.command[-1]),
)
ZOPE = _peer(
    *("zope.server", "5.0", "python", "-m", "tests.benchmarks.zope_server", "{port}", str(THREADS), "{application}")
)
BJOERN = _peer(
    *("bjoern", "3.2.2", "python", "-m", "tests.benchmarks.bjoern_server", "{port}", "{application}"),
    variant=" (C)",
)
IN_C = (
    BJOERN,
    _peer(
        *("fastpysgi", "0.6", "fastpysgi", "--host=127.0.0.1", "--port={port}", "--loglevel=0", "{application}"),
        variant=" (C)",
    ),
    _peer(
        *("fastwsgi", "0.0.9", "fastwsgi", "--host=127.0.0.1", "--port={port}", "--loglevel=0", "{application}"),
        variant=" (C)",
    ),
    _peer(
        *("socketify", "0.0.31", "python", "-m", "socketify", "{application}", "--interface", "wsgi", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", "{port}", "--disable-listen-log", "True"),
        variant=" (C++)",
    ),
)
LIMIT = Server("one loop", "", (sys.executable, "-m", "tests.benchmarks.limit", "{port}"))
HANDED_OFF = Server("all handed off", "", (sys.executable, "-m", "tests.benchmarks.handed_off", "{port}"))


def install(requirement: str) -> None:
    """Make the virtual environment for a requirement, unless it exists or the requirement is empty.

    Raises:
        subprocess.CalledProcessError: pip cannot install it.
    """
    if not requirement:
        return
    python = executable(requirement, "python")
    stamp = python.parents[1] / "installed.stamp"
    if stamp.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, requirement], check=True)
    stamp.touch()


def environment(needs: str = "") -> dict[str, str]:
    """Return the environment variables for everything that is measured; `needs` is what the application requires."""
    # Only the application is on the path, so that no server finds the packages of another. The packages of this
    # repository are compiled once, as those that pip has installed are.
    path = [str(HERE)]
    if needs:
        path += map(str, executable(needs, "python").parents[1].glob("lib/python*/site-packages"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": ""}


def launch(server: Server, port: int, application: str = APPLICATION, needs: str = "") -> subprocess.Popen[bytes]:
    """Start a server's process; it may not listen yet."""
    if server.speaks_tls:
        make_certificates()
    command = [word.format(port=port, application=application) for word in server.command]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=environment(needs), stdout=quiet, stderr=quiet)


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int, interval: float = 0.05) -> None:
    """Connect until a server accepts.

    Raises:
        RuntimeError: it has ended, or does not listen within START_SECONDS.
    """
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"it does not start: {process.args!r}") from None
            time.sleep(interval)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def started(
    server: Server, application: str = APPLICATION, needs: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server on a free port until the end of the context; yield its process and port.

    Raises:
        RuntimeError: it does not start.
    """
    port = free_port()
    process = launch(server, port, application, needs)
    try:
        wait_until_it_listens(process, port)
        yield process, port
    finally:
        stop(process)
