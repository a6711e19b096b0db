"""How many workers suit this machine: what `workers=auto` means.

Thread: any, when settings are read.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from .faults import SettingsFault

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def default_worker_count(most: int) -> int:
    """Return what WEB_CONCURRENCY says, as Heroku and others set it; otherwise the usable processors, `most` at most.

    Raises:
        SettingsFault: WEB_CONCURRENCY is set, and is no such number.
    """
    given = os.environ.get("WEB_CONCURRENCY", "").strip()
    if given:
        try:
            count = int(given)
        except ValueError:
            count = 0
        if not 1 <= count <= most:
            raise SettingsFault(
                "{workers}=auto reads WEB_CONCURRENCY={given!r} from the environment: expected a whole number from 1 "
                "to {most}, or no value",
                given=given,
                most=most,
            )
        return count
    return min(usable_processors(), most) if hasattr(os, "fork") else 1


def usable_processors() -> int:
    """Return how many processors this process may use: its affinity, and the CPU quota of its cgroups, rounded up."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; -X cpu_count and PYTHON_CPU_COUNT change it
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    return max(1, min([count or 1, *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the processors that each cgroup above this process grants, where it sets a limit: version 2, then 1."""
    for folder in _own_folders(""):
        words = _words(folder / "cpu.max")
        if len(words) == 2 and words[0] != "max":
            yield int(words[0]) / int(words[1])
    for folder in _own_folders("cpu"):
        quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
        if quota and period and int(quota[0]) > 0:
            yield int(quota[0]) / int(period[0])


def _own_folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of those above it, as far as the container shows them."""
    root = CGROUPS / controller
    yield root  # in a container with a cgroup namespace this is its own
    for line in _lines(OWN_CGROUPS):
        _, controllers, path = line.split(":", 2)  # cgroups(7): hierarchy, controllers, path
        if controller in controllers.split(","):
            own = Path(path.lstrip("/"))
            yield from (root / above for above in (own, *own.parents) if above != Path("."))


def _words(path: Path) -> list[str]:
    lines = _lines(path)
    return lines[0].split() if lines else []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
