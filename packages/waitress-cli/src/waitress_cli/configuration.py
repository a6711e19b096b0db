"""All sources of settings as one: the command line over the environment over a file; and the application they name.

What is wrong is a line of `Configuration.faults`, in the words of the source that has it.
"""

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from waitress_core import Adjustments
from waitress_core.config.faults import SettingsFault
from waitress_core.config.sources import PREFIX, Given, Reading, merge, read_environment, read_file, read_text

from .app_loader import load_application
from .command_settings import ALL_SETTINGS, BY_NAME, COMMAND_NAMES
from .options import CommandLine, option_name, setting_of_option

CONFIG_VARIABLE = PREFIX + "CONFIG"


class Configuration:
    """The settings in force, by name; the faults of all sources; and the variables that nobody will read."""

    def __init__(self, given: dict[str, Given], faults: list[str], ignored: list[str]) -> None:
        self._folder = os.getcwd()  # paths of files mean files there
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

    def explained(self, error: Exception) -> str:
        """Return the text of an error: settings are named as their sources do, after the place of those in a file."""
        if not isinstance(error, SettingsFault):
            return str(error)
        from waitress_core.config.sources import place_in_file  # lazy import: only after a mistake

        sources = {name: self.given[name].source for name in error.names if name in self.given}
        usual = next(iter(sources.values()), "--")  # names that nobody has given are written as the first one

        def write(name: str) -> str:
            source = sources.get(name, usual)
            if source.startswith("--"):
                return option_name(BY_NAME[name])
            return f"{PREFIX}{name.upper()}" if source.startswith(PREFIX) else name

        text = error.written(write)
        places = []
        for name, source in sources.items():
            if source.startswith(PREFIX) and source not in text:
                places.append(source)
            elif not source.startswith(("--", PREFIX)):
                places.append(place_in_file(source, name, self._folder))
        return f"{' and '.join(dict.fromkeys(places))}: {text}" if places else text


def configure(command: CommandLine, environ: Mapping[str, str]) -> Configuration:
    """Read every source."""
    file = environ.get(CONFIG_VARIABLE) if command.config is None else command.config
    readings = [read_file(file, ALL_SETTINGS, environ, counterpart=_counterpart)] if file else []
    readings.append(read_environment(environ, ALL_SETTINGS, others=[CONFIG_VARIABLE], counterpart=_counterpart))
    readings.append(_read_options(command, environ))
    for reading in readings:
        _turn_access_log_on(reading.given)
    given = merge(reading.given for reading in readings)
    faults = [fault for reading in reversed(readings) for fault in reading.faults]
    configuration = Configuration(given, faults, [name for reading in readings for name in reading.ignored])
    if "log_level" in given and "log_config" in given:
        fault = SettingsFault("{log_config} has the levels: leave {log_level} out")
        faults.append(configuration.explained(fault))
    return configuration


def _counterpart(name: str) -> str | None:
    """Return the setting of which an option with this name is a second name, or one of another server."""
    return setting_of_option(f"--{name.replace('_', '-')}")


def _turn_access_log_on(given: dict[str, Given]) -> None:
    """Turn the access log on where a source names its format or its file, and does not turn it off."""
    for name in ("access_log_format", "access_log_file"):
        if name in given and given[name].value:
            given.setdefault("access_log", Given("true", given[name].source))


def read_together(settings: Mapping[str, Any]) -> None:
    """Read the settings as the server would: this finds contradictions, looks addresses up, loads certificates
    and reads the token.

    Raises:
        ValueError: something is wrong.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adjustments = Adjustments(**settings)
    if adjustments.has_tls:
        from waitress_core.net.tls_contexts import TlsContexts  # lazy import: most servers speak no TLS

        TlsContexts(adjustments)
    if adjustments.status_token_file:
        from waitress_core.config.status_settings import read_token  # lazy import: few servers have such a file

        read_token(adjustments.status_token_file)


def watched_patterns(configuration: Configuration) -> list[str] | None:
    """Return the patterns of files to watch in addition to those of modules; None without `reload`.

    Raises:
        ValueError: it cannot be done.
    """
    if not configuration.command("reload"):
        return None
    if sys.platform == "win32":
        raise SettingsFault("{reload}: this system cannot fork processes; start the server again by hand")
    if configuration.command("preload"):
        raise SettingsFault("{reload} and {preload} contradict each other: with {preload} no new code is seen")
    from importlib.util import find_spec  # lazy import: for development only

    if find_spec("watchfiles") is None:
        raise SettingsFault("{reload} needs the package watchfiles: pip install 'waitress[reload]'")
    patterns: list[str] = configuration.command("reload_extra")
    return patterns


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
        if command.given.get("access_log") == "true":
            hint += f"; a file for the log is written with an equals sign: --access-log={command.applications[0]}"
        names = " and ".join(name or "an empty text" for name in command.applications)
        reading.faults.append(f"Provide only one WSGI app, not {names}{hint}")
    if command.applications:
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
        SettingsFault: there is no such folder.
    """
    for name, use in (("chdir", os.chdir), ("app_dir", os.listdir)):
        folder = configuration.command(name)
        try:
            if folder:
                use(folder)
        except (OSError, ValueError) as error:  # a ValueError: there is a NUL in it
            reason = getattr(error, "strerror", None) or error
            raise SettingsFault(f"{{{name}}}={{folder!r}}: {{reason}}", folder=folder, reason=reason) from None
    for folder in (os.path.abspath(configuration.command("app_dir")), os.getcwd()):
        if folder not in sys.path:
            sys.path.append(folder)  # last, so that no file in it hides an installed module
