"""The command, called from Python."""

import sys
from pathlib import Path
from typing import Any

import pytest

import waitress
from waitress.runner import run

NAME = "tests.waitress.test_runner:application"


def application(environ: Any, start_response: Any) -> list[bytes]:
    return []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What `waitress.serve` was called with; the search path is put back."""
    calls: list[Any] = []
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(waitress, "serve", lambda application, **settings: calls.append(settings))
    return calls


def test_run_takes_the_name_of_the_program_and_its_arguments(served: list[Any]) -> None:
    assert run(["waitress-serve", "--port=1", NAME]) == 0
    assert served == [{"port": "1"}]


def test_run_takes_the_arguments_of_the_process_by_default(served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["waitress-serve", "--port=2", NAME])
    assert run() == 0
    assert served == [{"port": "2"}]


def test_run_serves_by_the_function_it_is_given(served: list[Any]) -> None:
    own: list[Any] = []
    assert run(["waitress-serve", NAME], _serve=lambda application, **settings: own.append(settings)) == 0
    assert (own, served) == ([{}], [])


def test_run_gives_1_for_an_error(served: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["waitress-serve"]) == 1
    assert capsys.readouterr().err.startswith("Error: Specify an application")
    assert served == []
