"""Where the command finds settings besides its options: environment variables, and a TOML file.

A source gives values as they were written there, each with its place, so that a message can name it. Only the command
reads these: `serve()` takes what the program gives.

Guarantees
- No text in a variable or a file raises anything: what is wrong is a fault, one line each.
- Every value that is given has been read by its setting once, without a fault.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .adjustments import EXCLUSIVE
from .casts import FALSE_WORDS, TRUE_WORDS, asbool
from .settings import Setting

PREFIX = "WAITRESS_"
PYPROJECT = "pyproject.toml"

# Kubernetes gives every container variables about each service; these are about one of the name waitress.
_SERVICE_LINK = r"(?s)WAITRESS_(SERVICE_(HOST|PORT)(_\w+)?|PORT_[0-9].*)=.*|WAITRESS_PORT=(tcp|udp|sctp)://.*"

_VARIABLE = r"(\$?)\$\{([^}]*)\}"

# What the values of a setting of a kind may be in a file; a number with a unit is a text.
_TOML_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "octal": (str,),
    "list": (list, str),
}


class Given(NamedTuple):
    """A value as it was given, and where: "--threads", "WAITRESS_THREADS", or the path of a file."""

    value: Any
    source: str


class Reading:
    """What a source gives, by the names of settings; its faults; and variables that are probably not meant for us."""

    def __init__(self) -> None:
        self.given: dict[str, Given] = {}
        self.faults: list[str] = []
        self.ignored: list[str] = []


def near_name(name: str, names: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the name that somebody may have meant."""
    from difflib import get_close_matches  # lazy import: only needed after a typo

    return next(iter(get_close_matches(name.replace("-", "_").lower(), list(names), 1, cutoff)), None)


def merge(sources: Iterable[Mapping[str, Given]]) -> dict[str, Given]:
    """Return the values in force, of sources from the weakest to the strongest.

    A value takes the place of those in weaker sources that would contradict it: `--port` that of `listen` in a file.
    """
    merged: dict[str, Given] = {}
    for source in sources:
        for name, others, _ in EXCLUSIVE:
            if name in source:
                for other in others:
                    merged.pop(other, None)
            elif any(other in source for other in others):
                merged.pop(name, None)
        merged.update(source)
    return merged


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace each `${NAME}` by the environment variable; `$${NAME}` stays as `${NAME}`.

    Raises:
        ValueError: there is no such variable.
    """

    def value(match: re.Match[str]) -> str:
        dollar, name = match.groups()
        if dollar:
            return match[0][1:]
        try:
            return environ[name]
        except (KeyError, ValueError):  # no variable has a NUL in its name, and the system refuses to look for it
            raise ValueError(f"there is no environment variable {name!r}") from None

    return re.sub(_VARIABLE, value, text) if "${" in text else text


# --- the environment


def read_environment(environ: Mapping[str, str], settings: Iterable[Setting], *, others: Iterable[str] = ()) -> Reading:
    """Read the variable `WAITRESS_<SETTING>` of each setting; `others` are further names that are no mistake.

    A variable that has nearly the name of a setting is a fault, one that resembles none belongs to somebody else.
    """
    reading = Reading()
    variables = sorted(variable for variable in environ if variable.startswith(PREFIX) and variable not in others)
    by_name = {setting.name.upper(): setting for setting in settings if variables}
    for variable in variables:
        value = environ[variable]
        if re.fullmatch(_SERVICE_LINK, f"{variable}={value}"):
            continue
        name = variable.removeprefix(PREFIX)
        setting = by_name.get(name)
        if setting is not None:
            try:
                reading.given[setting.name] = Given(read_text(setting, value, variable, environ), variable)
            except ValueError as error:
                reading.faults.append(str(error))
        elif (near := near_name(name, map(str.lower, by_name))) is not None:
            reading.faults.append(f"{variable} is not a setting; did you mean {PREFIX}{near.upper()}?")
        else:
            reading.ignored.append(variable)
    return reading


def read_text(setting: Setting, text: str, label: str, environ: Mapping[str, str]) -> str:
    """Return the text of a variable or an option, with variables expanded in `listen`.

    Raises:
        ValueError: names the label, the value and what is accepted.
    """
    # `asbool` takes every other word for false, as waitress 3.0 does.
    if setting.cast is asbool and text.strip().lower() not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(f"{label}={text!r}: expected true or false")
    try:
        value = expand(text, environ) if setting.name == "listen" else text
    except ValueError as error:
        raise ValueError(f"{label}={text!r}: {error}") from None
    try:
        setting.read(value)
    except ValueError as error:
        raise ValueError(label + str(error).removeprefix(setting.name)) from None
    return value


# --- a file


def read_file(path: str, settings: Iterable[Setting], environ: Mapping[str, str]) -> Reading:
    """Read a TOML file: its top level, or the table `[tool.waitress]` of a file of the name pyproject.toml."""
    from .toml_file import line_of, parse, table_in  # lazy import: most commands have no file

    reading = Reading()
    where = ("tool", "waitress") if os.path.basename(path) == PYPROJECT else ()
    try:
        text = _read_utf_8(path)
        table = table_in(parse(text), where)
    except OSError as error:
        reading.faults.append(f"{path}: {error.strerror or error}")
    except ValueError as error:
        reading.faults.append(f"{path}: {error}")
    else:
        if table is None:
            reading.faults.append(f"{path}: it has no table [{'.'.join(where)}]")
        by_name = {setting.name: setting for setting in settings}
        for key, value in (table or {}).items():
            try:
                reading.given[key] = Given(_read_key(by_name, key, value, environ), path)
            except ValueError as error:
                number = line_of(text, where, key)
                place = path if number is None else f"{path}, line {number}"
                reading.faults.append(f"{place}: {error}")
    return reading


def _read_utf_8(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        lines_before = content.count(b"\n", 0, error.start)
        raise ValueError(f"line {lines_before + 1} is not UTF-8") from None


def _read_key(by_name: Mapping[str, Setting], key: str, value: object, environ: Mapping[str, str]) -> object:
    """Return the value of a key, with variables expanded.

    Raises:
        ValueError: names the key, the value and what is accepted.
    """
    from .toml_file import as_toml  # lazy import: most commands have no file

    if key not in by_name:
        near = near_name(key, by_name, 0.6)
        raise ValueError(f"{as_toml(key)[1:-1]} is not a setting{f'; did you mean {near}?' if near else ''}")
    setting = by_name[key]
    if not _has_toml_type(setting, value):
        raise ValueError(f"{key}={as_toml(value)}: expected {setting.expected()}")
    try:
        value = [expand(item, environ) for item in value] if isinstance(value, list) else value
        value = expand(value, environ) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{key}={as_toml(value)}: {error}") from None
    setting.read(value)
    return value


def _has_toml_type(setting: Setting, value: object) -> bool:
    if type(value) in _TOML_TYPES.get(setting.kind, ()):
        return not isinstance(value, list) or all(isinstance(item, str) for item in value)
    # "10m", "2min", "auto", "json": a text that says more than a plain number or boolean would.
    return isinstance(value, str) and setting.kind in ("boolean", "integer", "number") and not _is_plain(value, setting)


def _is_plain(text: str, setting: Setting) -> bool:
    if setting.kind == "boolean":
        return setting.cast is asbool or text.strip().lower() in TRUE_WORDS | FALSE_WORDS
    try:
        float(text)
    except ValueError:
        return False
    return True
