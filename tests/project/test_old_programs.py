"""Programs that use names of waitress 3.0.2 see the same with that version and with this one: both run them."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.project.old_programs import PRELUDE, PROGRAMS
from tests.project.old_waitress import BIN

SECONDS = 60
pytestmark = [
    pytest.mark.xdist_group("waitress-3.0.2"),  # one process makes the environment
    pytest.mark.skipif("sys.platform == 'win32'", reason="some have unix descriptors, which Windows has not"),
]


@cache  # both tests run the program here
def seen_by(python: str | Path, name: str) -> str:
    """Return what a program prints."""
    command = [str(python), "-c", PRELUDE + PROGRAMS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def seen_before(waitress_3_0_2: Path) -> Callable[[str], str]:
    python = waitress_3_0_2 / BIN / "python"
    return lambda name: seen_by(python, name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_sees_what_it_saw_with_3_0_2(name: str, seen_before: Callable[[str], str]) -> None:
    assert seen_by(sys.executable, name).splitlines() == seen_before(name).splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_to_its_end(name: str) -> None:
    """Also where there is no package index to have 3.0.2 from."""
    assert seen_by(sys.executable, name)
