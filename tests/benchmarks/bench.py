"""Measure this server and its peers in one run: `make bench CASES="hello16" ROUNDS=5`.

Every server runs the same application with 4 threads in one process. The servers of a case all run from its first
round to its last; each is measured once in every round, in turn, so that a change in the speed of the machine affects
all of them. Read the ratios, not the figures. Most of the load comes from wrk with one thread.

The result of each case is printed, and how noisy its run was: by how much the middle half of one contender's rounds
differs, and which part of the processors' time the machine's host gave to others. A case that is too noisy is measured
again, up to three times in all. `--output` writes the figures of the quietest attempts as JSON, with the versions and
the machine. If the file has figures of the same commit, machine and day, those of other cases stay. `report.py` makes
tables from the file, unless a case is still too noisy, and `chart.py` a chart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import CASES, SETTINGS, Case
from tests.benchmarks.load import CannotLoad, find_wrk
from tests.benchmarks.measures import Figures, Measure
from tests.benchmarks.report import MOST_NOISE, Table, as_text, spread
from tests.benchmarks.servers import ROOT, install
from tests.benchmarks.usage import stolen_and_all_ticks
from waitress import __version__

ATTEMPTS = 3  # the machine has noisy minutes; one that is always noisy is not worth more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[c.name for c in CASES])
    parser.add_argument("--output", type=Path, help="write the result as JSON to this file")
    options = read_options(parser)
    result = earlier_result(options.output, machine(options.rounds))
    for case in CASES:
        if case.name in options.cases:
            result["cases"][case.name], result["steal"][case.name] = measure_quietly(
                case, options.rounds, options.seconds
            )
            if options.output is not None:  # after each case, so that its figures are kept if a later one fails
                options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def earlier_result(output: Path | None, machine: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the file if the commit, machine and day are the same; else an empty result."""
    if output is not None and output.exists():
        result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        if result["machine"] == machine:
            return result
    return {"machine": machine, "servers": SETTINGS, "cases": {}, "steal": {}}


def read_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the arguments and add those of every measurement; end the program if wrk is not installed."""
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1, help="length of one load")
    options = parser.parse_args()
    try:
        find_wrk()
    except CannotLoad as error:
        parser.exit(1, f"{error}\n")
    return options


def measure_quietly(case: Case, rounds: int, seconds: float) -> tuple[Table, float]:
    """Measure a case, again while it is too noisy to be published; return the quietest table, and its steal time."""
    attempts: list[tuple[Table, float]] = []
    while len(attempts) < ATTEMPTS:
        stolen, ticks = stolen_and_all_ticks()
        table = measure_case(case, rounds, seconds)
        now_stolen, now_ticks = stolen_and_all_ticks()
        steal = (now_stolen - stolen) / max(1, now_ticks - ticks)
        print(as_text(case, table))
        print(f"  noise: the rounds differ by {spread(case, table):.0%}, steal time {steal:.1%}", flush=True)
        attempts.append((table, steal))
        if max(spread(case, table), steal) <= MOST_NOISE:
            break
    return min(attempts, key=lambda attempt: max(spread(case, attempt[0]), attempt[1]))


def measure_case(case: Case, rounds: int, seconds: float) -> Table:
    """Measure each contender once a round; print the name of one that cannot be measured, and leave it out."""
    table: Table = {}
    measures: dict[str, Measure] = {}
    with ExitStack() as stack:
        for contender in case.contenders:
            with left_out_if_it_fails(contender.name):
                install(contender.requirement)
                measures[contender.name] = stack.enter_context(contender.open())
                table[contender.name] = []
        for _ in range(rounds):
            for name in list(table):
                figures: Figures = {}
                with left_out_if_it_fails(name):
                    figures = measures[name](seconds)
                if figures:
                    table[name].append(figures)
                else:
                    del table[name]
    return table


@contextmanager
def left_out_if_it_fails(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"{name} is left out: {error}", file=sys.stderr)


def machine(rounds: int) -> dict[str, Any]:
    """Return the version that is measured, and the machine."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True)  # its exit status is not 0
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "date": date.today().isoformat(),
        "version": " ".join([__version__, *commit.stdout.split()]),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "processor": processor[1] if processor else platform.processor(),
        "processors": os.cpu_count(),
        "wrk": wrk.stdout.partition("\n")[0],
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
