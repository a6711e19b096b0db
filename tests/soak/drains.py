"""SIGTERM at random moments under load: each response is complete, or the connection ends before it starts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.soak.visits import PATIENT, RUDE, Ended, Visit
from tests.support.client import Client
from tests.support.servers import Spawned, spawned

ROOT = Path(__file__).parents[2]
CLIENTS = 10
LONGEST_LOAD = 0.5  # seconds before the signal comes


@contextlib.contextmanager
def serving_in_turn(times: int, folder: Path) -> Iterator[Spawned]:
    """Serve `times` times, one after the other; temporary files are in `folder`."""
    command = [sys.executable, "-m", "tests.soak.serve", str(times)]
    with spawned(command, cwd=ROOT, env={"TMPDIR": str(folder)}) as server:
        yield server


def next_server(server: Spawned) -> tuple[int, tuple[str, int]]:
    """Wait for the next server; return its process and address."""
    match = server.wait_for_line(r"(\d+) serves on (\d+)")
    return int(match[1]), ("127.0.0.1", int(match[2]))


class Load:
    """Clients that connect again and again, until `stop` or until no server listens.

    `answered` counts the visits without a fault, `cut` those that the server has ended; `wrong` describes the others.
    """

    def __init__(self, address: tuple[str, int], seed: int, clients: int = CLIENTS) -> None:
        self._address = address
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self.answered = 0
        self.cut = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._visit, args=(f"{seed}-{n}",)) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _visit(self, seed: str) -> None:
        choice = random.Random(seed)
        while not self._is_over.is_set():
            try:
                client = Client(self._address)
            except ConnectionError:
                return
            visit = choice.choice(PATIENT if choice.random() < 0.8 else RUDE)
            with client:
                self._count(client, visit, choice)

    def _count(self, client: Client, visit: Visit, choice: random.Random) -> None:
        try:
            visit(client, choice)
        except Ended:
            with self._lock:
                self.cut += 1
        except (AssertionError, OSError) as error:
            if visit in PATIENT:
                self.wrong.append(f"{visit.__name__}: {error!r}")
        else:
            with self._lock:
                self.answered += 1

    def stop(self) -> None:
        """Let each client end its visit; wait for all of them."""
        self._is_over.set()
        self.join()

    def join(self) -> None:
        """Wait until no client is left."""
        for thread in self._threads:
            thread.join()


def drain(server: Spawned, seed: int) -> Load:
    """End the next server under load, at a moment given by the seed; return the load with its counts."""
    process, address = next_server(server)
    load = Load(address, seed)
    time.sleep(random.Random(seed).uniform(0, LONGEST_LOAD))
    os.kill(process, signal.SIGTERM)
    load.join()
    left = server.wait_for_line(r"ended; (.*)")[1]
    if left != "left 0 threads, 0 descriptors":
        load.wrong.append(left)
    status = server.wait_for_line(r"exit status (-?\d+)")[1]
    if status != "0":
        load.wrong.append(f"exit status {status}")
    return load


def drain_often(times: int, folder: Path, report: Callable[[str], None]) -> bool:
    """Drain `times` servers; return whether nothing was wrong."""
    answered = cut = 0
    wrong = []
    with serving_in_turn(times, folder) as server:
        for seed in range(times):
            load = drain(server, seed)
            answered += load.answered
            cut += load.cut
            wrong += [f"seed {seed}: {text}" for text in load.wrong]
        server.wait()
    wrong += [line for line in server.log if "Traceback" in line or "cut off" in line]
    report(f"{times} drains under load: {answered} visits answered, {cut} ended before an answer, {len(wrong)} wrong")
    for text in wrong:
        report(f"  {text}")
    return not wrong
