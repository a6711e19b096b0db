"""The walk of a request through the files is that of the architecture page."""

import re
import subprocess
import sys

import pytest

from tests.project.repository import ROOT

PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
WALK = re.compile(r"```text\n(  reactor/reactor\.py  turn\n.*?)```", re.DOTALL)

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or sys.implementation.name != "cpython",
        reason="the page has the walk on CPython and Linux, where the poller is in C",
    ),
]


def walk(*arguments: str) -> tuple[str, str]:
    """Return the calls, and how many there are of each kind, in the words of the page."""
    command = [sys.executable, "-m", "tests.benchmarks.walk", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, done.stderr.strip()


def counts(summary: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", summary)]


def test_the_walk_of_a_request_is_that_of_the_page() -> None:
    calls, summary = walk()
    [shown] = WALK.findall(PAGE)
    assert shown == calls
    [said] = re.findall(r"It is (\d+ calls.*?climbs)", PAGE, re.DOTALL)
    assert counts(said) == counts(summary)


def test_the_walk_of_an_accept_is_as_long_as_the_page_says() -> None:
    [said] = re.findall(r"`--accept`\) is (\d+ calls.*?climbs)", PAGE, re.DOTALL)
    assert counts(said) == counts(walk("--accept")[1])
