"""The list of the tests that fail on Windows, `tests/not_on_windows.txt`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LIST = Path(__file__).parents[1] / "not_on_windows.txt"


class Listed(NamedTuple):
    """A test of the list. Without parameters its id means all cases of the test; a path means all tests of a file."""

    test_id: str
    cause: str  # after "Windows", or after "Wine" where it is only that of Wine

    @property
    def is_run(self) -> bool:
        """Whether the test is run, and must fail. The others would not end, or fail now and then."""
        return "not run: " not in self.cause


def listed() -> Iterator[Listed]:
    """Give each test of the list."""
    cause = ""
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            yield Listed(line.strip(), cause)
        elif not line.startswith("#"):
            cause = line


def failing_here() -> dict[str, Listed]:
    """Return the tests that fail on this system, by their ids."""
    if sys.platform != "win32":
        return {}
    import ctypes

    is_wine = hasattr(ctypes.windll.ntdll, "wine_get_version")
    return {test.test_id: test for test in listed() if is_wine or not test.cause.startswith("Wine")}
