"""What the distribution declares for others to find serves with what programs have put into the package."""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import waitress

NAME = "tests.waitress.test_entry_points:application"


def application(environ: Any, start_response: Any) -> list[bytes]:
    return []


class NoServer:
    """Takes the place of a server, and ends at once."""

    def run(self) -> None:
        pass

    def print_listen(self, text: str) -> None:
        pass


def by_the_command(serve: Callable[..., int]) -> int:
    return serve(["waitress-serve", NAME])


def by_paste_deploy(serve: Callable[..., int]) -> int:
    return serve(application, {"here": "/srv"})


@pytest.mark.promise("S13")
@pytest.mark.parametrize(
    ("group", "name", "call"),
    [
        ("console_scripts", "waitress-serve", by_the_command),
        ("paste.server_runner", "main", by_paste_deploy),
    ],
    ids=["command", "PasteDeploy"],
)
def test_an_entry_point_makes_its_server_by_the_create_server_of_the_moment(
    group: str, name: str, call: Callable[[Any], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def create_server(application: Any, **settings: Any) -> NoServer:
        made.append(application)
        return NoServer()

    monkeypatch.setattr(waitress, "create_server", create_server)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])
    entries = importlib.metadata.distribution("waitress").entry_points
    (entry,) = (entry for entry in entries if (entry.group, entry.name) == (group, name))
    assert call(entry.load()) == 0
    assert made == [application]
