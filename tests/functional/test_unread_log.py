"""A log that nobody reads: each thread that writes a record waits for ever, and signals end all processes even so."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platforms import set_blocking, signal_number
from tests.support.processes import becomes_true, comes_to_rest, needs_proc
from tests.support.workers import COMMAND, has_ended, needs_fork, write_shop

pytestmark = [needs_fork, needs_proc]

SHORT_LIMIT = "import waitress_core.lifecycle.end_limit as it\nit.LIMIT_SECONDS = 0.3\n"


@contextlib.contextmanager
def unread(tmp_path: Path, *words: str, workers: int) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Serve by the command, and stop to read its log: yield the process and those of its workers."""
    write_shop(tmp_path, "never read")
    read_end, write_end = os.pipe()
    arguments = ["--listen=127.0.0.1:0", f"--workers={workers}", "--worker-kind=process", *words, "shop:application"]
    command = [sys.executable, "-c", SHORT_LIMIT + COMMAND, *arguments]
    process = subprocess.Popen(command, stderr=write_end, cwd=tmp_path)
    pids: list[int] = []
    try:
        with open(read_end, "rb") as log:
            for line in log:
                pids += map(int, re.findall(rb"Worker (\d+) serves", line))
                if len(pids) == workers or b" threads serves " in line:
                    break
            fill(write_end)
            yield process, pids
    finally:
        os.close(write_end)
        for pid in (process.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number("SIGKILL"))
        process.wait()


def fill(pipe: int) -> None:
    set_blocking(pipe, False)
    for size in (4096, 1):  # a short record would fit where a long one does not
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x" * size)
    set_blocking(pipe, True)


@pytest.mark.parametrize("workers", [1, 2], ids=["one-process", "two-workers"])
@pytest.mark.parametrize("first", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_sigquit_ends_all_processes_although_nobody_reads_the_log(first: str, workers: int, tmp_path: Path) -> None:
    with unread(tmp_path, "--shutdown-timeout=1000", workers=workers) as (process, pids):
        process.send_signal(signal_number(first))
        assert comes_to_rest(process.pid, most_switches=200)  # it waits to write a record, or for a worker that does
        process.send_signal(signal_number("SIGQUIT"))
        assert process.wait(30) in (0, -signal_number("SIGALRM"))
        assert becomes_true(lambda: all(map(has_ended, pids)))


@pytest.mark.parametrize("workers", [1, 2], ids=["one-process", "two-workers"])
def test_sigterm_ends_all_processes_in_time_although_nobody_reads_the_log(workers: int, tmp_path: Path) -> None:
    with unread(tmp_path, "--shutdown-timeout=0.5", workers=workers) as (process, pids):
        process.send_signal(signal_number("SIGTERM"))
        assert process.wait(30) == -signal_number("SIGALRM")
        assert becomes_true(lambda: all(map(has_ended, pids)))
