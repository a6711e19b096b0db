"""Measure this server beside its peers, in one run: `make bench CASES="hello16" ROUNDS=5`.

Every server runs the same application with 4 threads in one process, each in turn in every round, so that a machine
that drifts hurts all alike; read the ratios, not the figures. The load comes from wrk with one thread.

The result is printed as a table, and written as JSON (with versions and machine) where `--output` says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".venvs" / "bench"
START_SECONDS = 20.0

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
    """What is asked of a server: path, connections at once, field lines beside Host."""

    name: str
    path: str
    connections: int
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Server:
    """A server: the command that starts it; the requirement that installs it, unless it is this project's."""

    name: str
    command: tuple[str, ...]
    requirement: str | None


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
    Case("hello1", "/", 1),
    Case("hello16", "/", 16),
    Case("hello100", "/", 100),
    Case("browser16", "/json", 16, tuple(BROWSER_FIELDS.items())),
)
APPLICATION = str(HERE / "applications.py")
SERVERS = (
    Server("this", (sys.executable, "-I", APPLICATION), None),
    Server("waitress 3.0.2", (str(PEERS / "bin" / "python"), "-I", APPLICATION), "waitress==3.0.2"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[c.name for c in CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--output", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is needed; on Debian and Ubuntu: apt-get install wrk", file=sys.stderr)
        return 1
    install_peers()
    results = {}
    for case in CASES:
        if case.name in options.cases:
            results[case.name] = measure_case(case, options.rounds, options.seconds)
            print_case(case, results[case.name])
    if options.output is not None:
        machine = {
            "python": platform.python_version(),
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "servers": [server.requirement or server.name for server in SERVERS],
        }
        cases = {case: {name: [asdict(f) for f in fs] for name, fs in table.items()} for case, table in results.items()}
        options.output.write_text(json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n", encoding="utf-8")
    return 0


def install_peers() -> None:
    """Make a virtual environment with the peers, of the interpreter that runs this."""
    requirements = [server.requirement for server in SERVERS if server.requirement is not None]
    stamp = PEERS / "requirements.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").split("\n") == requirements:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
    pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements], check=True)
    stamp.write_text("\n".join(requirements), encoding="utf-8")


def measure_case(case: Case, rounds: int, seconds: int) -> dict[str, list[Figures]]:
    """Measure each server once a round."""
    results: dict[str, list[Figures]] = {server.name: [] for server in SERVERS}
    for _ in range(rounds):
        for server in SERVERS:
            with started(server) as (port, pid):
                load(case, port, 1)  # caches, and what a server makes at its first request
                before = cpu_seconds(pid)
                rate, p50, p99, failures = load(case, port, seconds)
                results[server.name].append(
                    Figures(rate, p50, p99, failures, cpu_seconds(pid) - before, peak_memory_kib(pid))
                )
    return results


@contextmanager
def started(server: Server) -> Iterator[tuple[int, int]]:
    """Run a server; gives its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    process = subprocess.Popen(server.command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{server.name} has not started") from None
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


def load(case: Case, port: int, seconds: int) -> tuple[float, float, float, int]:
    """Load a server; gives requests per second, p50 and p99 in ms, and how many requests failed."""
    fields = [item for name, value in case.fields for item in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--latency", *fields]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{case.path}"], check=True, capture_output=True, text=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None:
        raise RuntimeError(f"wrk said: {output}")
    failed = re.findall(r"(?:Non-2xx or 3xx responses:|read|write|timeout) (\d+)", output)
    return float(rate[1]), latency_ms(output, 50), latency_ms(output, 99), sum(map(int, failed))


def latency_ms(output: str, percentile: int) -> float:
    """Read one line of wrk's latency distribution."""
    match = re.search(rf"\b{percentile}%\s+([\d.]+)(us|ms|s)\b", output)
    if match is None:
        raise RuntimeError(f"wrk said: {output}")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def cpu_seconds(pid: int) -> float:
    """Give the user and system time of a process (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # USER_HZ, which Linux shows to programs on every machine


def peak_memory_kib(pid: int) -> int:
    """Give the peak of a process's resident memory."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(match[1]) if match else 0


def print_case(case: Case, results: dict[str, list[Figures]]) -> None:
    """Print the medians of one case, and each round's ratio of this server to its peer as a median."""
    print(f"\n{case.name}: {case.path}, {case.connections} connection(s), {len(case.fields)} fields beside Host")
    print(f"  {'':16}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'cpu s':>8}{'peak MiB':>10}{'failed':>8}{'ratio':>8}")
    own = [figures.requests_per_second for figures in results[SERVERS[0].name]]
    for name, rounds in results.items():
        ratio = statistics.median(a / b.requests_per_second for a, b in zip(own, rounds, strict=True))
        print(
            f"  {name:16}"
            f"{statistics.median(f.requests_per_second for f in rounds):12.0f}"
            f"{statistics.median(f.p50_ms for f in rounds):9.2f}"
            f"{statistics.median(f.p99_ms for f in rounds):9.2f}"
            f"{statistics.median(f.cpu_seconds for f in rounds):8.2f}"
            f"{statistics.median(f.peak_memory_kib for f in rounds) / 1024:10.1f}"
            f"{sum(f.failures for f in rounds):8d}"
            f"{ratio:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
