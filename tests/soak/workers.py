"""Worker processes under a constant load while everything happens to them: `make soak-workers`, or this module alone.

Clients ask all the time, half of them on connections that they keep. Meanwhile: reloads, workers killed, workers
replaced after their requests, more and fewer workers, successors. Each phase prints its failed requests: none, but for
those that a killed worker takes with it. What it has run is known by the `Ledger`; the others are told apart by time:

    ran     the application had started it
    queued  it was sent before the kill, on a connection of the killed worker, which had not run it yet
    idle    it was sent after the kill, on a connection that the worker had open: a client that sees such a connection
            closed before it sends, or sends a GET again (RFC 9112 9.3.1), does not notice
    lost    none of these: a fault of the server
"""

import contextlib
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.support.platforms import signal_number
from tests.support.processes import becomes_true
from tests.support.servers import Spawned, spawned
from tests.support.steady_load import Failure, SteadyLoad

CLIENTS = 16  # of each kind
THREADS = 4  # of a worker: as many requests can run in it
RELOADS, KILLS, CHANGES, SUCCESSORS = 50, 20, 20, 5
FATES = ("ran", "queued", "idle", "lost")
MOST_REQUESTS = 1_000_000  # of a client
SECONDS = 120.0  # of any wait: only a fault takes so long

SHOP = """
import mmap, os

with open("ledger", "r+b") as file:
    ledger = mmap.mmap(file.fileno(), 0)

def application(environ, start_response):
    client, number = map(int, environ["HTTP_X_REQUEST"].split())
    ledger[client * MOST_REQUESTS + number] = 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Ledger:
    """Whether the application has started a request: a byte for each in a sparse file, which no kill can take away."""

    def __init__(self, folder: Path) -> None:
        path = folder / "ledger"
        with path.open("w+b") as file:
            file.truncate(2 * CLIENTS * MOST_REQUESTS)
            self._started = mmap.mmap(file.fileno(), 0)

    def note(self, client: int, number: int) -> None:
        """Note that a request has started, as the application does."""
        self._started[client * MOST_REQUESTS + number] = 1

    def has_started(self, failure: Failure) -> bool:
        """Whether the application has started this request."""
        return bool(self._started[failure.client * MOST_REQUESTS + failure.number])


class Kill(NamedTuple):
    """A worker that was killed: `at` is the instant before that, at `gone_at` the supervisor had waited for it."""

    pid: int
    at: float
    gone_at: float


def fate(failure: Failure, kills: Sequence[Kill], ledger: Ledger) -> str:
    """Return what became of a failed request: ran, queued, idle or lost."""
    kill = max((kill for kill in kills if kill.at <= failure.ended_at), key=lambda kill: kill.at, default=None)
    if kill is None or failure.connected_at > kill.gone_at or failure.last not in ("", str(kill.pid)):
        return "lost"
    if ledger.has_started(failure):
        return "ran"
    return "idle" if failure.connected_at < kill.at < failure.sent_at else "queued"


class Soak:
    """A server with two workers, and what is done to it."""

    def __init__(self, process: Spawned) -> None:
        self.wait_for = partial(process.wait_for_line, seconds=SECONDS)
        self.supervisor = process.process.pid
        self.kills: list[Kill] = []

    def workers(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text().split()
        ]

    def send(self, name: str) -> None:
        os.kill(self.supervisor, signal_number(name))

    def reload(self) -> None:
        self.send("SIGHUP")
        self.wait_for(r"Reloaded: \d+ worker")

    def kill(self) -> None:
        pid, at = random.choice(self.workers()), time.monotonic()
        os.kill(pid, signal_number("SIGKILL"))
        self.wait_for(rf"Worker {pid} has ended")
        self.kills.append(Kill(pid, at, time.monotonic()))
        self.wait_for(r"Worker \d+ serves")
        time.sleep(6)  # workers that die young make the supervisor pause, which is another matter

    def change_count(self) -> None:
        self.send("SIGTTIN")
        self.wait_for(r"Worker \d+ serves")
        self.send("SIGTTOU")
        self.wait_for(r"Worker \d+ has ended")

    def hand_over(self) -> None:
        self.send("SIGUSR2")
        self.supervisor = int(self.wait_for(r"process (\d+) takes over when it serves")[1])
        self.wait_for(r"serves in place of this one")


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[Soak, tuple[str, int]]]:
    (folder / "shop.py").write_text(f"{MOST_REQUESTS = }\n{SHOP}", encoding="utf-8")
    words = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "--workers=2", f"--threads={THREADS}", *options]
    with spawned([*words, "shop:application"], folder) as process:
        address = process.wait_for_address()
        soak = Soak(process)
        for _ in range(2):
            soak.wait_for(r"Worker \d+ serves")
        try:
            yield soak, address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(soak.supervisor, signal.SIGTERM)
            becomes_true(lambda: _has_ended(soak.supervisor), 60)


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def phase(load: SteadyLoad, name: str, count: int, do: Callable[[], object]) -> list[Failure]:
    """Do this so often under load; print how many requests have failed meanwhile, and return these."""
    failures, answers, started_at = len(load.failures), load.count, time.monotonic()
    for _ in range(count):
        do()
    time.sleep(1)
    failed, seconds = load.failures[failures:], time.monotonic() - started_at
    print(f"{count} x {name}: {len(failed)} of {load.count - answers} requests failed, in {seconds:.0f} s", flush=True)
    return failed


def is_as_expected(failed: Sequence[Failure], soak: Soak, ledger: Ledger) -> bool:
    """Print the fates of the requests that have failed; return whether kills explain all of them."""
    fates = [fate(failure, soak.kills, ledger) for failure in failed]
    counts = Counter(fates)
    if failed:
        print(f"    {', '.join(f'{counts[name]} {name}' for name in FATES)}", flush=True)
    for failure in [failure for failure, name in zip(failed, fates, strict=True) if name == "lost"][:5]:
        print(f"    {failure}", flush=True)
    return not counts["lost"] and counts["ran"] <= THREADS * len(soak.kills)


def main() -> int:
    """Run all phases; return 1 if a request has failed that should not."""
    is_right = True
    with tempfile.TemporaryDirectory() as name:
        folder, ledger = Path(name), Ledger(Path(name))
        with serving(folder) as (soak, address), SteadyLoad(address, keeping=CLIENTS, new=CLIENTS) as load:
            for does, count, do in (
                ("SIGHUP", RELOADS, soak.reload),
                ("SIGTTIN and SIGTTOU", CHANGES, soak.change_count),
                ("SIGUSR2", SUCCESSORS, soak.hand_over),
                ("kill -9 of a worker", KILLS, soak.kill),
            ):
                is_right &= is_as_expected(phase(load, does, count, do), soak, ledger)
        with serving(folder, "--max-requests=100") as (soak, address):
            with SteadyLoad(address, keeping=CLIENTS, new=CLIENTS) as load:
                does, do_wait = "a worker replaced (max_requests=100)", partial(soak.wait_for, "has ended$")
                is_right &= is_as_expected(phase(load, does, 20, do_wait), soak, ledger)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
