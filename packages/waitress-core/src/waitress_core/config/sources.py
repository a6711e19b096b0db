"""Where the command finds settings besides its options: environment variables, and a TOML file.

A source gives values as they were written there, each with its place, so that a message can name it. Only the command
reads these: `serve()` takes what the program gives.

Guarantees
- No text in a variable or a file raises anything: what is wrong is a fault, one line each.
- Every value that is given has been read by its setting once, without a fault.
"""

import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .adjustments import EXCLUSIVE
from .casts import FALSE_WORDS, TRUE_WORDS, asbool
from .faults import SettingsFault
from .settings import Setting

PREFIX = "WAITRESS_"
PYPROJECT = "pyproject.toml"
MOST_FILE_BYTES = 16 * 1024 * 1024  # a device such as /dev/zero has no end; a large file of settings has 10 KiB

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
_PLAIN_KINDS = ("boolean", "integer", "number")  # without quotation marks, in TOML


class Given(NamedTuple):
    """A value as it was given, and where: "--threads", "WAITRESS_THREADS", or the path of a file."""

    value: Any
    source: str


class Reading:
    """What a source gives, by the names of settings; its faults; and variables that are probably not meant for us.

    After the name of such a variable there may be a remark in parentheses.
    """

    def __init__(self) -> None:
        self.given: dict[str, Given] = {}
        self.faults: list[str] = []
        self.ignored: list[str] = []


def near_name(name: str, names: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the name that somebody may have meant."""
    from difflib import get_close_matches  # lazy import: only needed after a typo

    return next(iter(get_close_matches(name.replace("-", "_").lower(), list(names), 1, cutoff)), None)


def _only_name_with_start(start: str, names: Iterable[str]) -> str | None:
    """Return the name that the command would take for its start: `tls_cert` is too short to be a near name."""
    found = [name for name in names if name.startswith(start)]
    return found[0] if len(found) == 1 else None


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
            raise ValueError(_missing(name)) from None

    return re.sub(_VARIABLE, value, text) if "${" in text else text


def _missing(name: str) -> str:
    advice = "" if re.fullmatch(r"\w+", name) else "; ${NAME} has a name between its braces, and nothing else"
    return f"there is no environment variable {name!r}{advice}"


# --- the environment


def _has_none(name: str) -> str | None:
    return None


def read_environment(
    environ: Mapping[str, str],
    settings: Iterable[Setting],
    *,
    others: Iterable[str] = (),
    counterpart: Callable[[str], str | None] = _has_none,
) -> Reading:
    """Read the variable `WAITRESS_<SETTING>` of each setting; `others` are further names that are no mistake.

    A variable that has nearly the name of a setting is a fault, one that resembles none belongs to somebody else; that
    is so, too, if only its prefix is not in capital letters. For `counterpart` see `read_file`.
    """
    reading = Reading()
    variables = sorted(name for name in environ if name[:9].upper() == PREFIX and name not in others)
    by_name = {setting.name.upper(): setting for setting in settings if variables}
    for variable in variables:
        value = environ[variable]
        if re.fullmatch(_SERVICE_LINK, f"{variable}={value}"):
            continue
        prefix, name = variable[: len(PREFIX)], variable[len(PREFIX) :]
        if prefix != PREFIX:
            if name.upper() in by_name:
                reading.ignored.append(f"{variable} (only {variable.upper()} is one)")
            continue
        setting = by_name.get(name)
        if setting is not None:
            try:
                reading.given[setting.name] = Given(read_text(setting, value, variable, environ), variable)
            except ValueError as error:
                reading.faults.append(str(error))
        elif (near := near_name(name, map(str.lower, by_name))) is not None:
            reading.faults.append(f"{variable} is not a setting; did you mean {PREFIX}{near.upper()}?")
        else:
            other = counterpart(name.lower())
            reading.ignored.append(f"{variable} (here it is {PREFIX}{other.upper()})" if other else variable)
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
        _check_expanded(setting, value)
    except ValueError as error:
        raise ValueError(f"{label}={text!r}: {error}") from None
    try:
        setting.read(value)
    except SettingsFault as fault:
        raise ValueError(fault.written(lambda name: label)) from None
    return value


def _check_expanded(setting: Setting, text: str) -> None:
    """Refuse a variable that `expand` does not know, where no other text has a dollar sign.

    Raises:
        ValueError: says how to write it.
    """
    found = re.search(r"\$\{?(\w+)", text) if setting.name == "listen" and "$" in text else None
    if found is not None:
        raise ValueError(f"{found[0]} is not replaced by the variable: write ${{{found[1]}}}")


# --- a file


def read_file(
    path: str,
    settings: Iterable[Setting],
    environ: Mapping[str, str],
    *,
    counterpart: Callable[[str], str | None] = _has_none,
) -> Reading:
    """Read a TOML file: its top level, or the table `[tool.waitress]` of a file of the name pyproject.toml.

    `counterpart` returns what a key of another server is called here, None for any other key.
    """
    from .toml_file import line_of, parse, table_in  # lazy import: most commands have no file

    reading = Reading()
    where = _table_of(path)
    try:
        text = read_utf_8(path)
        table = table_in(parse(text), where)
    except OSError as error:
        reading.faults.append(f"{path}: {error.strerror or error}")
    except ValueError as error:
        reading.faults.append(f"{_place(path, getattr(error, 'line', None))}: {error}")
    else:
        if table is None:
            reading.faults.append(f"{path}: it has no table [{'.'.join(where)}]")
        by_name = {setting.name: setting for setting in settings}
        for key, value in (table or {}).items():
            try:
                reading.given[key] = Given(_read_key(by_name, key, value, environ, counterpart), path)
            except ValueError as error:
                reading.faults.append(f"{_place(path, line_of(text, where, key))}: {error}")
    return reading


def place_in_file(path: str, key: str, folder: str) -> str:
    """Return the path and, if it can be found, the line of a key that was read from this file when in `folder`."""
    from .toml_file import line_of  # lazy import: most commands have no file

    absolute = os.path.join(folder, path)
    if not os.path.isfile(absolute):  # a pipe can be read once
        return path
    try:
        return _place(path, line_of(read_utf_8(absolute), _table_of(path), key))
    except (OSError, ValueError):  # it has changed since
        return path


def _place(path: str, line: int | None) -> str:
    return path if line is None else f"{path}, line {line}"


def _table_of(path: str) -> tuple[str, ...]:
    return ("tool", "waitress") if os.path.basename(path) == PYPROJECT else ()


def read_utf_8(path: str) -> str:
    """Return the text of a file, with `\\n` at the end of each line.

    Raises:
        OSError: it cannot be read.
        ValueError: names the line that is not UTF-8; or the file is too large.
    """
    with open(path, "rb") as file:
        content = file.read(MOST_FILE_BYTES + 1)
    if len(content) > MOST_FILE_BYTES:
        raise ValueError(f"it is larger than {MOST_FILE_BYTES >> 20} MiB")
    content = content.removeprefix(BOM_UTF8)
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        lines_before = content.count(b"\n", 0, error.start)
        raise ValueError(f"line {lines_before + 1} is not UTF-8") from None


def _read_key(
    by_name: Mapping[str, Setting],
    key: str,
    value: object,
    environ: Mapping[str, str],
    counterpart: Callable[[str], str | None],
) -> object:
    """Return the value of a key, with variables expanded.

    Raises:
        ValueError: names the key, the value and what is accepted.
    """
    from .toml_file import as_toml  # lazy import: most commands have no file

    if key not in by_name:
        name = as_toml(key)[1:-1] or "an empty key"
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            raise ValueError(f"the table [{name}] is not a setting; write settings at the top of the file, in no table")
        if other := counterpart(key):
            raise ValueError(f"{name} is not a setting; here it is {other}")
        near = near_name(key, by_name) or _only_name_with_start(key, by_name)
        raise ValueError(f"{name} is not a setting{f'; did you mean {near}?' if near else ''}")
    setting = by_name[key]
    if not _has_toml_type(setting, value):
        advice = ", without quotation marks" * (isinstance(value, str) and setting.kind in _PLAIN_KINDS)
        raise ValueError(f"{key}={as_toml(value)}: expected {setting.expected()}{advice}")
    try:
        if isinstance(value, (list, str)):
            texts = [expand(item, environ) for item in ([value] if isinstance(value, str) else value)]
            for text in texts:
                _check_expanded(setting, text)
            value = texts[0] if isinstance(value, str) else texts
    except ValueError as error:
        raise ValueError(f"{key}={as_toml(value)}: {error}") from None
    setting.read(value)
    return value


def _has_toml_type(setting: Setting, value: object) -> bool:
    if type(value) in _TOML_TYPES.get(setting.kind, ()):
        return not isinstance(value, list) or all(isinstance(item, str) for item in value)
    # "10m", "2min", "auto", "json": a text that says more than a plain number or boolean would.
    return isinstance(value, str) and setting.kind in _PLAIN_KINDS and not _is_plain(value, setting)


def _is_plain(text: str, setting: Setting) -> bool:
    if setting.kind == "boolean":
        return setting.cast is asbool or text.strip().lower() in TRUE_WORDS | FALSE_WORDS
    try:
        # "1e5" or "inf" is no integer, but may be the name of a service
        (float if setting.kind == "number" else int)(text)
    except ValueError:
        return False
    return True
