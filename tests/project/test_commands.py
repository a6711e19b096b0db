"""Each command line of `waitress-serve` on a page has options that there are, with values that they accept."""

import re
import shlex
from pathlib import Path

import pytest

from tests.project.repository import ROOT, project_files
from tests.support.rows import each_row
from waitress_cli.command_settings import BY_NAME
from waitress_cli.options import parse

COMMAND = re.compile(
    r"^ {4}(?:\$ )?(?:\.venv/bin/)?(waitress-serve (?:.*\\\n)*.*)$|`(waitress-serve [^`]*)`", re.MULTILINE
)


def commands_of(path: Path) -> list[str]:
    """Return the command lines of a page: those of indented blocks, and those in a sentence."""
    text = path.read_text(encoding="utf-8")
    found = [block or inline for block, inline in COMMAND.findall(text)]
    return [" ".join(command.replace("\\\n", " ").split()) for command in found]


COMMANDS = [
    pytest.param(command, id=f"{path.relative_to(ROOT).as_posix()}-{number}")
    for path in project_files()
    if path.suffix == ".md"
    for number, command in enumerate(commands_of(path))
    # What the command line is like, and the commands that serve nothing.
    if not re.search(r"\[OPTIONS\]|\.\.\.|waitress-serve status|<", command)
]


@each_row("command", COMMANDS)
def test_a_command_on_a_page_can_be_typed(command: str) -> None:
    words = shlex.split(re.sub(r" > \S+$", "", command))
    line = parse(words[1:])
    assert len(line.applications) <= 1
    for name, value in line.given.items():
        BY_NAME[name].read(value)


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 50
