"""Worker processes under a constant load while everything happens to them: `make soak`, or this module alone.

Clients ask all the time, half of them on connections that they keep. Meanwhile: reloads, workers killed, workers
replaced after their requests, more and fewer workers, successors. Each phase prints its failed requests: none, but for
those that a killed worker was running.
"""

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.support.platforms import signal_number
from tests.support.processes import becomes_true
from tests.support.servers import Spawned, spawned
from tests.support.steady_load import SteadyLoad

CLIENTS = 16  # of each kind
RELOADS, KILLS, CHANGES, SUCCESSORS = 50, 20, 20, 5
SECONDS = 120.0  # of any wait: only a fault takes so long

SHOP = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Soak:
    """A server with two workers, and what is done to it."""

    def __init__(self, process: Spawned) -> None:
        self.wait_for = partial(process.wait_for_line, seconds=SECONDS)
        self.supervisor = process.process.pid

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
        pid = random.choice(self.workers())
        os.kill(pid, signal_number("SIGKILL"))
        self.wait_for(rf"Worker {pid} has ended")
        self.wait_for(r"Worker \d+ serves")
        time.sleep(6)  # workers that die young make the supervisor pause, which is another matter

    def change_count(self) -> None:
        self.send("SIGTTIN")
        self.wait_for(r"Worker \d+ serves")
        self.send("SIGTTOU")
        self.wait_for(r"Worker \d+ has ended")

    def hand_over(self) -> None:
        self.send("SIGUSR2")
        self.supervisor = int(self.wait_for(r"process (\d+) is to take over")[1])
        self.wait_for(r"serves in place of this one")


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[Soak, tuple[str, int]]]:
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    words = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "--workers=2", *options, "shop:application"]
    with spawned(words, folder) as process:
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


def phase(load: SteadyLoad, name: str, count: int, do: Callable[[], object]) -> int:
    """Do this so often under load; print and return how many requests have failed meanwhile."""
    failures, answers, started_at = len(load.failures), load.count, time.monotonic()
    for _ in range(count):
        do()
    time.sleep(1)
    failed, seconds = load.failures[failures:], time.monotonic() - started_at
    print(f"{count} x {name}: {len(failed)} of {load.count - answers} requests failed, in {seconds:.0f} s", flush=True)
    for failure in sorted(set(failed))[:5]:
        print(f"    {failure}", flush=True)
    return len(failed)


def main() -> int:
    """Run all phases; return 1 if a request has failed that should not."""
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        with serving(Path(name)) as (soak, address), SteadyLoad(address, keeping=CLIENTS, new=CLIENTS) as load:
            wrong += phase(load, "SIGHUP", RELOADS, soak.reload)
            wrong += phase(load, "SIGTTIN and SIGTTOU", CHANGES, soak.change_count)
            wrong += phase(load, "SIGUSR2", SUCCESSORS, soak.hand_over)
            killed = phase(load, "kill -9 of a worker", KILLS, soak.kill)
            wrong += killed > KILLS * 2 * CLIENTS
        with serving(Path(name), "--max-requests=100") as (soak, address):
            with SteadyLoad(address, keeping=CLIENTS, new=CLIENTS) as load:
                wrong += phase(load, "a worker replaced (max_requests=100)", 20, lambda: soak.wait_for("has ended$"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
