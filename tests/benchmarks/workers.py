"""Several workers, compared with one and with those of gunicorn and granian: python -m tests.benchmarks.workers

With `--python COMMAND` also two workers side by side on a free-threaded interpreter, which needs no packages. Linux.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import measure_case, read_options
from tests.benchmarks.cases import Case, Target, contenders
from tests.benchmarks.interpreters import server_on
from tests.benchmarks.measures import CPU, FAILED, P50, P99, REQUESTS, requests
from tests.benchmarks.report import as_text
from tests.benchmarks.servers import (
    OTHERS,
    Server,
    install,
    launch,
    stop,
    wait_until_it_listens,
    waitress_servers,
)
from tests.support.platforms import signal_number
from tests.support.ports import free_port

APPLICATION = "workers_application:application"
QUANTITIES = (REQUESTS, P50, P99, CPU, FAILED)
WORKERS = 4  # of the figures that are no throughput
CLIENTS = 100  # the share of each is counted
CONNECTIONS = 1000  # that come one after the other, for wake-ups
WAIT_SECONDS = 30.0


def ours(*options: str) -> Server:
    """Return this server with its workers as its name."""
    return replace(waitress_servers(*options)[0], name=f"waitress {' '.join(options)}")


def theirs(server: Server, workers: int, *options: str) -> Server:
    """Return a peer with so many workers."""
    words = [f"--workers={workers}" if word == "--workers=1" else word for word in server.command]
    name = f"{server.name} {' '.join([f'--workers={workers}', *options])}"
    return replace(server, name=name, command=(*words, *options))


GUNICORN = OTHERS[0]
GRANIAN = next(server for server in OTHERS if server.name.startswith("granian"))
ONE, TWO = ours("--workers=1"), ours("--workers=2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="a free-threaded interpreter")
    options = read_options(parser)
    for case in (*cases(), *side_by_side_cases(options.python)):
        print(as_text(case, measure_case(case, options.rounds, options.seconds)), flush=True)
    for line in figures(options.rounds):
        print(line, flush=True)


def cases() -> Iterator[Case]:
    """Return the cases of throughput with processes."""
    gunicorn, granian = theirs(GUNICORN, 2), theirs(GRANIAN, 2)
    for name, title, path, servers, targets in (
        ("work16", "2 ms of an application's work", "/work", (ONE, TWO), ((ONE, 1.9),)),
        ("hello16", "13 bytes", "/", (ONE, TWO, gunicorn, granian), ((gunicorn, 3.0), (granian, 0.8))),
    ):
        measure = partial(requests, path=path, application=APPLICATION)
        aims = tuple(Target(REQUESTS, (peer.name,), peer.name, aim, of=TWO.name) for peer, aim in targets)
        yield Case(name, f"{title}, 16 connections", contenders(servers, measure), QUANTITIES, aims)


def side_by_side_cases(pythons: list[str]) -> Iterator[Case]:
    """Return two cases for each interpreter. With one thread each: the threads of one worker have all processors."""
    for python in pythons:
        made = server_on(python)
        one_thread = tuple("--threads=1" if word.startswith("--threads=") else word for word in made.command)
        one = replace(made, name=f"{python}, one worker", command=one_thread)
        two = replace(one, name=f"{python}, two", command=(*one.command, "--workers=2"))
        for name, title, path, aim in (
            ("side-work16", "2 ms of work", "/work", 1.8),
            ("side-hello16", "13 bytes", "/", None),
        ):
            measure = partial(requests, path=path, application=APPLICATION)
            every, target = contenders((one, two), measure), Target(REQUESTS, (one.name,), one.name, aim, of=two.name)
            yield Case(name, f"{title}, side by side, one thread each", every, QUANTITIES, (target,))


def figures(rounds: int) -> Iterator[str]:
    """Measure all that is no throughput; return a line for each figure."""
    four = ours(f"--workers={WORKERS}")
    first, all_new = zip(*(reload_seconds(four) for _ in range(rounds)), strict=True)
    yield f"SIGHUP to the first answer of new code, {WORKERS} workers: {statistics.median(first):.2f} s"
    yield f"SIGHUP to the end of the last old worker, {WORKERS} workers: {statistics.median(all_new):.2f} s"
    preloaded = theirs(GUNICORN, WORKERS, "--preload")
    for server in (four, ours(f"--workers={WORKERS}", "--preload"), theirs(GUNICORN, WORKERS), preloaded):
        yield f"PSS of a worker: {worker_mib(server):.1f} MiB: {server.name}"
    for server in (ONE, four):
        yield f"wake-ups for a connection with one request: {wake_ups(server):.2f}: {server.name}"
    yield f"shares of {CLIENTS} connections, one after the other: {shares(four, at_once=False)}"
    yield f"shares of {CLIENTS} connections at once: {shares(four, at_once=True)}"


@contextmanager
def running(server: Server, workers: int = WORKERS) -> Iterator[tuple[int, int]]:
    """Run a server; yield the process id of its supervisor and its port, once so many workers have answered."""
    install(server.requirement)
    port = free_port()
    process = launch(server, port, APPLICATION)
    try:
        wait_until_it_listens(process, port)
        until = time.monotonic() + WAIT_SECONDS
        found: set[int] = set()
        while len(found) < workers:
            found.add(ask(port))
            if time.monotonic() > until:
                raise RuntimeError(f"{server.name} has {len(found)} workers that answer")
        yield process.pid, port
    finally:
        stop(process)


def ask(port: int) -> int:
    """Return the process id of the worker that answers a new connection."""
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as client:
        return asked(client)


def asked(client: socket.socket) -> int:
    client.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while b"\r\n\r\n" not in received or received.endswith(b"\r\n\r\n"):
        data = client.recv(65536)
        if not data:
            raise ConnectionError("it has ended")
        received += data
    return int(received.rpartition(b"\r\n\r\n")[2])


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def reload_seconds(server: Server) -> tuple[float, float]:
    """Return the time from SIGHUP to the first answer of a new worker, and to the end of the last old one."""
    with running(server) as (supervisor, port):
        old = set(children(supervisor))
        started_at = time.monotonic()
        os.kill(supervisor, signal_number("SIGHUP"))
        first = 0.0
        while old & set(children(supervisor)):
            if ask(port) not in old and not first:
                first = time.monotonic() - started_at
            time.sleep(0.005)
        return first or time.monotonic() - started_at, time.monotonic() - started_at


def worker_mib(server: Server) -> float:
    """Return the proportional set size of a worker that has answered requests: the mean of all."""
    with running(server) as (supervisor, port):
        for _ in range(20 * WORKERS):
            ask(port)
        found = []
        for child in children(supervisor):
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text(encoding="ascii")
            found.append(int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) / 1024)
        return statistics.mean(found)


def switches(pids: list[int]) -> int:
    """Return how often the threads of these processes have waited for something."""
    texts = [path.read_text(encoding="ascii") for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(count) for text in texts for count in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M))


def wake_ups(server: Server) -> float:
    """Return how often the workers wake up for a connection: for the client, for its request, and for its end."""
    one = "--workers=1" in server.command
    with running(server, 1 if one else WORKERS) as (supervisor, port):
        pids = [supervisor] if one else children(supervisor)
        before = switches(pids)
        for _ in range(CONNECTIONS):
            ask(port)
        return (switches(pids) - before) / CONNECTIONS


def shares(server: Server, *, at_once: bool) -> list[int]:
    """Return how many of the clients, all of which stay, each worker has."""
    with running(server) as (_, port), ExitStack() as stack:
        answers: Counter[int] = Counter()
        clients = []
        for _ in range(CLIENTS):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)))
            if not at_once:
                answers[asked(clients[-1])] += 1
        if at_once:
            answers.update(map(asked, clients))
        return sorted(answers.values())


if __name__ == "__main__":
    main()
