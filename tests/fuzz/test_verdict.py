"""The fuzzer ends with a line that shows whether it has found anything."""

from tests.fuzz.fuzz import verdict


def test_the_last_line_shows_whether_anything_was_found() -> None:
    assert verdict([], ["parser", "connection"], 60) == "Nothing found: 2 targets in 60 seconds"
    found = verdict(["parser"], ["parser", "connection"], 60)
    assert found == "FOUND: parser failed; the inputs are in tests/fuzz/corpus, named crash-*"
