"""Processor time and memory of the processes of a server, from Linux. Each figure is a sum over them."""

from __future__ import annotations

import re
from pathlib import Path


def processes_of(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(child for first in children for child in processes_of(int(first)))]


def cpu_seconds(pid: int) -> float:
    """Return the user and system time (proc_pid_stat(5))."""
    ticks = 0
    for process in processes_of(pid):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100  # USER_HZ, which Linux shows to programs on every machine


def peak_memory_mib(pid: int) -> float:
    """Return the sum of the peaks of the processes' resident memory."""
    return _status_kib(pid, "VmHWM") / 1024


def resident_memory_mib(pid: int) -> float:
    """Return the memory that is in use now."""
    return _status_kib(pid, "VmRSS") / 1024


def stolen_and_all_ticks() -> tuple[int, int]:
    """Return the time of all processors since the start of the machine: what its host gave to others, and all."""
    line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    ticks = [int(word) for word in line.split()[1:9]]  # those after "steal" are contained in others: proc_stat(5)
    return ticks[7], sum(ticks)


def _status_kib(pid: int, name: str) -> int:
    statuses = [Path(f"/proc/{process}/status").read_text(encoding="ascii") for process in processes_of(pid)]
    return sum(int(match[1]) for status in statuses if (match := re.search(rf"{name}:\s+(\d+) kB", status)))
