"""The list of the tests that fail on Windows, `tests/not_on_windows.txt`."""

import sys
from collections.abc import Iterator
from pathlib import Path

_LIST = Path(__file__).parents[1] / "not_on_windows.txt"


def listed() -> Iterator[tuple[str, str]]:
    """Give the id and the cause of each test of the list; an id without parameters is that of all cases of a test.

    The cause starts with "Wine" or "Windows", as it is that of the one or of both.
    """
    cause = ""
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            yield line.strip(), cause
        elif not line.startswith("#"):
            cause = line


def expected_failures() -> dict[str, str]:
    """Return the cause of each test that fails here, by its id."""
    if sys.platform != "win32":
        return {}
    import ctypes

    is_wine = hasattr(ctypes.windll.ntdll, "wine_get_version")
    return {test_id: cause for test_id, cause in listed() if is_wine or not cause.startswith("Wine")}
