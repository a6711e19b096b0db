"""What the tests with real programs share: how the programs are started, and what a host may lack."""

import contextlib
import functools
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.support.servers import Running, Spawned, spawned

PROGRAMS = Path(__file__).parent
# What makes pserve log on standard error, to be put behind an ini file that does not log.
INI_LOGGING = "[loggers]" + (PROGRAMS / "pyramid.ini").read_text(encoding="utf-8").partition("[loggers]")[2]
COMMANDS = Path(sys.executable).parent  # where installing a package puts its commands
LARGE_BYTES = 100 * 1024 * 1024
FLAT_BYTES = 32 * 1024 * 1024  # a memory that grows by less, while LARGE_BYTES go through, does not hold them
CLIENT_SECONDS = 60.0


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this host lacks IPv6: ::1 cannot be bound")
needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this host's Python lacks unix sockets")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="this host lacks curl")
needs_memory_peaks = pytest.mark.skipif(
    platform.python_implementation() != "CPython" or not Path("/proc/self/status").exists(),
    reason="needs /proc, and an interpreter that gives memory back when it is let go, as CPython does",
)

IPV4 = pytest.param("127.0.0.1:0", id="IPv4")
IPV6 = pytest.param("[::1]:0", id="IPv6", marks=needs_ipv6)


# --- servers


def command(name: str) -> str:
    """Return the path of a command that a package installs; skip the test where this environment lacks it."""
    path = COMMANDS / name
    if not path.exists():
        pytest.skip(f"this environment lacks {name}: `make test-ecosystem` has it")
    return str(path)


@contextlib.contextmanager
def served(
    name: str, *arguments: str | Path, cwd: Path = PROGRAMS, env: dict[str, str] | None = None
) -> Iterator[Spawned]:
    """Run a command that serves, `waitress-serve` or `pserve`; ask it to end, which it must, with nothing to regret."""
    with spawned([command(name), *map(str, arguments)], cwd, env) as server:
        try:
            yield server
        except BaseException:
            print("The server has logged:", *server.log, sep="\n")  # shown with the failure
            raise
        server.signal()
        status = server.wait()
    assert status == 0 or sys.platform == "win32", (status, server.log)  # Windows has no signal to ask by
    faults = [line for line in server.log if line.startswith(("ERROR", "CRITICAL", "Traceback"))]
    assert not faults, server.log


def url_of(server: Spawned | Running) -> str:
    """Return the address of a server as a URL without a slash at its end; waits for a process until it names one."""
    host, port = server.wait_for_address() if isinstance(server, Spawned) else server.address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def short_path(name: str = "s") -> Iterator[Path]:
    """Return a path for a unix socket: systems allow about 100 bytes, which a test's own folder may exceed."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder, name)


def memory_peak(server: Spawned) -> int:
    """Read the most memory, in bytes, that the process has ever had."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the status of the process has no VmHWM")


@contextlib.contextmanager
def flat_memory(server: Spawned) -> Iterator[None]:
    """Hold a server to its memory while LARGE_BYTES go through it; a fresh one: its peak is never forgotten."""
    before = memory_peak(server)
    assert before < LARGE_BYTES, "this server has had a large body before"
    yield
    grown = memory_peak(server) - before
    assert grown < FLAT_BYTES, f"the memory of the server grew by {grown} bytes"


# --- clients


@contextlib.contextmanager
def requests_session() -> Iterator[requests.Session]:
    """Return a session of requests that asks no proxy, whatever the machine has set."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@contextlib.contextmanager
def httpx_client(url: str = "", uds: Path | None = None, connections: int = 10) -> Iterator[httpx.Client]:
    """Return a client of httpx without TLS that asks no proxy; `uds` is a unix socket to connect to.

    One that verifies certificates would load all authorities first, which takes 50 ms of a processor.
    """
    # By default it would close a connection of which it makes no use for 5 s, as on a busy machine.
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=CLIENT_SECONDS
    )
    transport = httpx.HTTPTransport(verify=False, uds=None if uds is None else str(uds), limits=limits)
    with httpx.Client(base_url=url, transport=transport, trust_env=False, timeout=CLIENT_SECONDS) as client:
        yield client


def json_of(answer: requests.Response | httpx.Response) -> Any:
    """Return what a response says in JSON; its status must be 200."""
    assert answer.status_code == 200, (answer.status_code, answer.text[:1000])
    return answer.json()


@dataclass(frozen=True)
class Curled:
    """What curl has done: its output, and what it said of it on standard error."""

    output: bytes
    said: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def sent(self) -> list[str]:
        """Return the head lines that curl sent, as `--verbose` shows them."""
        return [line[2:] for line in self.said.splitlines() if line.startswith("> ")]

    def received(self) -> list[str]:
        """Return the head lines that curl received, as `--verbose` shows them."""
        return [line[2:] for line in self.said.splitlines() if line.startswith("< ")]


def curl_command(*arguments: str | Path) -> list[str]:
    """Return a command line of curl that depends on no file or variable of the user."""
    seconds = str(int(CLIENT_SECONDS))
    return ["curl", "-q", "--silent", "--show-error", "--max-time", seconds, "--globoff", *map(str, arguments)]


def curl_environment() -> dict[str, str]:
    """Return the variables for curl: those of this process but for proxies."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def curl(*arguments: str | Path, stdin: bytes = b"") -> Curled:
    """Run curl, which must succeed."""
    done = subprocess.run(curl_command(*arguments), input=stdin, capture_output=True, env=curl_environment())
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, said
    return Curled(done.stdout, said)


@functools.lru_cache(maxsize=1)
def curl_features() -> frozenset[str]:
    """Return the features that this host's curl names: IPv6, UnixSockets, HTTP2 and so on."""
    for line in curl("--version").lines:
        if line.startswith("Features:"):
            return frozenset(line.split()[1:])
    return frozenset()


def needs_curl_feature(name: str) -> None:
    """Skip the test when this host's curl was built without it."""
    if name not in curl_features():
        pytest.skip(f"this host's curl lacks {name}")


# --- files


def write_bytes(path: Path, size: int) -> str:
    """Fill a file with bytes that do not repeat from one MiB to the next; return their SHA-256."""
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(0, size, len(block)):
            piece = (number.to_bytes(8, "big") + block)[: min(len(block), size - number)]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class LargeFile:
    """A file of LARGE_BYTES, and the SHA-256 of its content."""

    path: Path
    digest: str


@contextlib.contextmanager
def large_file(folder: Path) -> Iterator[LargeFile]:
    """Make a large file; it is removed at the end, for pytest keeps its folders."""
    path = folder / "large"
    try:
        yield LargeFile(path, write_bytes(path, LARGE_BYTES))
    finally:
        path.unlink()
