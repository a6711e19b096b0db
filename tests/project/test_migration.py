"""The page on moving from waitress 3.0.2 says what both servers do: both are asked."""

import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.project.migration import (
    APPLICATION,
    PAGE,
    PROXIED,
    REQUESTS,
    RESPONSES,
    SETTINGS,
    TABLES,
    Change,
    as_markdown,
    ask,
    split,
)
from tests.project.old_waitress import BIN
from tests.project.repository import PACKAGES
from tests.support.client import Client
from tests.support.servers import running, spawned

MODULE = "site_of_a_user"
CHANGES = [*REQUESTS, *RESPONSES, *PROXIED]
every_change = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
pytestmark = pytest.mark.xdist_group("waitress-3.0.2")  # one process runs them all: each server is started once

Address = tuple[str, int]


def serving(bin: Path, folder: Path) -> Iterator[Address]:
    """Serve the application by the command of an environment."""
    (folder / f"{MODULE}.py").write_text(APPLICATION, encoding="utf-8")
    command = [os.fspath(bin / "waitress-serve"), *SETTINGS, f"{MODULE}:application"]
    with spawned(command, folder, {"PYTHONPATH": "", "PYTHONWARNINGS": ""}) as server:
        yield server.wait_for_address()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    yield from serving(Path(sys.executable).parent, tmp_path_factory.mktemp("now"))


@pytest.fixture(scope="module")
def before(waitress_3_0_2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    yield from serving(waitress_3_0_2 / BIN, tmp_path_factory.mktemp("site"))


@every_change
def test_this_server_does_what_the_page_says(change: Change, here: Address) -> None:
    assert ask(here, change, change.now) == change.now


@every_change
def test_waitress_3_0_2_does_what_the_page_says(change: Change, before: Address) -> None:
    assert ask(before, change, change.before) == change.before


@pytest.mark.parametrize("table", TABLES)
def test_the_page_shows_the_table(table: str) -> None:
    _, shown, _ = split(table, PAGE.read_text(encoding="utf-8"))
    assert shown == as_markdown(table), "to rewrite it: python -m tests.project.migration"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_the_environ_on_a_unix_socket_is_what_the_page_says() -> None:
    environs: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environs.append(environ)
        start_response("204 No Content", [])
        return []

    with tempfile.TemporaryDirectory() as folder:  # a short path: that of a unix socket may have a hundred characters
        path = os.path.join(folder, "s")
        with running(application, unix_socket=path, ident="", url_prefix="/"), Client(path) as client:
            client.get()
    rows = re.findall(r"^\| `(\w+)` .*\| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    described = {key: now for key, now in rows if key in environs[0]}
    assert len(described) == 4
    for key, now in described.items():
        assert now.startswith(f'`"{environs[0][key]}"`')


def test_the_server_writes_the_lines_of_the_log_on_the_page() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## The log")[2].partition("\n## ")[0]
    lines = re.findall(r"\| `([^`]+)` \|$", section, re.MULTILINE)
    assert len(lines) == 3
    sources = [module for package in PACKAGES for module in package.modules]
    texts = [
        text
        for module in sources
        for text in re.findall(r'logger\.\w+\(\s*"(.+?)"|print_listen\("(.+?)"\)', module.read_text(encoding="utf-8"))
    ]
    patterns = [re.sub(r"%s|%d|\\{\\}", ".+", re.escape("".join(pair))) for pair in texts]
    assert [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in patterns)] == []
