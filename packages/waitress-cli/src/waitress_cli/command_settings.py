"""The settings that only the command has: rows like those of the server's table.

Options, environment variables, keys of a file, completion and help are made from both tables. Add a row here, and read
its value from `Configuration.command` in `main`.
"""

from waitress_core import SETTINGS, Setting
from waitress_core.config.casts import as_path, as_words, asbool
from waitress_core.config.settings import A_PATH

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

GROUP = "Command"
A_FOLDER = "the path of a folder"


def _as_level(value: object) -> str:
    level = str(value).strip().lower()
    if level not in LOG_LEVELS:
        raise ValueError(level)
    return level


COMMAND_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "app",
        GROUP,
        "text",
        "",
        "The application: MODULE:OBJECT or MODULE:FACTORY(ARGUMENTS), instead of the argument.",
        str,
    ),
    Setting(
        "call",
        GROUP,
        "boolean",
        False,
        "Call the object, a factory, without arguments, and serve what it returns.",
        asbool,
        accepts="true or false",
    ),
    Setting("chdir", GROUP, "text", "", "Change to this folder first.", as_path, accepts=A_FOLDER),
    Setting("app_dir", GROUP, "text", "", "Import the application from this folder too.", as_path, accepts=A_FOLDER),
    Setting(
        "preload",
        GROUP,
        "boolean",
        False,
        "With worker processes: import the application once, before they are forked. They share its memory, but a "
        "reload does not load new code.",
        asbool,
        accepts="true or false",
    ),
    Setting(
        "reload",
        GROUP,
        "boolean",
        False,
        "For development: replace the worker when a file of an imported module changes. Needs waitress[reload].",
        asbool,
        accepts="true or false",
    ),
    Setting(
        "reload_extra",
        GROUP,
        "list",
        [],
        "With reload: also watch files that match these patterns, separated by spaces or commas.",
        as_words,
    ),
    Setting(
        "log_level",
        GROUP,
        "text",
        "",
        "Log records of this level and above: debug, info, warning, error or critical. Default: info for the server, "
        "warning for the application.",
        _as_level,
        accepts="debug, info, warning, error or critical",
    ),
    Setting(
        "log_config",
        GROUP,
        "text",
        "",
        "File that configures logging, instead of log_level: .json or .toml for logging.config.dictConfig, any other "
        "for fileConfig. It is read again at SIGHUP.",
        as_path,
        accepts=A_PATH,
    ),
    Setting(
        "access_log_file",
        GROUP,
        "text",
        "",
        "Append the access log to this file, which is reopened at SIGHUP and SIGUSR1. - is standard output.",
        as_path,
        accepts=A_PATH,
    ),
    Setting(
        "pid_file",
        GROUP,
        "text",
        "",
        "Write the process id to this file while the server runs. The server refuses to start if the process in it is "
        "still running.",
        as_path,
        accepts=A_PATH,
    ),
)

ALL_SETTINGS = (*COMMAND_SETTINGS, *SETTINGS)
BY_NAME = {setting.name: setting for setting in ALL_SETTINGS}
COMMAND_NAMES = frozenset(setting.name for setting in COMMAND_SETTINGS)
