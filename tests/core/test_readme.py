"""The README's example does what it says, and its table names what the package has."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

import waitress_core
from tests.support.client import Client

README = Path(__file__).parents[2] / "packages" / "waitress-core" / "README.md"


def test_the_example_of_the_readme_serves_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    before = set(threading.enumerate())
    names: dict[str, Any] = {}
    source, last_line = source.strip().rsplit("\n", 1)
    exec(source, names)
    host, port = re.findall(r"http://(.*):(\d+)\n", capsys.readouterr().out)[0]
    with Client((host, int(port))) as client:
        assert client.get().body == b"Hello, world!\n"
    exec(last_line, names)
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def test_the_table_of_the_readme_names_all_that_the_package_exports() -> None:
    table = re.findall(r"^\| (`.*) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+)", row.partition(" | ")[0])}
    assert named == set(waitress_core.__all__)
