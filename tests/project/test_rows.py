"""A test of many rows runs them all, and names each that has failed."""

import re
from collections.abc import Iterator

import pytest

from tests.support.rows import each_row


def test_every_row_is_run_and_each_failed_one_is_named_with_its_error() -> None:
    seen = []

    @each_row("number, word", [(1, "one"), pytest.param(2, "two", id="the-second"), (3, "three")])
    def three(number: int, word: str) -> None:
        seen.append((number, word))
        assert number == 1, f"{word} is not one"

    with pytest.raises(AssertionError) as caught:
        three()
    assert seen == [(1, "one"), (2, "two"), (3, "three")]
    assert re.findall("^(.+): AssertionError: (.+)$", str(caught.value), re.MULTILINE) == [
        ("the-second", "two is not one"),
        ("3-'three'", "three is not one"),
    ]
    assert str(caught.value).startswith("2 of 3 rows failed:\n")
    assert "two is not one" in str(caught.value.__cause__)


@pytest.mark.parametrize("outcome", [pytest.fail, pytest.skip])
def test_a_row_that_does_not_raise_as_expected_or_is_skipped_has_failed(outcome: type) -> None:
    @each_row("number", [1])
    def one(number: int) -> None:
        outcome("because")

    with pytest.raises(AssertionError, match=r"^1 of 1 rows failed:\n1: \w+: because$"):
        one()


@pytest.fixture
def record() -> Iterator[list[tuple[int, int]]]:
    """A list, to which each row of the test adds itself."""
    rows: list[tuple[int, int]] = []
    yield rows
    assert rows == [(1, 10), (1, 20), (2, 10), (2, 20)]


@each_row("outer", [1, 2])
@each_row("inner", [10, 20], ids=["ten", "twenty"])
def test_two_tables_are_multiplied_and_fixtures_given(
    outer: int, inner: int, request: pytest.FixtureRequest, record: list[tuple[int, int]]
) -> None:
    assert request.node.name == "test_two_tables_are_multiplied_and_fixtures_given"
    record.append((outer, inner))


def test_a_table_with_no_rows_or_too_few_ids_or_values_is_refused() -> None:
    with pytest.raises(ValueError):
        each_row("one", [1, 2], ids=["one"])
    with pytest.raises(ValueError):
        each_row("one, two", [(1,)])
    with pytest.raises(AssertionError, match="without rows"):
        each_row("one", [])
