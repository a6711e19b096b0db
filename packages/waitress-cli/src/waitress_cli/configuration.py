"""All sources of settings as one: the command line over the environment over a file; and the application they name.

What is wrong is a line of `Configuration.faults`, in the words of the source that has it.
"""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from waitress_core.config.sources import PREFIX, Given, Reading, merge, read_environment, read_file, read_text

from .app_loader import load_application
from .command_settings import ALL_SETTINGS, BY_NAME, COMMAND_NAMES
from .options import CommandLine, option_name

CONFIG_VARIABLE = PREFIX + "CONFIG"


class Configuration:
    """The settings in force, by name; the faults of all sources; and the variables that nobody will read."""

    def __init__(self, given: dict[str, Given], faults: list[str], ignored: list[str]) -> None:
        self.given = given
        self.faults = faults
        self.ignored = ignored

    @property
    def server(self) -> dict[str, Any]:
        """The settings of the server, as they were given."""
        return {name: given.value for name, given in self.given.items() if name not in COMMAND_NAMES}

    def command(self, name: str) -> Any:
        """Return the value of a setting that only the command has."""
        setting = BY_NAME[name]
        return setting.read(self.given[name].value) if name in self.given else setting.default


def configure(command: CommandLine, environ: Mapping[str, str]) -> Configuration:
    """Read every source."""
    file = environ.get(CONFIG_VARIABLE) if command.config is None else command.config
    readings = [read_file(file, ALL_SETTINGS, environ)] if file else []
    readings.append(read_environment(environ, ALL_SETTINGS, others=[CONFIG_VARIABLE]))
    readings.append(_read_options(command, environ))
    for reading in readings:
        _turn_access_log_on(reading.given)
    given = merge(reading.given for reading in readings)
    faults = [fault for reading in reversed(readings) for fault in reading.faults]
    if "log_level" in given and "log_config" in given:
        faults.append(f"{given['log_config'].source} has the levels: leave {given['log_level'].source} out")
    return Configuration(given, faults, [name for reading in readings for name in reading.ignored])


def _turn_access_log_on(given: dict[str, Given]) -> None:
    """Turn the access log on where a source names its format or its file, and does not turn it off."""
    for name in ("access_log_format", "access_log_file"):
        if name in given and given[name].value:
            given.setdefault("access_log", Given("true", given[name].source))


def _read_options(command: CommandLine, environ: Mapping[str, str]) -> Reading:
    reading = Reading()
    for name, text in command.given.items():
        option = option_name(BY_NAME[name])
        try:
            reading.given[name] = Given(read_text(BY_NAME[name], text, option, environ), option)
        except ValueError as error:
            reading.faults.append(str(error))
    if len(command.applications) > 1:
        hint = "; --call gives a factory no arguments" if command.given.get("call") == "true" else ""
        reading.faults.append(f"Provide only one WSGI app, not {' and '.join(command.applications)}{hint}")
    elif command.applications:
        reading.given["app"] = Given(command.applications[0], "command line")
    return reading


def load(configuration: Configuration) -> Any:
    """Import the application, after `go_to_folders`.

    Raises:
        ValueError: no application is named.
        CannotLoadError: see `load_application`.
    """
    return loader(configuration)()


def loader(configuration: Configuration) -> Callable[[], Any]:
    """Return what imports the application, after `go_to_folders`; it raises as `load` does.

    Raises:
        ValueError: no application is named.
    """
    name = configuration.command("app")
    if not name:
        from .remedies import for_no_application  # lazy import: only after a mistake

        raise ValueError(
            f"Specify an application, as in waitress-serve MODULE:OBJECT{for_no_application(configuration.given)}"
        )
    return partial(load_application, name, calls=configuration.command("call"))


def go_to_folders(configuration: Configuration) -> None:
    """Change to the folder `chdir`; let modules be imported from there, and from `app_dir`.

    Raises:
        ValueError: there is no such folder.
    """
    for name, use in (("chdir", os.chdir), ("app_dir", os.listdir)):
        folder = configuration.command(name)
        try:
            if folder:
                use(folder)
        except (OSError, ValueError) as error:  # a ValueError: there is a NUL in it
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"{configuration.given[name].source}: {folder!r}: {reason}") from None
    for folder in (os.path.abspath(configuration.command("app_dir")), os.getcwd()):
        if folder not in sys.path:
            sys.path.append(folder)  # last, so that no file in it hides an installed module
