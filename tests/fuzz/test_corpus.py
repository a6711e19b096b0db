"""Each target holds for what is in its corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from waitress_parser import RequestParser

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_there_is_a_corpus(target: str) -> None:
    assert any((CORPUS / target).iterdir())


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=f"{file.parent.name}-{file.name}") for file in sorted(CORPUS.glob("*/*"))]
)
def test_a_kept_input(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_a_target_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestParser, "held_bytes", 10_000)
    with pytest.raises(AssertionError):
        TARGETS["parser"](b"\xffGET / HTTP/1.1\r\nHost: a\r\n\r\n")
