"""The README's comparison with other servers: these tests check the column of this server."""

import re
from collections.abc import Iterator

import pytest

from tests.benchmarks.features import OURS, QUESTIONS, SERVERS, Asked, asked, gives_up_a_head_that_does_not_end
from tests.project.repository import ROOT

pytestmark = [
    pytest.mark.xdist_group("comparison"),
    pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no SIGTERM to send"),
]

# 30 seconds by default; tests/core has a test with a manual clock.
TOO_SLOW = (gives_up_a_head_that_does_not_end,)
ASKED = {text: question for text, question in QUESTIONS.items() if question not in TOO_SLOW}


def table() -> dict[str, list[str]]:
    """Return the cells of each row of the README's table, by its first."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## What it has")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in re.findall(r"^\|(.*)\|$", section, re.MULTILINE)]
    return {first: cells for first, *cells in rows}


@pytest.fixture(scope="module")
def server() -> Iterator[Asked]:
    with asked(OURS) as server:
        yield server


@pytest.mark.parametrize("text", ASKED)
def test_the_server_has_what_the_readme_says(text: str, server: Asked) -> None:
    assert table()[text][0] == "yes"
    assert ASKED[text](server)


def test_the_readme_has_a_row_for_each_question_and_a_column_for_each_server() -> None:
    rows = table()
    assert [text for text in QUESTIONS if text not in rows] == []
    assert rows[""] == [server.name for server in SERVERS]
    assert {len(cells) for cells in rows.values()} == {len(SERVERS)}
