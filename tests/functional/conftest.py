"""Fixtures of several files in this folder."""

from __future__ import annotations

import pytest

from waitress.task import WSGITask


@pytest.fixture(params=["stock", "derived"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether a program has derived its own task class."""
    if request.param == "derived":
        stock = WSGITask.execute

        def execute(task: WSGITask) -> None:
            stock(task)

        monkeypatch.setattr(WSGITask, "execute", execute)
    return str(request.param)
