"""TOML: what cannot be read, the line of a key, values as text."""

import datetime
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitress_core.config.toml_file import NEEDS_TOMLI, TomlFault, as_toml, line_of, parse, table_in

TEXT = '''\
first = 1
"second" = 2
note = """
third = 3
"""
numbers = [
  1,
]
third = 3
[tool.other]
fourth = 4
[tool.waitress]
fourth = 4
inline = {fifth = 5}
"six\\u0074h" = 6
[tool.waitress.seventh]
'''


@pytest.mark.parametrize(
    ("path", "key", "line"),
    [
        ((), "first", 1),
        ((), "second", 2),
        ((), "note", 3),
        ((), "numbers", 6),
        ((), "third", 9),  # not the fourth line, which is within a text
        ((), "fourth", None),
        ((), "tool", 10),
        (("tool", "waitress"), "fourth", 13),
        (("tool", "waitress"), "seventh", 16),
        (("tool", "waitress"), "sixth", None),  # nobody would look for it so
        (("tool", "waitress"), "first", None),
    ],
)
def test_the_line_of_a_key(path: tuple[str, ...], key: str, line: int | None) -> None:
    assert line_of(TEXT, path, key) == line


def test_a_key_with_dots_has_a_line() -> None:
    assert line_of("a = 1\ntool.waitress.threads = 2\n", ("tool", "waitress"), "threads") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", r"Invalid value; a text is written in quotation marks|Invalid value \(at end of document\)"),
        ("a = b", "Invalid value; a text is written in quotation marks"),
        ("a = 1.2.3.4:80", "Expected newline or end of document after .*; a text is written in quotation marks"),
        ("a 1", "Expected '=' after a key in a key/value pair; write KEY = VALUE"),
        ('a = "C:\\Users"', ".*backslash.*|Unescaped.*|Invalid hex value.*"),
        ("a = 1\na = 2", "a is given twice"),
        ("a = 2024-13-01", ".*"),
        ("a = " + "[" * 100_000, r"its values are nested too deeply|TOML inline arrays/tables are nested more .*"),
        ("a = " + "9" * 5000, ".*"),
        ("a = '\0'", ".*"),
    ],
    ids=["no-value", "no-quotes", "address", "no-equals", "backslash", "twice", "date", "deep", "long-number", "nul"],
)
def test_what_is_not_toml_is_refused_in_one_line(text: str, message: str) -> None:
    if message == ".*" and sys.implementation.name == "pypy":
        pytest.skip("the number may have any length")
    with pytest.raises(TomlFault, match=f"^(?:{message})$"):
        parse(text)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the standard library has a parser")
def test_without_a_parser_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(TomlFault) as caught:
        parse("a = 1")
    assert str(caught.value) == NEEDS_TOMLI
    assert "pip install 'waitress[toml]'" in NEEDS_TOMLI


def test_a_table_is_found_by_its_path() -> None:
    document = {"tool": {"waitress": {"threads": 4}, "other": 5}}
    assert table_in(document, ()) is document
    assert table_in(document, ("tool", "waitress")) == {"threads": 4}
    assert table_in(document, ("tool", "other")) is None
    assert table_in(document, ("nothing", "waitress")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (8, "8"),
        (0.4, "0.4"),
        ('a "b" \\ \n', '"a \\"b\\" \\\\ \\n"'),
        ("caf\u00e9 \U0001f375 \x7f", '"caf\\u00E9 \\U0001F375 \\u007F"'),
        ("\udcff", '"\\uFFFD"'),
        (["a", 1], '["a", 1]'),
        ({"a b": [1]}, '{"a b" = [1]}'),
        (datetime.date(2026, 11, 28), "2026-11-28"),
        (float("inf"), "inf"),
    ],
    ids=repr,
)
def test_a_value_is_written_in_ascii_on_one_line(value: object, text: str) -> None:
    assert as_toml(value) == text


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
        lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=3),
        max_leaves=5,
    )
)
def test_what_is_written_can_be_read_again(value: Any) -> None:
    assert parse(f"a = {as_toml(value)}") == {"a": value}
