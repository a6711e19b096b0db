"""What the system knows of this process."""

from __future__ import annotations

import mmap
import os
import sys
import time

import pytest

from waitress_core.observability import process

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says so in /proc")


@linux
def test_memory_is_that_of_this_process() -> None:
    before = process.memory_bytes()
    assert before is not None
    with mmap.mmap(-1, 64 << 20) as more:  # what other tests have freed may serve for an object
        more.write(bytes(len(more)))
        after = process.memory_bytes()
        assert after is not None
        assert after - before > len(more) // 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
def test_an_open_file_is_counted() -> None:
    before = process.open_descriptors()
    assert before is not None
    with open(os.devnull):
        assert process.open_descriptors() == before + 1


def test_the_process_has_started_before_now() -> None:
    assert time.time() - 3600 * 24 < process.started_at() < time.time() + 1
