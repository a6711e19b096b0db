"""One test for all rows of a table, where a test for each row would cost more than the rows themselves.

pytest takes milliseconds for each test: every process of pytest-xdist collects it, and sends three reports about it to
the main process. A call of the parser, or of a function that reads a setting, takes microseconds.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from .ids import short_id

Test = Callable[..., None]

# What a failed assertion, `pytest.raises` and `pytest.fail` raise. A skipped row would be one that nobody misses.
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


class Rows:
    """Runs rows one after the other, also after one that fails; the context raises if any has failed."""

    def __init__(self) -> None:
        self.count = 0
        self._failed: dict[str, BaseException] = {}

    @contextlib.contextmanager
    def row(self, row_id: str | Callable[[], str]) -> Iterator[None]:
        """Run a row; keep what it raises."""
        self.count += 1
        try:
            yield
        except FAILURES as error:
            self._failed[row_id if isinstance(row_id, str) else row_id()] = error

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *error: object) -> None:
        if self._failed:
            lines = [f"{row_id}: {type(error).__name__}: {error}" for row_id, error in self._failed.items()]
            first = next(iter(self._failed.values()))
            raise AssertionError(f"{len(lines)} of {self.count} rows failed:\n" + "\n".join(lines)) from first


def each_row(
    names: str | Sequence[str], rows: Iterable[Any], *, ids: Callable[[Any], object] | Sequence[str] = short_id
) -> Callable[[Test], Test]:
    """Call the test for each row, and report all rows that have failed; otherwise as `pytest.mark.parametrize`.

    All rows share the fixtures of the test: it must leave them as it found them.
    """
    arguments = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    table = [_row(row, arguments) for row in rows]
    assert table, "a table without rows"
    if not callable(ids):
        table = [(row_id, values) for row_id, (_, values) in zip(ids, table, strict=True)]
    name_of = ids if callable(ids) else short_id

    def of_rows(test: Test) -> Test:
        @functools.wraps(test)
        def test_of_rows(**fixtures: Any) -> None:
            with Rows() as all_rows:
                for row_id, values in table:
                    # A row is named when it fails: the text of a large value takes long.
                    with all_rows.row(row_id or functools.partial(_joined, name_of, values)):
                        test(**values, **fixtures)

        signature = inspect.signature(test)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in arguments]
        vars(test_of_rows)["__signature__"] = signature.replace(parameters=kept)
        return test_of_rows

    return of_rows


def _row(row: Any, arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the id of a row, empty if it has none, and its values by argument."""
    row_id: object = None
    values: Sequence[Any] = (row,) if len(arguments) == 1 else row
    if isinstance(row, type(pytest.param())):
        assert not row.marks, f"a row cannot have marks: {row}"
        row_id, values = row.id, row.values
    return row_id if isinstance(row_id, str) else "", dict(zip(arguments, values, strict=True))


def _joined(name_of: Callable[[Any], object], values: dict[str, Any]) -> str:
    return "-".join(str(name_of(value) or short_id(value)) for value in values.values())
