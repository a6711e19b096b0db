"""This server on several interpreters, in turn: python -m tests.benchmarks.interpreters [--rounds 3] PYTHON PYTHON...

Each PYTHON is a command such as `pypy3` or "env PYTHON_GIL=0 python3.13t", and needs no packages. The others are
compared with the first. They run the code of this repository with four threads in one process.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from functools import partial

from tests.benchmarks.bench import measure_case, read_options
from tests.benchmarks.cases import ANSWERS, BROWSER_FIELDS, Case, Target, contenders
from tests.benchmarks.measures import REQUESTS, Open, requests
from tests.benchmarks.report import as_text
from tests.benchmarks.servers import HERE, ROOT, Server, waitress_options

SOURCES = ":".join(map(str, [*sorted(ROOT.glob("packages/*/src")), HERE]))
WARM_UP_SECONDS = 8  # a just-in-time compiler needs this long

MEASURED: tuple[tuple[str, str, Open], ...] = (
    ("hello16", "13 bytes, 16 connections", requests),
    (
        *("browser16", "a browser's fields, 10 KB, 16 connections"),
        partial(requests, path="/json", fields=BROWSER_FIELDS),
    ),
    ("work16", "1 ms of an application's work, 16 connections", partial(requests, path="/work")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    options = read_options(parser)
    for case in cases_of(options.pythons):
        print(as_text(case, measure_case(case, options.rounds, options.seconds)), flush=True)


def cases_of(pythons: Sequence[str]) -> Iterator[Case]:
    """Return the cases, in which each interpreter is compared with the first."""
    servers = [server_on(python) for python in pythons]
    first, *others = pythons
    targets = tuple(Target(REQUESTS, (first,), first, of=python) for python in others)
    for name, title, measure in MEASURED:
        yield Case(name, title, contenders(servers, measure, warm_up_seconds=WARM_UP_SECONDS), ANSWERS, targets)


def server_on(python: str) -> Server:
    """Return this server on an interpreter, which needs no packages."""
    # With `env`, because `servers.environment` sets a path with the application only.
    command = ("env", f"PYTHONPATH={SOURCES}", *shlex.split(python), "-m", "waitress", *waitress_options())
    return Server(python, "", command)


if __name__ == "__main__":
    main()
