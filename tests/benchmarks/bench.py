"""Measure this server beside its peers, in one run: `make bench CASES="hello16" ROUNDS=5`.

Every server runs the same application with 4 threads in one process, each in turn in every round, so that a machine
that drifts hurts all alike; read the ratios, not the figures. The load comes from wrk with one thread.

The result is printed as tables, or as Markdown with `--markdown`, and written as JSON (with versions and machine) where
`--output` says; `chart.py` draws that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.servers import OTHERS, Server, install, started, waitress_servers

APPLICATION = "applications:application"
OURS, OLD = waitress_servers("--connection-limit=1000")
LIMIT = Server("one loop", "", (sys.executable, "-m", "tests.benchmarks.limit", "{port}"))
SERVERS = (OURS, OLD, *OTHERS, LIMIT)
PURE_PYTHON = (OLD.name, *(server.name for server in OTHERS if not server.name.startswith("granian")))
NATIVE = tuple(server.name for server in OTHERS if server.name.startswith("granian"))

BROWSER_FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://127.0.0.1/start",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark; language=en",
    "DNT": "1",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-User": "?1",
    "Priority": "u=0, i",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Case:
    """What is asked of a server: path, connections at once, field lines beside Host; and what is aimed at.

    A target is a ratio of this server's requests per second to those of the best of some servers.
    """

    name: str
    title: str
    path: str
    connections: int
    fields: tuple[tuple[str, str], ...] = ()
    target_pure: float | None = None
    target_native: float | None = None


@dataclass
class Figures:
    """One measurement of one server."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    cpu_seconds: float
    peak_memory_kib: int


CASES = (
    Case("hello1", "13 octets, 1 connection", "/", 1, (), 2.0, 1.0),
    Case("hello16", "13 octets, 16 connections", "/", 16, (), 6.0, 0.8),
    Case("hello100", "13 octets, 100 connections", "/", 100, (), 6.0, 0.8),
    Case(
        "browser16",
        "a browser's fields, 10 KB, 16 connections",
        "/json",
        16,
        tuple(BROWSER_FIELDS.items()),
        5.0,
    ),
    Case("close16", "a connection for each request, 16 at once", "/", 16, (("Connection", "close"),), 2.0),
    Case("sleep20", "1 in 20 asleep for 20 ms, 16 connections", "/1-in-20", 16, (), None, 0.95),
    Case("sleep300", "1 in 300 asleep for 20 ms, 16 connections", "/1-in-300", 16, (), None, 0.95),
)
Results = dict[str, dict[str, list[Figures]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[c.name for c in CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--output", type=Path, help="write the result as JSON to this file")
    parser.add_argument("--markdown", action="store_true", help="print tables for a page")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is needed; on Debian and Ubuntu: apt-get install wrk", file=sys.stderr)
        return 1
    servers = [server for server in SERVERS if can_be_measured(server)]
    results: Results = {}
    for case in CASES:
        if case.name in options.cases:
            results[case.name] = measure_case(case, servers, options.rounds, options.seconds)
            print_case(case, results[case.name], is_markdown=options.markdown)
    if options.output is not None:
        write_json(results, options.output)
    return 0


def can_be_measured(server: Server) -> bool:
    """Install a server and try it; one that can not be had is named, and left out."""
    try:
        install(server)
        with started(server, APPLICATION):
            return True
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"{server.name} is left out: {error}", file=sys.stderr)
        return False


def measure_case(case: Case, servers: list[Server], rounds: int, seconds: int) -> dict[str, list[Figures]]:
    """Measure each server once a round."""
    results: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            with started(server, APPLICATION) as (process, port):
                load(case, port, 1)  # caches, and what a server makes at its first request
                before = cpu_seconds(process.pid)
                rate, p50, p99, failures = load(case, port, seconds)
                spent = cpu_seconds(process.pid) - before
                results[server.name].append(Figures(rate, p50, p99, failures, spent, peak_memory_kib(process.pid)))
    return results


def load(case: Case, port: int, seconds: int) -> tuple[float, float, float, int]:
    """Load a server; gives requests per second, p50 and p99 in ms, and how many requests failed."""
    fields = [item for name, value in case.fields for item in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--latency", *fields]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{case.path}"], check=True, capture_output=True, text=True
    ).stdout
    return read_wrk(output)


def read_wrk(output: str) -> tuple[float, float, float, int]:
    """Read what wrk prints; gives as `load`."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None:
        raise RuntimeError(f"wrk said: {output}")
    failed = re.findall(r"(?:Non-2xx or 3xx responses:|connect|write|timeout) (\d+)", output)
    return float(rate[1]), latency_ms(output, 50), latency_ms(output, 99), sum(map(int, failed))


def latency_ms(output: str, percentile: int) -> float:
    """Read one line of wrk's latency distribution."""
    match = re.search(rf"\b{percentile}%\s+([\d.]+)(us|ms|s)\b", output)
    if match is None:
        raise RuntimeError(f"wrk said: {output}")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def processes_of(pid: int) -> list[int]:
    """Give a process and its children: some servers have a manager and one worker."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(child for first in children for child in processes_of(int(first)))]


def cpu_seconds(pid: int) -> float:
    """Give the user and system time of a server's processes (proc_pid_stat(5))."""
    ticks = 0
    for process in processes_of(pid):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100  # USER_HZ, which Linux shows to programs on every machine


def peak_memory_kib(pid: int) -> int:
    """Give the sum of the peaks of the processes' resident memory."""
    statuses = [Path(f"/proc/{process}/status").read_text(encoding="ascii") for process in processes_of(pid)]
    return sum(int(match[1]) for status in statuses if (match := re.search(r"VmHWM:\s+(\d+) kB", status)))


def ratio(results: dict[str, list[Figures]], names: tuple[str, ...]) -> float | None:
    """Give the median over the rounds of this server's requests per second to the best of those servers."""
    there = [results[name] for name in names if results.get(name)]
    if not there:
        return None
    best = max(there, key=lambda rounds: statistics.median(f.requests_per_second for f in rounds))
    pairs = zip(results[OURS.name], best, strict=True)
    return statistics.median(ours.requests_per_second / theirs.requests_per_second for ours, theirs in pairs)


def print_case(case: Case, results: dict[str, list[Figures]], *, is_markdown: bool) -> None:
    """Print the medians of one case, and the ratios beside their targets."""
    columns = ("requests/s", "p50 ms", "p99 ms", "CPU s", "peak MiB", "failed")
    if is_markdown:
        print(f"\n### {case.title}\n\n| | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
        line = "| {:<16} | {:.0f} | {:.2f} | {:.2f} | {:.2f} | {:.1f} | {} |"
    else:
        print(f"\n{case.name}: {case.title}\n  {'':16}" + "".join(f"{column:>12}" for column in columns))
        line = "  {:<16}{:12.0f}{:12.2f}{:12.2f}{:12.2f}{:12.1f}{:12d}"
    for name, rounds in results.items():
        medians = [
            statistics.median(getattr(figures, column) for figures in rounds)
            for column in ("requests_per_second", "p50_ms", "p99_ms", "cpu_seconds", "peak_memory_kib")
        ]
        print(line.format(name, *medians[:4], medians[4] / 1024, sum(figures.failures for figures in rounds)))
    if is_markdown:
        print()
    for whom, names, target in (
        ("the best pure-Python peer", PURE_PYTHON, case.target_pure),
        ("granian", NATIVE, case.target_native),
        ("one loop", (LIMIT.name,), None),
    ):
        reached = ratio(results, names)
        if reached is not None:
            aim = "" if target is None else f", aimed at {target:g}: {'yes' if reached >= target else 'no'}"
            print(f"{'- ' if is_markdown else '  '}{reached:.2f} x {whom}{aim}", flush=True)


def write_json(results: Results, path: Path) -> None:
    """Write all figures, and what they were measured on."""
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "servers": list(next(iter(results.values()))),
    }
    cases = {case: {name: [asdict(f) for f in fs] for name, fs in table.items()} for case, table in results.items()}
    path.write_text(json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
