"""What the system knows of this process: its memory, its descriptors, its start.

None is what the system does not report: Linux reports everything, macOS the descriptors, Windows nothing.
"""

import contextlib
import os
import sys
import time

_loaded_at = time.time()


def memory_bytes() -> int | None:
    """Return the resident memory of this process, in bytes."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def open_descriptors() -> int | None:
    """Return how many descriptors this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder)) - 1  # one of them reads the folder
    return None


def started_at() -> float:
    """Return when this process started, in seconds since 1970, or if that is unknown, when this was loaded."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open("/proc/self/stat", "rb") as stat:
                ticks = int(stat.read().rpartition(b")")[2].split()[19])  # the name before may have blanks and brackets
            with open("/proc/stat", "rb") as system:
                booted_at = next(int(line.split()[1]) for line in system if line.startswith(b"btime "))
            return booted_at + ticks / os.sysconf("SC_CLK_TCK")
    return _loaded_at
