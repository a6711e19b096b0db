"""Programs that are typed for `types-waitress` are right for our own types too; a misspelt setting is not."""

import json
import os
import re
import subprocess
import sys
import typing
from importlib import metadata, util
from pathlib import Path

import pytest

import waitress
from waitress_core import SETTINGS

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("typed_program.py")

needs_mypy = pytest.mark.skipif(
    not util.find_spec("mypy"), reason="mypy is not installed: `make typecheck` installs it"
)


# Each of these lines has a mistake, but the last one.
MISTAKES = """\
import waitress
from typing import Any
from waitress.server import create_server
import waitress_cli
import waitress_core

def app(environ: Any, start_response: Any) -> list[bytes]: return []

waitress.serve(app, treads=4)
waitress.create_server(app, threads="four")
create_server(app, channel_timeout=[])
waitress_core.create_server(app, expose_tracebacks="no")
waitress_cli.serve(app, treads=4)
options: waitress.Settings = {"treads": 4}
waitress.serve(app, threads=4, max_request_body_size="10m", shutdown_timeout="2min", port="http", access_log="json")
"""
WRONG_LINES = range(9, 15)

needs_pyright = pytest.mark.skipif(
    not util.find_spec("pyright"), reason="pyright is not installed: `make typecheck` installs it"
)


def check(folder: Path, *arguments: str) -> str:
    """Check the files of a folder; return what mypy says."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), *arguments, "."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=100)
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the program."""
    (tmp_path / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
    return tmp_path


@needs_mypy
@pytest.mark.xdist_group("mypy")
def test_a_program_is_right_for_our_types_and_a_misspelt_setting_is_not(folder: Path) -> None:
    (folder / "wrong.py").write_text(MISTAKES, encoding="utf-8")
    said = check(folder, "--config-file", str(ROOT / "pyproject.toml"))
    errors = re.findall(r"^(.*):(\d+): error:", said, re.MULTILINE)
    assert errors == [("wrong.py", str(line)) for line in WRONG_LINES], said


@needs_mypy
@pytest.mark.xdist_group("mypy")
def test_the_program_is_one_for_the_types_of_others(folder: Path) -> None:
    try:
        metadata.version("types-waitress")
    except metadata.PackageNotFoundError:
        pytest.skip("needs types-waitress: `make typecheck` installs it")
    assert "Success" in check(folder, "--config-file", "")


@needs_pyright
def test_it_is_so_for_pyright_too(folder: Path) -> None:
    (folder / "wrong.py").write_text(MISTAKES, encoding="utf-8")
    paths = [str(package) for package in sorted(ROOT.glob("packages/*/src"))]
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": paths}), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    environ = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=100, env=environ)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [(Path(fault["file"]).name, fault["range"]["start"]["line"] + 1) for fault in found]
    assert errors == [("wrong.py", line) for line in WRONG_LINES], done.stdout


def test_the_keywords_have_every_setting_with_its_help() -> None:
    assert list(typing.get_type_hints(waitress.Settings)) == [setting.name for setting in SETTINGS]
