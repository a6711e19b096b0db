"""Puts settings into a page: one `confval` a setting.

The line `% settings` becomes those of the server, one section a group, `% table of settings` a table of them, and
`% command settings` those that only the command has. Their tables are the only source, so the pages cannot fall behind.
"""

import re
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

from waitress_cli.command_settings import COMMAND_SETTINGS
from waitress_core import SETTINGS, Setting

PLACEHOLDER = "% settings\n"
TABLE_PLACEHOLDER = "% table of settings\n"
COMMAND_PLACEHOLDER = "% command settings\n"


def fill_in_settings(app: Sphinx, document: str, source: list[str]) -> None:
    """Answer Sphinx's event `source-read`: replace the placeholders in the one string of `source`."""
    if PLACEHOLDER in source[0]:
        source[0] = source[0].replace(PLACEHOLDER, settings_as_markdown())
    if TABLE_PLACEHOLDER in source[0]:
        source[0] = source[0].replace(TABLE_PLACEHOLDER, table_as_markdown())
    if COMMAND_PLACEHOLDER in source[0]:
        source[0] = source[0].replace(COMMAND_PLACEHOLDER, "\n".join(map(_entry, COMMAND_SETTINGS)))


def settings_as_markdown() -> str:
    """Write the whole table, in its order."""
    parts: list[str] = []
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts.append(f"## {group}\n")
        parts.extend(_entry(setting) for setting in settings)
    return "\n".join(parts)


def table_as_markdown() -> str:
    """Write a table with a row for each setting that has an effect, in the order of the groups."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for setting in SETTINGS:
        if setting.has_effect:
            # A cell may not have a bar, and a short text is enough: the entry below has the rest.
            first = re.split(r"(?<=[\w)])[.:;] ", setting.help, maxsplit=1)[0].rstrip(".").replace("|", "\\|")
            rows.append(f"| {{confval}}`{setting.name}` | {_default_as_text(setting)} | {first} |")
    return "\n".join(rows) + "\n"


def _entry(setting: Setting) -> str:
    # "octal, octal permissions" says it twice.
    kind = setting.unit if setting.kind in setting.unit else ", ".join(filter(None, (setting.kind, setting.unit)))
    effect = "" if setting.has_effect else "Accepted, without effect on the server. "
    return f"""```{{confval}} {setting.name}
:type: {kind}
:default: {_default_as_text(setting)}

{effect}{setting.help}
```
"""


def _default_as_text(setting: Setting) -> str:
    default = setting.default
    if isinstance(default, list | set | tuple):
        default = " ".join(sorted(default) if isinstance(default, set) else default)
    elif setting.kind == "octal":
        default = f"{default:o}"
    return "none" if default in (None, "") else f"`{default}`"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill_in_settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
