"""TOML files: read one, find the line of a key in its text, write a value.

The parser is the standard library's, from Python 3.11 on, and before that the package tomli. Neither says on which line
a key is, so that is found by a search, and only for the message of a fault.
"""

import re
import sys
from collections.abc import Sequence
from typing import Any

NEEDS_TOMLI = "Python before 3.11 reads TOML with the package tomli: pip install 'waitress[toml]'"


_TWICE = "Cannot overwrite a value"  # what the parser says of a key that is there already

# A report of the parser, and what a person can do about it.
_REMEDIES = (
    (r"Invalid value|Expected newline or end of document after a statement", "a text is written in quotation marks"),
    (r"Expected '=' after a key.*", "write KEY = VALUE"),
    (r"Unescaped '.*", "a text with backslashes is written in single quotation marks"),
)


class TomlFault(ValueError):
    """A text is not TOML, or cannot be read as such here; the message says why.

    `line` is the number of the line that is wrong, None if that is not known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str) -> dict[str, Any]:
    """Return the tables and values of a TOML document.

    Raises:
        TomlFault: it is not TOML, or no parser is installed.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # lazy import: few servers have a file
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise TomlFault(NEEDS_TOMLI) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlFault("its values are nested too deeply") from None
    except ValueError as error:  # besides TOMLDecodeError an invalid date, and a number of 5000 digits
        raise _fault(text, " ".join(str(error).split())) from None


def _fault(text: str, said: str) -> TomlFault:
    """Return what the parser has said of a text, with what a person can do about it."""
    where = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$", said)
    line = int(where[1]) if where is not None and where[1] else None
    lines = text.split("\n")
    if said.startswith(_TWICE):
        # At the end of the document the parser names no line: it is the last one with a key.
        line = line or max(number for number, content in enumerate(lines, 1) if "=" in content)
        return TomlFault(f"{lines[line - 1].partition('=')[0].strip()} is given twice", line)
    if where is not None and line is not None:
        said = said[: where.start()]
        remedy = next((remedy for pattern, remedy in _REMEDIES if re.fullmatch(pattern, said)), "")
        return TomlFault(said + f"; {remedy}" * bool(remedy), line)
    return TomlFault("it has a number with too many digits" if "integer string conversion" in said else said)


def table_in(document: dict[str, Any], path: Sequence[str]) -> dict[str, Any] | None:
    """Return the table at a path of keys, None if there is none."""
    found: object = document
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def line_of(text: str, path: Sequence[str], key: str) -> int | None:
    """Return the number of the line on which a table gets a key, None if it is written in a way that hides it.

    It is the first line that looks like it, before which the document is complete and lacks the key, and after which it
    is complete and has it: so no line within a text of several lines is taken for one.
    """
    names = "".join(rf"""(?:["']?{re.escape(name)}["']?\s*\.\s*)?""" for name in path)
    looks_like_it = re.compile(rf"""\s*\[*\s*{names}["']?{re.escape(key)}["']?\s*[].=]""")
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if looks_like_it.match(line) and _has(lines[:number], path, key) is False:
            after = (_has(lines[:end], path, key) for end in range(number + 1, len(lines) + 1))
            if next((has for has in after if has is not None), False):
                return number + 1
    return None


def _has(lines: list[str], path: Sequence[str], key: str) -> bool | None:
    """Return whether a table of these lines has a key, None if they are not TOML."""
    try:
        return key in (table_in(parse("\n".join(lines)), path) or {})
    except TomlFault:
        return None


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def as_toml(value: object) -> str:
    """Return a value as TOML writes it, on one line; an object that TOML has not, as Python does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_escape, value)) + '"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    return str(value)


def _escape(character: str) -> str:
    """Return a character of a text in ASCII, which any terminal and any file can take."""
    code = ord(character)
    if character in _ESCAPES or 32 <= code < 127:
        return _ESCAPES.get(character, character)
    if 0xD800 <= code < 0xE000:  # half of a pair, which TOML cannot write
        return "\\uFFFD"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
