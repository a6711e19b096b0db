"""The comparison with other servers: these tests check the column of this server, and that README agrees."""

import re

import pytest

from tests.benchmarks.features import OURS, PAGE, ROWS, SERVERS, answer, gives_up_a_head_that_does_not_end
from tests.project.repository import ROOT

pytestmark = [
    pytest.mark.xdist_group("comparison"),
    pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no SIGTERM to send"),
]

# 30 seconds by default; tests/core has a test with a manual clock.
TOO_SLOW = (gives_up_a_head_that_does_not_end,)
COMPUTED = {"needs, besides the standard library", "types (`py.typed`)"}
README_ROWS = 8

Cells = dict[str, list[str]]


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in re.findall(r"^\|(.*)\|$", text, re.MULTILINE)]


def tables_of_the_page() -> tuple[list[list[str]], Cells]:
    """Return the heads of the tables, and the cells of the other rows by the first."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- asked -->")[2].partition("<!-- end of asked -->")[0]
    rows = [row for row in rows_of(text) if set(row[0]) != {"-"}]
    heads = [row for row in rows if row[1].startswith(OURS.name)]
    return heads, {first: cells for first, *cells in rows if [first, *cells] not in heads}


@pytest.mark.parametrize("text", [text for text, row in ROWS.items() if row.question not in TOO_SLOW])
def test_the_server_has_what_the_page_says(text: str) -> None:
    assert answer(OURS, ROWS[text]) == tables_of_the_page()[1][text][0]


def test_the_page_has_a_row_for_each_question_and_a_column_for_each_server() -> None:
    heads, cells = tables_of_the_page()
    assert set(cells) == {*ROWS, *COMPUTED}
    names = [server.name.split()[0] for server in SERVERS]
    assert all([cell.split()[0] for cell in head[1:]] == names for head in heads)
    assert {len(row) for row in cells.values()} == {len(SERVERS)}


def test_the_short_table_of_the_readme_is_a_part_of_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Comparison")[2].partition("\n## ")[0]
    head, _, *rows = rows_of(text)
    heads, cells = tables_of_the_page()
    assert head[1:] == heads[0][1:]
    assert len(rows) == README_ROWS
    assert [row for row in rows if cells[row[0]] != row[1:]] == []
