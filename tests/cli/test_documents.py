"""The README's example does what it says, and the reference page shows options that exist."""

import re
import shlex
from pathlib import Path

from tests.cli.helpers import command
from tests.support.client import Client
from tests.support.servers import spawned, spawned_script
from waitress_cli.options import parse

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_readme_serves(tmp_path: Path) -> None:
    text = (ROOT / "packages" / "waitress-cli" / "README.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (line,) = re.findall(r"^    (waitress-serve .*hello:.*)$", text, re.MULTILINE)
    (tmp_path / "hello.py").write_text(source, encoding="utf-8")
    arguments = shlex.split(line.replace(":8080", ":0"))
    with spawned([command(), *arguments[1:]], tmp_path) as server, Client(server.wait_for_address()) as client:
        assert client.get().body == b"Hello, world!\n"


def test_the_commands_of_the_tutorial_serve_its_application(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial" / "first-application.md").read_text(encoding="utf-8")
    application, program = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "hello.py").write_text(application, encoding="utf-8")
    lines = re.findall(r"^    \.venv/bin/(waitress-serve (?:.*\\\n)*.*)$", text, re.MULTILINE)
    answers = []
    for line in lines:
        arguments = shlex.split(line.replace(":8080", ":0").replace("\\\n", " "))
        with spawned([command(), *arguments[1:]], tmp_path) as server, Client(server.wait_for_address()) as client:
            answers.append(client.get("/tea", "X-Forwarded-Proto: https").body.decode())
    assert answers == ["You asked for /tea by http\n", "You asked for /tea by https\n"]
    assert all(answer.rstrip() in text for answer in answers)
    program = "import logging\nlogging.basicConfig(level=logging.INFO)\n" + program.replace(":8080", ":0")
    with spawned_script(program, tmp_path) as server, Client(server.wait_for_address()) as client:
        assert client.get("/tea").body.decode() == answers[0]


def test_every_option_of_the_reference_page_can_be_given() -> None:
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    examples = re.findall(r"`(--[^`]+)`", text)
    assert len(examples) > 10
    for example in examples:
        assert parse(shlex.split(example)).applications in ([], ["MODULE:OBJECT"], ["MODULE:FACTORY"])
