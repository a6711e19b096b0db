"""How long a healthy client waits during each attack: `python -m tests.benchmarks.attacks`.

Prints the column "now" of the table in docs/explanation/security.md, in seconds: the shortest and the longest of some
waits. The server runs at default settings, in another process; the attackers are those of the tests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.functional.test_crowds import enough_descriptors
from tests.functional.test_fairness import (
    APPLICATION,
    ATTACKERS,
    ATTACKS,
    FULL,
    LONG_HEADS,
    Attack,
    longest_wait_during,
)
from tests.support.processes import Program, serving_program

HEALTHY_REQUESTS = 10
HEADS = 90
ROUNDS_OF_HEADS = 3


def waits_during(served: Program, name: str) -> list[float]:
    """Attack with more clients than there is room for; return how long each healthy one has waited for its answer."""
    waits = []
    with Attack(served.address, name, ATTACKERS):
        served.process.wait_for_line(FULL)
        for _ in range(HEALTHY_REQUESTS):
            started_at = time.monotonic()
            with served.client() as healthy:
                assert healthy.get().body == b"ok"
            waits.append(time.monotonic() - started_at)
    return waits


def waits_during_heads(served: Program, name: str) -> list[float]:
    """Complete many heads at once, some times; return the longest wait of each time."""
    return [longest_wait_during(served, LONG_HEADS[name], HEADS)[0] for _ in range(ROUNDS_OF_HEADS)]


def main(names: Sequence[str]) -> None:
    """Measure the attacks of these names, or all."""
    measures: dict[str, Callable[[Program, str], list[float]]] = {
        **dict.fromkeys(ATTACKS, waits_during),
        **dict.fromkeys(LONG_HEADS, waits_during_heads),
    }
    for name in names or measures:
        with tempfile.TemporaryDirectory() as folder, enough_descriptors(3 * ATTACKERS):
            (Path(folder) / "eight").write_bytes(bytes(8_000_000))
            with serving_program(APPLICATION, Path(folder)) as served:
                waits = measures[name](served, name)
        print(f"{name:<32} {min(waits):.3f} to {max(waits):.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
