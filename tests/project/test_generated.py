"""The files that are made from the tables of settings fit them, and the schema accepts what the command accepts."""

import json
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from generate import FILES, ROOT, schema
from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_cli.command_settings import ALL_SETTINGS
from waitress_core.config.sources import read_file
from waitress_core.config.toml_file import as_toml

SCHEMA = fastjsonschema.compile(schema())
WORDS = ("", "x", "8", "0.5", "10m", "64KiB", "2min", "500ms", "true", "no", "json", "{status}", "debug", "auto", "660")
VALUES: tuple[Any, ...] = (True, False, -1, 0, 1, 63, 64, 65536, 0.5, 1.0, *WORDS, [], ["x"], ["10.0.0.1"], [1], {})

# What the schema cannot say of a text; the server does.
SCHEMA_ACCEPTS_ALL_TEXTS = ("text", "octal", "list")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_generated_file_fits_the_tables(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path](), "call `make generated`"


@each_row("setting", ALL_SETTINGS, ids=lambda setting: setting.name)
def test_the_schema_accepts_what_the_command_accepts(setting: Any, tmp_path: Path) -> None:
    differs = []
    for value in VALUES:
        path = tmp_path / "w.toml"
        path.write_text(f"{setting.name} = {as_toml(value)}\n", encoding="utf-8")
        is_accepted = not read_file(str(path), ALL_SETTINGS, {}).faults
        if is_valid({setting.name: value}) != is_accepted and not is_beyond_the_schema(setting, value):
            differs.append((value, is_accepted))
    assert differs == []


def is_valid(document: dict[str, Any]) -> bool:
    try:
        SCHEMA(document)
    except fastjsonschema.JsonSchemaException:
        return False
    return True


def is_beyond_the_schema(setting: Any, value: Any) -> bool:
    """Return whether a value is one that the schema need not judge."""
    if value == 1.0 and isinstance(value, float):
        return True  # an integer to JSON Schema, not to TOML
    if isinstance(value, bool):
        return False
    texts = value if isinstance(value, list) else [value]
    is_text = all(isinstance(text, str) for text in texts)
    return is_text and (setting.kind in SCHEMA_ACCEPTS_ALL_TEXTS or setting.name in ("access_log", "port"))


@pytest.mark.parametrize("document", [{"treads": 4}, {"threads": {"a": 1}}, {"sockets": []}], ids=short_id)
def test_the_schema_refuses_what_is_no_setting(document: dict[str, Any]) -> None:
    assert not is_valid(document)


def test_the_schema_is_for_editors() -> None:
    written = json.loads((ROOT / "docs/reference/waitress.schema.json").read_text(encoding="utf-8"))
    assert written["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert all(row["description"].endswith(".") for row in written["properties"].values())
    assert written["properties"]["threads"]["minimum"] == 1
    assert written["properties"]["channel_timeout"]["default"] == 120
