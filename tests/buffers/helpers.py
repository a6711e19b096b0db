"""Helpers for the tests of the buffers."""

import gc
import os
import subprocess
import sys
from pathlib import Path

GIB = 1 << 30


def open_descriptors() -> int:
    """Count the descriptors of this process, on any system."""
    for _ in range(3):  # PyPy: an object that a finalizer releases is left for the next collection
        gc.collect()
    count = 0
    for descriptor in range(512):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        count += 1
    return count


def run_python(code: str, directory: Path) -> str:
    """Run `code` in its own process, which may limit its resources, and return its output."""
    command = [sys.executable, "-W", "error", "-c", code, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout
