"""What the page on configuration shows works, and is what the command says."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.project.repository import ROOT
from waitress_cli import main
from waitress_cli.command_settings import ALL_SETTINGS
from waitress_cli.options import parse
from waitress_core.config.sources import read_environment, read_file

TEXT = (ROOT / "docs" / "how-to" / "configure.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_file_of_the_page_can_be_read(tmp_path: Path) -> None:
    files = blocks("toml")
    assert len(files) == 3
    for text in files:
        path = tmp_path / ("pyproject.toml" if "[tool.waitress]" in text else "waitress.toml")
        path.write_text(text, encoding="utf-8")
        reading = read_file(str(path), ALL_SETTINGS, {"PORT": "8080"})
        assert reading.faults == []
        assert len(reading.given) > 1


def test_every_variable_of_the_page_is_read() -> None:
    (text,) = blocks("sh")
    environ = dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))
    reading = read_environment(environ, ALL_SETTINGS)
    assert len(reading.given) == len(environ) == 4
    assert set(re.findall(r"WAITRESS_\w+", TEXT)) >= set(environ)


def test_every_command_of_the_page_can_be_given() -> None:
    lines = re.findall(r"^    (?:PORT=8080 )?waitress-serve (.*)$", TEXT, re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        parse(shlex.split(line.partition(" > ")[0]))
    for option in re.findall(r"`(--[^`]+)`", TEXT):
        parse(shlex.split(option))


def test_a_check_says_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = blocks("text")
    (tmp_path / "shop.py").write_text("", encoding="utf-8")
    lines = [""] * 9
    lines[3], lines[8] = "threads = 0", "treads = 8"
    lines[6] = "tls_certificate = '/etc/shop/cert.pem'"
    (tmp_path / "waitress.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    for variable in [name for name in os.environ if name.startswith("WAITRESS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("WAITRESS_PORT", "99999")
    assert main(["--config=waitress.toml", "--check", "shop:app"]) == 1
    sys.modules.pop("shop", None)
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(said.splitlines())
