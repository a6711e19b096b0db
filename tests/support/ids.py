"""Short ids for parametrized tests."""

from collections.abc import Iterable, Sequence

ID_CHARACTERS = 24


def short_id(value: object) -> str:
    """Return the repr of a parameter, cut off after `ID_CHARACTERS`."""
    text = repr(value)
    return text if len(text) <= ID_CHARACTERS else f"{text[: ID_CHARACTERS - 3]}..."


def input_ids(rows: Iterable[Sequence[object]], columns: int = 1) -> list[str]:
    """Return an id for each row of a table of inputs and expected values: its first columns, which are the inputs."""
    return ["-".join(short_id(value) for value in row[:columns]) for row in rows]
