"""The settings that only the command has: rows like those of the server's table.

Options, environment variables, keys of a file, completion and help are made from both tables. Add a row here, and read
its value from `Configuration.command` in `main`.
"""

from waitress_core import SETTINGS, Setting
from waitress_core.config.casts import as_words, asbool

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

GROUP = "Command"


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
        "The application, MODULE:OBJECT or MODULE:FACTORY(ARGUMENTS), in place of the word without an option.",
        str,
    ),
    Setting(
        "call",
        GROUP,
        "boolean",
        False,
        "The object is a factory: call it, without arguments, and serve what it returns.",
        asbool,
        accepts="true or false",
    ),
    Setting("chdir", GROUP, "text", "", "Change to this folder before anything is imported or opened.", str),
    Setting(
        "app_dir", GROUP, "text", "", "Folder from which the application can be imported, like the current one.", str
    ),
    Setting(
        "preload",
        GROUP,
        "boolean",
        False,
        "With worker processes: import the application once, before they are forked. They share its memory, and a "
        "reload does not see new code.",
        asbool,
        accepts="true or false",
    ),
    Setting(
        "reload",
        GROUP,
        "boolean",
        False,
        "For development: watch the files of imported modules, and replace the worker when one changes. Needs "
        "waitress[reload].",
        asbool,
        accepts="true or false",
    ),
    Setting(
        "reload_extra",
        GROUP,
        "list",
        [],
        "With reload: watch the files that fit these patterns too, separated by blanks or commas.",
        as_words,
    ),
    Setting(
        "log_level",
        GROUP,
        "text",
        "",
        "Log records of that level and above, of the application too: debug, info, warning, error or critical. "
        "Default: info of the server, warning of the application.",
        _as_level,
        accepts="debug, info, warning, error or critical",
    ),
    Setting(
        "log_config",
        GROUP,
        "text",
        "",
        "File that sets logging up, in place of log_level: JSON or TOML as logging.config.dictConfig takes it, by its "
        "name, otherwise ini. It is read again at SIGHUP.",
        str,
    ),
    Setting(
        "access_log_file",
        GROUP,
        "text",
        "",
        "File to which the lines of access_log are appended, reopened at SIGHUP and SIGUSR1; - is standard output.",
        str,
    ),
    Setting(
        "pid_file",
        GROUP,
        "text",
        "",
        "File that has the process id while the server serves; the server does not start if it is that of another "
        "process that runs.",
        str,
    ),
)

ALL_SETTINGS = (*COMMAND_SETTINGS, *SETTINGS)
BY_NAME = {setting.name: setting for setting in ALL_SETTINGS}
COMMAND_NAMES = frozenset(setting.name for setting in COMMAND_SETTINGS)
