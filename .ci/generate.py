"""Writes the files that are made from the tables of settings: `python .ci/generate.py`, or `make generated`.

- waitress_core/config/keywords.py, the types of the keywords of `serve` and `create_server`, for editors
- docs/reference/waitress.schema.json, the JSON schema of a configuration file, for editors

Both are in the repository, so that nobody needs this file to use them; tests/project checks that they fit the tables.
"""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waitress_cli.command_settings import ALL_SETTINGS
from waitress_core import SETTINGS, Setting
from waitress_core.config.casts import (
    DURATION,
    SIZE,
    as_address_words,
    as_boolean_or_text,
    as_bytes,
    as_path,
    as_paths,
    as_seconds,
    str_iftruthy,
)

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 120

# --- types of keywords

TYPES = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "text": "str",
    "octal": "str",
    "list": "str | Iterable[str]",
    "sockets": "Iterable[socket.socket]",
    "object": "ssl.SSLContext | Callable[[], ssl.SSLContext]",  # the only one
}
PATH = "str | os.PathLike[str]"
# Texts that say what a plain number or boolean cannot: "10m", "2min", the name of a service, "json".
TEXTS_TOO = ("boolean", "integer", "number")

KEYWORDS_HEAD = '''\
"""The settings as keywords of `serve` and `create_server`, with their types: for type checkers and editors.

Made from the table in `settings` by `make generated`. Nothing imports this when a program runs.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import TypedDict


class Settings(TypedDict, total=False):
    """What may be set. A text in place of a number or a boolean, as .ini files have it, is read too."""
'''


def keywords_source() -> str:
    """Return the text of keywords.py."""
    return KEYWORDS_HEAD + "".join(_keyword(setting) for setting in SETTINGS)


def _keyword(setting: Setting) -> str:
    kind = TYPES[setting.kind]
    if setting.kind in TEXTS_TOO and has_texts(setting):
        kind += " | str"
    if setting.cast is as_address_words:
        kind = "str | Iterable[object]"  # or addresses and networks of the module ipaddress
    if setting.cast is as_path:
        kind = PATH
    elif setting.cast is as_paths:
        kind = f"{PATH} | Iterable[{PATH}]"
    if setting.default is None or setting.cast is str_iftruthy:
        kind += " | None"
    effect = "" if setting.has_effect else "Accepted, without effect. "
    text = f"{effect}{setting.help}{_default(setting)}"
    lines = textwrap.wrap(f'"""{text}', WIDTH - 4, break_on_hyphens=False, break_long_words=False)
    if len(lines) > 1 or len(lines[0]) + 3 > WIDTH - 4:
        lines.append("")
    return f"\n    {setting.name}: {kind}\n" + "\n".join(f"    {line}" for line in lines).rstrip(" ") + _end(lines)


def _end(lines: list[str]) -> str:
    return '    """\n' if lines[-1] == "" else '"""\n'


def _default(setting: Setting) -> str:
    default = setting.default
    if default is None or default in ("", [], set()):
        return ""
    return f" Default: {oct(default)[2:] if setting.kind == 'octal' else default!r}."


def has_texts(setting: Setting) -> bool:
    """Return whether a number or boolean may be a text that says more."""
    return setting.kind in TEXTS_TOO and text_pattern(setting) is not None


# --- JSON schema

JSON_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "text": "string", "octal": "string"}


def text_pattern(setting: Setting) -> str | None:
    """Return the regular expression of a text that a number or boolean may be, None if it may be none."""
    if setting.cast is as_bytes:
        return f"^{SIZE}$"
    if setting.cast is as_seconds:
        return f"^{DURATION}$"
    if setting.cast is as_boolean_or_text or "service" in setting.accepts:
        return r"\D"
    return "^auto$" if "auto" in setting.accepts else None


def schema() -> dict[str, Any]:
    """Return the schema of a configuration file."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of waitress-serve",
        "description": "A file for waitress-serve --config=FILE.toml, or the table [tool.waitress] of pyproject.toml.",
        "type": "object",
        "additionalProperties": False,
        "properties": {s.name: _property(s) for s in ALL_SETTINGS if s.kind in JSON_TYPES or s.kind == "list"},
    }


def _property(setting: Setting) -> dict[str, Any]:
    described: dict[str, Any] = {"description": setting.help}
    if setting.default is not None:
        described["default"] = _as_json(setting)
    if setting.kind == "list":
        return {**described, "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    value = {"type": JSON_TYPES[setting.kind], **setting.bounds}
    pattern = text_pattern(setting) if setting.kind in TEXTS_TOO else None
    if pattern is None:
        return {**described, **value}
    return {**described, "anyOf": [value, {"type": "string", "pattern": pattern}]}


def _as_json(setting: Setting) -> Any:
    if setting.kind == "octal":
        return f"{setting.default:o}"
    return sorted(setting.default) if isinstance(setting.default, set) else setting.default


# --- files

FILES: dict[Path, Callable[[], str]] = {
    ROOT / "packages/waitress-core/src/waitress_core/config/keywords.py": keywords_source,
    ROOT / "docs/reference/waitress.schema.json": lambda: json.dumps(schema(), indent=2) + "\n",
}


if __name__ == "__main__":
    for path, text in FILES.items():
        path.write_text(text(), encoding="utf-8")
