"""Load for a server: wrk for many requests, and plain sockets for what wrk cannot do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
SCRIPT = Path(__file__).with_name("upload.lua")
OTHER_DESCRIPTORS = 200  # what a server and this program have open besides the connections
WAIT_SECONDS = 60.0
UPLOAD_PIECE = bytes(1 << 20)
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


class CannotLoad(RuntimeError):
    """This machine does not allow the load."""


class Answers(NamedTuple):
    """The figures of wrk."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


def find_wrk() -> None:
    """Check that wrk is installed; root installs it with Debian's apt.

    Raises:
        CannotLoad: it is not installed; the message says how to install it.
    """
    if sys.platform == "linux" and shutil.which("wrk") is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=False)
    if shutil.which("wrk") is None:
        raise CannotLoad("wrk is needed; on Debian and Ubuntu, as root: apt-get update && apt-get install wrk")


def run_wrk(
    port: int,
    path: str,
    connections: int,
    seconds: float,
    fields: Iterable[tuple[str, str]] = (),
    body_bytes: int | None = None,
    body: bytes | None = None,
    scheme: str = "http",
) -> Answers:
    """Send requests to a server again and again: GET, or POST with `body`, or `body_bytes` of no matter what."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s", "--latency"]
    command += [item for name, value in fields for item in ("-H", f"{name}: {value}")]
    environment = dict(os.environ)
    if body is not None:
        environment["BODY"] = body.decode("ascii")
    elif body_bytes is not None:
        environment["BODY_BYTES"] = str(body_bytes)
    if body is not None or body_bytes is not None:
        command.append(f"--script={SCRIPT}")
    command.append(f"{scheme}://{HOST}:{port}{path}")
    return read_wrk(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def read_wrk(output: str) -> Answers:
    """Read the output of wrk."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None:
        raise RuntimeError(f"wrk said: {output}")
    failed = re.findall(r"(?:Non-2xx or 3xx responses:|connect|write|timeout) (\d+)", output)
    return Answers(float(rate[1]), _latency_ms(output, 50), _latency_ms(output, 99), sum(map(int, failed)))


def _latency_ms(output: str, percentile: int) -> float:
    """Read one line of the latency distribution of wrk."""
    match = re.search(rf"\b{percentile}%\s+([\d.]+)(us|ms|s)\b", output)
    if match is None:
        raise RuntimeError(f"wrk said: {output}")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def allow_descriptors(count: int) -> None:
    """Raise the limit of open files of this process and the servers that it starts, so that `count` connections fit.

    Raises:
        CannotLoad: the system allows less.
    """
    if sys.platform == "win32":
        raise CannotLoad("Windows has no limit of open files to raise; the benchmarks are for Linux")
    import resource

    needed = count + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise CannotLoad(f"{count} connections need {needed} open files and the system allows {hard}: ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def connect(port: int, *, speaks_tls: bool = False) -> socket.socket:
    """Connect to a server; its certificate is not checked."""
    plain = socket.create_connection((HOST, port), WAIT_SECONDS)
    if not speaks_tls:
        return plain
    import ssl  # few measurements need it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


def handshakes_per_second(port: int, seconds: float, *, resumes: bool) -> float:
    """Return how many connections one `openssl s_time` makes in a second, by new handshakes or by resumed sessions.

    Sessions are resumed with TLS 1.2: with 1.3 tickets come after the handshake, and s_time resumes none.

    Raises:
        RuntimeError: the connections or the resumed sessions are missing.
    """
    command = ["openssl", "s_time", "-connect", f"{HOST}:{port}", "-time", str(max(1, round(seconds)))]
    command += ["-reuse", "-tls1_2"] if resumes else ["-new"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(\d+) connections in (\d+) real seconds", output, re.MULTILINE)
    if not found or (resumes and "rrrr" not in output):  # a letter for each connection
        raise RuntimeError(f"openssl said: {output[-1000:]}")
    return int(found[-1][0]) / max(1, int(found[-1][1]))


@contextmanager
def idle_connections(port: int, count: int, *, speaks_tls: bool = False) -> Iterator[None]:
    """Hold `count` connections open until the end of the context, each after a response to one request."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            clients.append(stack.enter_context(connect(port, speaks_tls=speaks_tls)))
        for client in clients:
            client.sendall(GET % b"/")
        for client in clients:
            read_response(client)
        yield


def read_response(client: socket.socket) -> int:
    """Read one response with a Content-Length, which must be a success; return the length of its body."""
    length, start = read_head(client)
    missing = length - len(start)
    room = memoryview(bytearray(min(missing, 1 << 20)))
    while missing > 0 and (size := client.recv_into(room)):
        missing -= size
    if missing:
        raise RuntimeError(f"{missing} bytes of the body did not come")
    return length


def read_head(client: socket.socket) -> tuple[int, bytes]:
    """Read the head of such a response; return the length of its body, and what of it came with the head."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            raise RuntimeError(f"the server closed the connection after {head!r}")
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length is None or b" 200 " not in head[:16]:
        raise RuntimeError(f"the server answered {head!r}")
    return int(length[1]), body


def download_seconds(port: int, path: str, *, speaks_tls: bool = False) -> tuple[float, int]:
    """Return how long a response takes to arrive, and the length of its body."""
    with connect(port, speaks_tls=speaks_tls) as client:
        started_at = time.perf_counter()
        client.sendall(GET % path.encode())
        size = read_response(client)
        return time.perf_counter() - started_at, size


def upload_seconds(port: int, size: int, *, speaks_tls: bool = False) -> float:
    """Return how long a request with a body of `size` bytes takes until its response, which must be that number."""
    with connect(port, speaks_tls=speaks_tls) as client:
        started_at = time.perf_counter()
        client.sendall(POST % size)
        for start in range(0, size, len(UPLOAD_PIECE)):
            client.sendall(memoryview(UPLOAD_PIECE)[: size - start])
        length, read = read_head(client)
        seconds = time.perf_counter() - started_at
        while len(read) < length and (more := client.recv(length - len(read))):
            read += more
        if read != b"%d" % size:
            raise RuntimeError(f"the application says that it has read {read!r} of {size} bytes")
        return seconds
