"""How one contender is measured: its server, the load and the resulting figures.

Most servers run for all rounds of a case, and are warm then: the functions that start one are context managers, and
give what measures it once. What changes a server for good, or is the start itself, has a new one for each round.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from tests.benchmarks.applications import LARGE_BYTES, LARGE_FILE
from tests.benchmarks.load import (
    allow_descriptors,
    download_seconds,
    handshakes_per_second,
    idle_connections,
    run_wrk,
    upload_seconds,
)
from tests.benchmarks.servers import (
    APPLICATION,
    HERE,
    ROOT,
    Server,
    environment,
    install,
    launch,
    started,
    stop,
    wait_until_it_listens,
)
from tests.benchmarks.usage import cpu_seconds, peak_memory_mib, resident_memory_mib
from tests.support.ports import free_port

Figures = dict[str, float]  # the name of a quantity: its value
Measure = Callable[[float], Figures]  # takes the seconds that a load lasts
Open = Callable[..., AbstractContextManager[Measure]]
Options = ParamSpec("Options")

WARM_UP_SECONDS = 1
FLASK = "flask==3.1.3"  # what shop.py requires
ORDER = HERE / "order.json"
BODIES_AT_ONCE = 4
STARTS = 7  # starts of a process for one figure
IMPORT = "import time; start = time.perf_counter(); import waitress; print((time.perf_counter() - start) * 1000)"


@dataclass(frozen=True)
class Quantity:
    """What a figure measures."""

    name: str
    """With its unit, as the head of a column."""
    decimals: int
    is_less_better: bool = False


REQUESTS = Quantity("requests/s", 0)
P50 = Quantity("p50 ms", 2, is_less_better=True)
P99 = Quantity("p99 ms", 2, is_less_better=True)
CPU = Quantity("CPU s", 2, is_less_better=True)
PEAK = Quantity("peak MiB", 1, is_less_better=True)
FAILED = Quantity("failed", 0, is_less_better=True)
SHARE = Quantity("server's share %", 0, is_less_better=True)
SPEED = Quantity("MB/s", 0)
NEW = Quantity("new handshakes/s", 0)
RESUMED = Quantity("resumed handshakes/s", 0)
RESIDENT = Quantity("MiB", 1, is_less_better=True)
IDLE_BYTES = Quantity("bytes for each", 0, is_less_better=True)
ACCEPTED = Quantity("ms until all are answered", 0, is_less_better=True)
IMPORTED = Quantity("import ms", 1, is_less_better=True)
MICROSECONDS = Quantity("us for each", 1, is_less_better=True)
RESPONDED = Quantity("ms to the first response", 1, is_less_better=True)


def each_round(
    measure: Callable[Concatenate[Server, float, Options], Figures],
) -> Callable[Concatenate[Server, Options], AbstractContextManager[Measure]]:
    """Let a measurement that starts its server by itself do so for each round."""

    @contextmanager
    @wraps(measure)
    def opened(server: Server, /, *arguments: Options.args, **options: Options.kwargs) -> Iterator[Measure]:
        yield lambda seconds: measure(server, seconds, *arguments, **options)

    return opened


@contextmanager
def requests(
    server: Server,
    *,
    path: str = "/",
    connections: int = 16,
    fields: tuple[tuple[str, str], ...] = (),
    body_bytes: int | None = None,
    body: bytes | None = None,
    idle: int = 0,
    warm_up_seconds: float = WARM_UP_SECONDS,
    application: str = APPLICATION,
    needs: str = "",
) -> Iterator[Measure]:
    """Measure many requests on some connections, next to idle ones."""
    allow_descriptors(connections + idle)
    ask = partial(run_wrk, path=path, connections=connections, fields=fields, body_bytes=body_bytes, body=body)
    if server.speaks_tls:
        ask = partial(ask, scheme="https")
    with (
        started(server, application, needs) as (process, port),
        idle_connections(port, idle, speaks_tls=server.speaks_tls),
    ):
        ask(port, seconds=warm_up_seconds)  # fills caches, and whatever a server makes at its first request

        def measure(seconds: float) -> Figures:
            before = cpu_seconds(process.pid)
            answers = ask(port, seconds=seconds)
            return {
                REQUESTS.name: answers.requests_per_second,
                P50.name: answers.p50_ms,
                P99.name: answers.p99_ms,
                CPU.name: cpu_seconds(process.pid) - before,
                PEAK.name: peak_memory_mib(process.pid),
                FAILED.name: answers.failures,
            }

        yield measure


@each_round
def requests_next_to_idle(server: Server, seconds: float, *, idle: int) -> Figures:
    """Measure many requests next to idle connections, which this process has for one server at a time."""
    with requests(server, idle=idle) as measure:
        return measure(seconds)


@contextmanager
def orders(server: Server, *, connections: int) -> Iterator[Measure]:
    """Measure an application in Flask, and which part of the processor time is the server's.

    The rest is the application's: what it takes on the same interpreter without a server.
    """
    install(FLASK)
    command = [server.python, "shop.py", "1"]
    with requests(
        server,
        path="/order",
        connections=connections,
        fields=(("Content-Type", "application/json"),),
        body=ORDER.read_bytes(),
        application="shop:application",
        needs=FLASK,
    ) as measure_requests:

        def measure(seconds: float) -> Figures:
            figures = measure_requests(seconds)
            alone = subprocess.run(
                command, cwd=HERE, env=environment(FLASK), check=True, capture_output=True, text=True
            )
            each = figures[CPU.name] / (figures[REQUESTS.name] * max(1, round(seconds))) * 1e6
            return {**figures, SHARE.name: (1 - float(alone.stdout) / each) * 100}

        yield measure


@contextmanager
def request_bodies(server: Server, *, count: int) -> Iterator[Measure]:
    """Measure many requests with a body of `count` bytes."""
    with requests(server, connections=BODIES_AT_ONCE, body_bytes=count) as measure:
        yield lambda seconds: _with_speed(measure(seconds), count)


@contextmanager
def response_bodies(server: Server, *, count: int) -> Iterator[Measure]:
    """Measure many responses with a body of `count` bytes."""
    with requests(server, connections=BODIES_AT_ONCE, path=f"/bytes/{count}") as measure:
        yield lambda seconds: _with_speed(measure(seconds), count)


def _with_speed(figures: Figures, size: int) -> Figures:
    return {SPEED.name: figures[REQUESTS.name] * size / 1e6, **figures}


def make_large_file() -> None:
    """Make the file of which the application responds with the content, unless it is there."""
    if not LARGE_FILE.exists():
        LARGE_FILE.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=LARGE_FILE.parent, delete=False) as file:
            file.truncate(LARGE_BYTES)
        Path(file.name).replace(LARGE_FILE)  # whole, for another process too


def download(server: Server, *, path: str) -> AbstractContextManager[Measure]:
    """Measure one large response at a time, for about `seconds`."""
    make_large_file()
    transfer = partial(download_seconds, path=path, speaks_tls=server.speaks_tls)
    return _transfers(server, lambda port: transfer(port)[0], LARGE_BYTES)


def upload(server: Server, *, size: int) -> AbstractContextManager[Measure]:
    """Measure one large request at a time, for about `seconds`."""
    return _transfers(server, partial(upload_seconds, size=size, speaks_tls=server.speaks_tls), size)


@contextmanager
def _transfers(server: Server, transfer: Callable[[int], float], size: int) -> Iterator[Measure]:
    with started(server) as (process, port):
        transfer(port)

        def measure(seconds: float) -> Figures:
            before = cpu_seconds(process.pid)
            until = time.perf_counter() + seconds
            lasted = [transfer(port)]
            while time.perf_counter() < until:
                lasted.append(transfer(port))
            return {
                SPEED.name: size / statistics.median(lasted) / 1e6,
                CPU.name: (cpu_seconds(process.pid) - before) / len(lasted),
                PEAK.name: peak_memory_mib(process.pid),
            }

        yield measure


@contextmanager
def handshakes(server: Server) -> Iterator[Measure]:
    """Measure TLS handshakes, one after the other: new ones, and resumed ones."""
    with started(server) as (process, port):
        handshakes_per_second(port, 1, resumes=False)

        def measure(seconds: float) -> Figures:
            before = cpu_seconds(process.pid)
            figures = {
                NEW.name: handshakes_per_second(port, seconds, resumes=False),
                RESUMED.name: handshakes_per_second(port, seconds, resumes=True),
            }
            return {**figures, CPU.name: cpu_seconds(process.pid) - before}

        yield measure


@each_round
def memory_of_idle(server: Server, seconds: float, *, count: int) -> Figures:
    """Measure how much the processes of a server grow for each connection that stays open after a request."""
    allow_descriptors(count)
    with started(server) as (process, port):
        with idle_connections(port, 50, speaks_tls=server.speaks_tls):
            pass  # the server makes whatever it makes at its first requests
        before = resident_memory_mib(process.pid)
        with idle_connections(port, count, speaks_tls=server.speaks_tls):
            after = resident_memory_mib(process.pid)
    return {IDLE_BYTES.name: (after - before) * 2**20 / count, RESIDENT.name: after}


@each_round
def accept(server: Server, seconds: float, *, count: int) -> Figures:
    """Measure clients that connect at the same time, each with a request."""
    allow_descriptors(count)
    with started(server) as (_, port):
        with idle_connections(port, 50):
            pass
        started_at = time.perf_counter()
        with idle_connections(port, count):
            return {ACCEPTED.name: (time.perf_counter() - started_at) * 1000}


@contextmanager
def parse(python: str, *, parser: str, data: str) -> Iterator[Measure]:
    """Measure one parser alone: see `parsers.py`."""

    def measure(seconds: float) -> Figures:
        command = [python, "-m", "tests.benchmarks.parsers", parser, data, str(seconds / 3)]
        run = subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True)
        rate = float(run.stdout)
        return {REQUESTS.name: rate, MICROSECONDS.name: 1e6 / rate}

    yield measure


@each_round
def start(server: Server, seconds: float) -> Figures:
    """Measure the import of waitress, and the time from the start of a server to its first response."""
    return {
        IMPORTED.name: statistics.median(import_ms(server) for _ in range(STARTS)),
        RESPONDED.name: statistics.median(first_response_ms(server) for _ in range(STARTS)),
    }


def import_ms(server: Server) -> float:
    command = [server.python, "-c", IMPORT]
    return float(subprocess.run(command, env=environment(), check=True, capture_output=True).stdout)


def first_response_ms(server: Server) -> float:
    port = free_port()
    started_at = time.perf_counter()
    process = launch(server, port)
    try:
        wait_until_it_listens(process, port, interval=0.001)
        download_seconds(port, "/")
        return (time.perf_counter() - started_at) * 1000
    finally:
        stop(process)
