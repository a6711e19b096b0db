"""What the command says instead of serving: `--version`, `--print-config`, `--check`. Nothing is bound here."""

import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from itertools import groupby
from typing import Any

from waitress_core import Setting
from waitress_core.config.adjustments import EXCLUSIVE
from waitress_core.config.faults import SettingsFault, one_line
from waitress_core.config.sources import Given
from waitress_core.config.toml_file import as_toml

from .access_log import check_access_log
from .app_loader import CannotLoadError
from .command_settings import ALL_SETTINGS
from .configuration import Configuration, configure, go_to_folders, load, read_together, watched_patterns
from .options import CommandLine
from .pid_file import PidFile

PACKAGES = ("waitress", "waitress-cli", "waitress-core", "waitress-parser", "waitress-buffers")

# A default of the first has no meaning unless the second is given.
_NEEDS = {"access_log_format": "access_log", "trusted_proxy_count": "trusted_proxy"}


def report(command: CommandLine, environ: Mapping[str, str]) -> int:
    """Print what a command line wants in place of a server; return the exit status."""
    if command.wants == "version":
        print(version_text(), end="")
        return 0
    if command.wants == "completion":
        from .completion import SCRIPTS  # lazy import: it is asked for once

        print(SCRIPTS[command.shell](), end="")
        return 0
    configuration = configure(command, environ)
    faults = faults_of(configuration) if command.wants == "check" else configuration.faults
    for fault in faults:
        print(f"Error: {one_line(fault)}", file=sys.stderr)
    if command.wants == "print_config" and not faults:
        print(settings_as_toml(configuration.given), end="")
    return 1 if faults else 0


def version_text() -> str:
    """Return the versions of the packages that are installed, and of the interpreter, a line each."""
    lines = []
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            lines.append(f"{name} {metadata.version(name)}")
    lines.append(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}")
    return "".join(f"{line}\n" for line in lines)


# --- --print-config


def settings_as_toml(given: dict[str, Given]) -> str:
    """Return the settings in force as a file that gives the same settings, each with its source as a comment.

    Lines that a file may not have are comments: values that are secret, and defaults that have no meaning with what
    is given.
    """
    parts = []
    for group, settings in groupby(ALL_SETTINGS, key=lambda setting: setting.group):
        lines = [_line(setting, given) for setting in settings if setting.kind in _WRITERS]
        parts.append(f"# {group}\n" + "".join(f"{line}\n" for line in lines))
    return "\n".join(parts)


def _line(setting: Setting, given: dict[str, Given]) -> str:
    name = setting.name
    if name not in given:
        if setting.default in (None, ""):
            return f"# {name} is not set  # default"
        mark = "# " if _is_idle(setting, given) else ""
        return f"{mark}{name} = {_as_value(setting, setting.default)}  # default"
    source = as_toml(given[name].source)[1:-1]  # a path may have a line break
    if setting.is_secret:
        return f"# {name} is hidden  # {source}"
    return f"{name} = {_as_value(setting, setting.read(given[name].value))}  # {source}"


def _is_idle(setting: Setting, given: dict[str, Given]) -> bool:
    """Return whether a default has no meaning with what is given."""
    if not setting.has_effect:
        return True
    if setting.name in _NEEDS and _NEEDS[setting.name] not in given:
        return True
    if setting.name in ("host", "port") and not {"host", "port"} & given.keys():
        return True  # `listen`, or what is given in its place
    for name, others, _ in EXCLUSIVE:
        rivals = others if setting.name == name else (name,) if setting.name in others else ()
        if any(rival in given for rival in rivals):
            return True
    return False


_WRITERS: dict[str, Callable[[Any], str]] = {
    "boolean": as_toml,
    "integer": as_toml,
    "number": as_toml,
    "text": lambda value: as_toml(value or ""),
    "octal": lambda value: as_toml(f"{value:o}"),
    "list": lambda value: as_toml(sorted(value) if isinstance(value, set) else value or []),
}


def _as_value(setting: Setting, value: Any) -> str:
    return _WRITERS[setting.kind](value).replace("${", "$${")  # which a file would expand


# --- --check


def faults_of(configuration: Configuration) -> list[str]:
    """Return what keeps the command from serving, a line each; the application is imported."""
    faults = [*configuration.faults, *(f"{name} is not a setting, and is ignored" for name in configuration.ignored)]
    found = [
        *_fault_of(_go_and_load, configuration),
        *_fault_of(watched_patterns, configuration),
        *_faults_together(configuration.server),
        *_fault_of(_check_access_log, configuration),
        *_fault_of(_check_pid_file, configuration),
        *_fault_of(_read_log_config, configuration),  # the last, as it changes what becomes of log records
    ]
    return [*faults, *map(configuration.explained, found)]


def _fault_of(check: Callable[[Configuration], object], configuration: Configuration) -> list[Exception]:
    try:
        check(configuration)
    except (CannotLoadError, ValueError) as error:
        return [error]
    return []


def _faults_together(settings: dict[str, Any]) -> list[ValueError]:
    """Return every fault of settings that are wrong together, or wrong only in use."""
    faults: list[ValueError] = []
    left_out: set[str] = set()
    while True:
        try:
            read_together({name: value for name, value in settings.items() if name not in left_out})
        except SettingsFault as fault:
            # Those that have been left out may be what it misses.
            if not left_out.intersection(fault.names):
                faults.append(fault)
            again = left_out.union(fault.names) & settings.keys()
            if again == left_out:
                return faults
            left_out = again
        except ValueError as error:
            return [*faults, error]
        else:
            return faults


def _go_and_load(configuration: Configuration) -> None:
    go_to_folders(configuration)
    try:
        load(configuration)
    except SystemExit as error:
        raise CannotLoadError(
            configuration.command("app"), f"it ends the process by SystemExit({error.code!r})"
        ) from None


def _check_access_log(configuration: Configuration) -> None:
    check_access_log(configuration.command("access_log_file"))


def _check_pid_file(configuration: Configuration) -> None:
    path = configuration.command("pid_file")
    if path:
        PidFile(path).check()


def _read_log_config(configuration: Configuration) -> None:
    path = configuration.command("log_config")
    if path:
        from .log_config import LogConfig  # lazy import: it imports much, and few servers have such a file

        LogConfig(path, lambda: None).check()
