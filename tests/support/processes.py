"""An application served by its own process, and what the system reports of a process."""

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import over_tls, side_by_side
from .client import TIMEOUT, Client
from .servers import Spawned, spawned_script
from .times import SHORT_TICKS

if sys.platform == "win32":  # where what asks for them is skipped
    PAGE_BYTES = TICKS_PER_SECOND = 1
else:
    PAGE_BYTES, TICKS_PER_SECOND = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")

SECONDS = 120.0  # bound of every wait: only a fault takes so long

MOMENT = 0.3  # seconds in which a process that has nothing to do is watched
MOST_SWITCHES = 30  # an idle server has some 14 at a tick, once a second; a loop that waits a millisecond has 600
MOST_BUSY_SECONDS = 0.1  # a busy loop is busy all the time, also where others have the processors

PROGRAM = """
import logging
from waitress_core import create_server

logging.basicConfig(level=logging.INFO)
{source}

if __name__ == "__main__":
    server = create_server(application, **{settings!r})
    for url in server.urls:
        logging.info("Serving on %s", url)
    server.run()
    {at_end}
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="needs /proc, which tells of another process's descriptors and memory"
)
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs, on which an application can wait")


@dataclass
class Program:
    """A process that serves."""

    process: Spawned
    address: tuple[str, int]

    @property
    def id(self) -> int:
        return self.process.process.pid

    def client(self, timeout: float = TIMEOUT) -> Client:
        """Connect to it."""
        return Client(self.address, timeout)


@contextlib.contextmanager
def serving_program(
    source: str, tmp_path: Path, at_end: str = "", *, has_short_ticks: bool = False, **settings: Any
) -> Iterator[Program]:
    """Serve the `application` that the text defines, in its own process; `at_end` is one statement after `run`."""
    if has_short_ticks:
        source = SHORT_TICKS + source
    settings.setdefault("listen", "127.0.0.1:0")
    settings = side_by_side.settings_for(over_tls.settings_for(settings))
    text = PROGRAM.format(source=source, settings=settings, at_end=at_end)
    with spawned_script(text, tmp_path) as process:
        yield Program(process, process.wait_for_address())


def open_descriptors(process_id: int | str = "self") -> int:
    """Count the descriptors that a process has open; while it counts its own, the one of the counting is among them."""
    return len(os.listdir(f"/proc/{process_id}/fd"))


def resident_bytes(process_id: int) -> int:
    """Return the memory of a process that is in use."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * PAGE_BYTES


def peak_bytes(process_id: int) -> int:
    """Return the most memory that a process has had in use since its start."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def cpu_seconds(process_id: int) -> float:
    """Return the CPU time that all threads of a process have used, to a hundredth of a second."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@dataclass
class Activity:
    """What all threads of a process have done so far: busy is running, or waiting for a processor."""

    busy_seconds: float
    switches: int
    is_runnable: bool  # at this moment: a thread that waits for a processor has no time for that before it gets one

    @classmethod
    def of(cls, process_id: int) -> "Activity":
        threads = list(Path(f"/proc/{process_id}/task").iterdir())
        texts = [(thread / "status").read_text() for thread in threads]
        switches = sum(int(count) for text in texts for count in re.findall(r"ctxt_switches:\s*(\d+)", text))
        is_runnable = any(re.search(r"^State:\s*R", text, re.MULTILINE) for text in texts)
        try:
            times = [(thread / "schedstat").read_text().split()[:2] for thread in threads]
        except FileNotFoundError:  # a kernel without it
            return cls(cpu_seconds(process_id), switches, is_runnable)
        busy_seconds = sum(int(nanoseconds) for pair in times for nanoseconds in pair) / 1e9
        return cls(busy_seconds, switches, is_runnable)


def comes_to_rest(process_id: int, seconds: float = SECONDS, most_switches: int = MOST_SWITCHES) -> bool:
    """Wait until a process does nothing for MOMENT: no busy loop, and no more context switches than a tick makes.

    At first the system's buffers and the process's own may still be filling. With short ticks there are more switches.
    """

    def is_at_rest() -> bool:
        try:
            before = Activity.of(process_id)
            time.sleep(MOMENT)
            after = Activity.of(process_id)
        except (FileNotFoundError, ProcessLookupError):  # one of its threads has ended meanwhile
            return False
        switches, busy_seconds = after.switches - before.switches, after.busy_seconds - before.busy_seconds
        return switches <= most_switches and busy_seconds <= MOST_BUSY_SECONDS and not after.is_runnable

    return becomes_true(is_at_rest, seconds)


def stopwatch(process_id: int) -> Callable[[], float]:
    """Return a function that returns the seconds from now on, less those in which a thread waited for a processor.

    Threads of a process and of this one count. So a client seems to wait for a server, and not for the other programs
    of a busy machine. Threads wait at once, so there it may seem to wait for less than it does; on a quiet machine, and
    where the system does not report it, this is a clock.
    """
    before, started_at = _waits_for_a_processor(process_id), time.monotonic()

    def seconds() -> float:
        elapsed = time.monotonic() - started_at
        after = _waits_for_a_processor(process_id)
        return elapsed - sum(waited - before.get(thread, 0) for thread, waited in after.items()) / 1e9

    return seconds


def _waits_for_a_processor(process_id: int) -> dict[str, int]:
    """Return for how many nanoseconds each thread has been runnable, but not running."""
    waits = {}
    for process in (str(process_id), "self"):
        for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                waits[path.parent.name] = int(path.read_text().split()[1])
    return waits


def becomes_true(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Look again and again, for what has no event to wait for, until it is so or the time is up."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def text_of(path: Path) -> str:
    """Return the text of a file that another process writes; empty until it is there."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def wait_until_accepted(server: Spawned, address: tuple[str, int], seconds: float = SECONDS) -> None:
    """Wait until a program that does not report when it is ready accepts a connection; it must not end before."""

    def is_accepted_or_has_ended() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(address):
            return True
        return server.process.poll() is not None

    assert becomes_true(is_accepted_or_has_ended, seconds), (server.log, server.output)
    assert server.process.poll() is None, (server.log, server.output)


def thread_count(process_id: int) -> int:
    """Return the number of a process's threads."""
    return len(os.listdir(f"/proc/{process_id}/task"))
