"""Load for minutes, and a check for leaks: `python -m tests.soak.soak MINUTES`, or `make soak MINUTES=10`.

Clients come in rounds. After each round, when all have left, the memory, descriptors and threads of the server are
recorded. A line is fitted to each, without the first rounds, in which an allocator takes memory that it keeps. At the
end a server is ended a hundred times under load. The exit status is 1 if a line rises or a client has seen a fault.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.soak.drains import Load, drain_often, next_server, serving_in_turn
from tests.support.client import Client
from tests.support.processes import becomes_true, open_descriptors, resident_bytes, thread_count

ROUND_SECONDS = 5.0
REST_SECONDS = 5.0  # in this time everything that belongs to past clients must be gone
WARM_UP = 0.25  # fraction of the time
CLIENTS = 24
MOST_DRAINS, DRAINS_A_MINUTE = 100, 10  # one takes about a second
# How much a line may rise from its start to its end. Memory rises a little without a leak, because allocations of all
# sizes leave gaps; blocks do not. One object lost in twenty visits shows in the blocks within a few minutes.
MOST_GROWTH = {"memory": 8 << 20, "blocks": 1000, "descriptors": 1, "threads": 1}


class Sample(NamedTuple):
    """The resources of the server without clients; `at` in minutes."""

    at: float
    memory: int
    blocks: int
    descriptors: int
    threads: int


def sample(at: float, process: int, address: tuple[str, int]) -> Sample:
    """Return the resources of the server now."""
    with Client(address) as client:
        blocks = int(client.get("/blocks").body)
        return Sample(at, resident_bytes(process), blocks, open_descriptors(process), thread_count(process))


def soak(minutes: float, folder: Path) -> bool:
    """Serve under load for `minutes`; return whether nothing was wrong."""
    samples: list[Sample] = []
    answered = 0
    wrong: list[str] = []
    with serving_in_turn(1, folder) as server:
        process, address = next_server(server)
        with Client(address) as client:
            assert client.get().status == 200
        at_rest = open_descriptors(process)  # that of this client may be among them
        started_at = time.monotonic()
        while (at := (time.monotonic() - started_at) / 60) < minutes:
            load = Load(address, len(samples), CLIENTS)
            time.sleep(ROUND_SECONDS)
            load.stop()
            answered += load.answered
            wrong += load.wrong
            # A server that leaks does not get back to the number before its first client; it is sampled all the same.
            becomes_true(lambda: open_descriptors(process) <= at_rest, REST_SECONDS)
            samples.append(sample(at, process, address))
            line = "at {:6.2f} min: {:>11,} bytes, {:,} blocks, {} descriptors, {} threads"
            print(line.format(*samples[-1]), flush=True)
        os.kill(process, signal.SIGTERM)
        server.wait()
    wrong += [line for line in server.log if "Traceback" in line or line.startswith("ERROR")]
    wrong += [line for line in server.log if "; left" in line and not line.endswith("left 0 threads, 0 descriptors")]
    print(f"{answered} visits answered in {minutes:.1f} min, {len(wrong)} wrong")
    for text in wrong:
        print(f"  {text}")
    return is_level(samples) and not wrong


def is_level(samples: list[Sample]) -> bool:
    """Print the slope of each line; return whether none rises."""
    kept = samples[int(len(samples) * WARM_UP) :]
    if len(kept) < 3:
        print("too short for a slope")
        return False
    times = [sample.at for sample in kept]
    level = True
    for name, most in MOST_GROWTH.items():
        slope = statistics.linear_regression(times, [getattr(sample, name) for sample in kept]).slope
        growth = slope * (times[-1] - times[0])
        verdict = "level" if growth < most else "RISES"
        print(f"{name}: {slope:+,.2f} a minute, {growth:+,.2f} in {times[-1] - times[0]:.1f} minutes: {verdict}")
        level = level and growth < most
    return level


def main(minutes: float) -> int:
    """Run the drains and, for the rest of the time, the soak; return the exit status."""
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        is_well = drain_often(max(1, min(MOST_DRAINS, round(minutes * DRAINS_A_MINUTE))), Path(folder), print)
        is_well = soak(minutes - (time.monotonic() - started_at) / 60, Path(folder)) and is_well
        left = os.listdir(folder)
    if left:
        print(f"temporary files left: {left}")
    print("Nothing wrong" if is_well and not left else "SOMETHING IS WRONG: see above")
    return 0 if is_well and not left else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
