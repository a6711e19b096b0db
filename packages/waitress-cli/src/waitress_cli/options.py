"""The command line: its options, how they are read, and the text of `--help`.

All of it is made from the tables of settings. Values stay strings: `Setting.read` casts them.
"""

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from waitress_core import Setting
from waitress_core.config.casts import FALSE_WORDS, TRUE_WORDS

from .command_settings import ALL_SETTINGS, BY_NAME, COMMAND_NAMES, GROUP

WIDTH = 80  # columns of the help text, as a terminal has
HELP_COLUMN = 28
SHELLS = ("bash", "zsh", "fish")


class CommandLineError(ValueError):
    """An option is unknown or ambiguous, its value is missing, or it takes none."""


class CommandLine(NamedTuple):
    """A command line as read: `given` are the settings of both tables by name, as strings.

    `applications` are the words without an option, and the value of `--app`; more than one is a mistake. `wants` is
    what to do: "serve", "help", "version", "check", "print_config" or "completion", which is for the shell `shell`.
    `config` is the path of a file.
    """

    given: dict[str, str]
    applications: list[str]
    wants: str = "serve"
    config: str | None = None
    shell: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the server alone."""
        return {name: value for name, value in self.given.items() if name not in COMMAND_NAMES}


def option_name(setting: Setting) -> str:
    """Return the setting's name as an option: `--unix-socket`."""
    return "--" + setting.name.replace("_", "-")


def setting_of_option(option: str) -> str | None:
    """Return the setting of which an option is a second name, or an option of another server; None if of none."""
    from .other_servers import COUNTERPARTS  # lazy import: only needed after a mistake

    ours = COUNTERPARTS[option][0] if option in COUNTERPARTS else option
    return next((setting.name for setting in ALL_SETTINGS if ours in _names_of(setting)), None)


def parse(arguments: Sequence[str], *, options_first: bool = False) -> CommandLine:
    """Read the arguments (without the name of the program); with `options_first` an option may not follow another word.

    Raises:
        CommandLineError: names the option and the fault.
    """
    arguments = _with_access_log_file(arguments)
    parser = _make_parser(arguments)
    if options_first:
        parser.add_argument("applications", nargs=argparse.REMAINDER)
        given = vars(parser.parse_args(arguments))
    else:
        parser.add_argument("applications", nargs="*")
        given = vars(parser.parse_intermixed_args(arguments))
    applications = given.pop("applications", [])
    if applications[:1] == ["--"]:  # marks the end of the options
        del applications[0]
    if "app" in given:
        applications.insert(0, given.pop("app"))
    wants, config, shell = given.pop("wants", "serve"), given.pop("config", None), given.pop("completion", "")
    settings = {name: _as_string(value) for name, value in given.items()}
    return CommandLine(settings, applications, "completion" if shell else wants, config, shell)


def _with_access_log_file(arguments: Sequence[str]) -> list[str]:
    """Write `--access-log=FILE` as two options: a boolean takes no value, and any word that follows is another's."""
    words: list[str] = []
    for word in arguments:
        option, mark, value = word.partition("=")
        if option != "--access-log" or not mark:
            words.append(word)
        elif not value:
            raise CommandLineError("--access-log=: the name of a file is missing")
        elif value in ("combined", "json") or "{" in value:
            raise CommandLineError(f"{word}: expected a file; to choose a format: --access-log-format={value}")
        elif value.lower() in TRUE_WORDS | FALSE_WORDS:
            wanted = "on: --access-log" if value.lower() in TRUE_WORDS else "off: --no-access-log"
            raise CommandLineError(f"{word}: expected a file; to turn it {wanted}")
        else:
            words += ["--access-log", f"--access-log-file={value}"]
    return words


def _as_string(value: str | bool | list[str]) -> str:
    if isinstance(value, list):  # of an option that may be repeated
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else value


def help_text() -> str:
    """Return the text of `--help`."""
    return _make_parser().format_help()


def actions() -> list[argparse.Action]:
    """Return what `--help` lists, in its order; the help of each is that of the setting."""
    return [action for action in _make_parser()._actions if action.help != argparse.SUPPRESS]


# --- the parser

# What most people need first; the rest is below, in the groups of the table.
_MOST_USED = (
    "listen",
    "unix_socket",
    "threads",
    "workers",
    "tls_certificate",
    "tls_key",
    "access_log",
    "log_level",
    "trusted_proxy",
    "trusted_proxy_headers",
)
_ALIASES = {"listen": ("-b", "--bind")}
_METAVARS = {
    "app": "MODULE:OBJECT",
    "chdir": "FOLDER",
    "app_dir": "FOLDER",
    "log_config": "FILE",
    "access_log_file": "FILE",
    "pid_file": "FILE",
    "log_level": "LEVEL",
    "host": "ADDRESS",
    "port": "PORT",
    "listen": "ADDRESS",
    "unix_socket": "FILE",
    "unix_socket_perms": "OCTAL",
    "url_prefix": "PATH",
    "trusted_proxy": "PEERS",
    "tls_certificate": "FILE",
    "tls_key": "FILE",
    "tls_key_password_file": "FILE",
    "status_token_file": "FILE",
    "tls_client_ca": "FILE",
    "tls_client_certificate": "WORD",
    "tls_minimum_version": "VERSION",
}
# Of options that take something else than their setting.
_OWN_HELP = {
    "access_log": "Log one line for each request on standard output, or, as --access-log=FILE, at the end of a file: "
    "see access_log_file and access_log_format.",
}
_ACTIONS = {
    "check": "Check everything without serving: read all settings, import the application, look up the addresses, load "
    "the certificates. Exit with 0, or print one line for each fault.",
    "print-config": "Print the effective settings as TOML, each with its source.",
    "version": "Print the versions of the packages and of Python.",
}
_COMPLETION_HELP = f"Print the completion script for a shell: {', '.join(SHELLS)}."
_FROM_PYTHON_ONLY = frozenset({"sockets", "tls_context"})
_REPEATABLE = frozenset({"listen", "tls_certificate"})
_BINARY_UNITS = ((30, "GiB"), (20, "MiB"), (10, "KiB"))

_HEAD = """\
Serve a WSGI application. MODULE:OBJECT is a module that can be imported from
the current folder, and the application in it: shop:application.
"""

_FOOT = """\
Every setting can also be an environment variable (WAITRESS_THREADS=8) or a key
of the file given by --config. An option wins over a variable, a variable over
the file. Sizes and times take units: 64k, 10m, 500ms, 2min.

Options can be abbreviated if that is unambiguous, and the value can be the next
argument: --thr 8. If an option is repeated, the last one counts; but --listen
and --tls-certificate add up.

To see what a server with --status-listen does: waitress-serve status [ADDRESS]

Examples:
  waitress-serve --listen=127.0.0.1:8080 shop:application
  waitress-serve --listen='*:8080' --threads=8 --call shop.main:make_application
  waitress-serve --workers=auto --access-log shop:application
  waitress-serve --port=8443 --tls-certificate=cert.pem --tls-key=key.pem \\
      shop:application
  waitress-serve --unix-socket=/run/shop.sock --unix-socket-perms=660 shop:app
  waitress-serve --listen=10.0.0.5:8080 --trusted-proxy=10.0.0.0/8 \\
      --trusted-proxy-headers='x-forwarded-for x-forwarded-proto' shop:app
"""


_REWORDED = (
    (r"^argument (-\S+?): ", r"\1: "),
    (r": expected one argument$", ": a value is missing"),
    ("ignored explicit argument", "takes no value, but was given"),
)


class _Parser(argparse.ArgumentParser):
    """Raises an exception where argparse prints its usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        # argparse calls an option an argument, and the value of a boolean option an "ignored explicit argument".
        for theirs, ours in _REWORDED:
            message = re.sub(theirs, ours, message)
        unknown = re.match(r"unrecognized arguments: (--[\w-]+|-\w)", message)
        raise CommandLineError(message + self._hint(unknown[1]) if unknown else message)

    @staticmethod
    def _hint(unknown: str) -> str:
        # lazy import: only needed after a typo
        from difflib import get_close_matches

        from .other_servers import COUNTERPARTS

        if unknown in COUNTERPARTS:
            name, page = COUNTERPARTS[unknown]
            return f'; here it is {name}, see "{page}" in the documentation'
        near = get_close_matches(unknown, _make_parser()._option_string_actions, 1, cutoff=0.8)
        return f"; did you mean {near[0]}?" if near else ""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formats in 80 columns, and does not break options at their hyphens."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=HELP_COLUMN, width=WIDTH)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.nargs == 0 or not action.option_strings:
            return super()._format_action_invocation(action)
        # The name of the value once, as Python 3.13 has it, and not behind each name of the option.
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"

    def _get_help_string(self, action: argparse.Action) -> str:
        # Made when it is shown, as it takes longer than all the rest of a parser.
        setting = BY_NAME.get(action.dest)
        if setting is None:
            return str(action.help)
        default = _default(setting) if setting.has_effect else ""
        return (_with_options(_OWN_HELP.get(setting.name, setting.help)) + default).replace("%", "%%")

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: ")


def _make_parser(arguments: Sequence[str] | None = None) -> _Parser:
    """Return a parser with every option; options that are not given are absent from its result.

    With arguments, settings that none of them can name are left out: to add all of them takes longer than the rest.
    """
    parser = _Parser(
        prog="waitress-serve",
        usage="waitress-serve [OPTIONS] MODULE:OBJECT",
        description=_HEAD,
        epilog=_FOOT,
        formatter_class=_HelpFormatter,
        argument_default=argparse.SUPPRESS,
        add_help=False,
    )
    most_used, without_effect = "Most used", "Accepted, without effect"
    titles = [most_used, *dict.fromkeys(setting.group for setting in ALL_SETTINGS), without_effect]
    if arguments is None:
        groups = {title: parser.add_argument_group(title) for title in titles}
    else:
        groups = dict.fromkeys(titles, parser.add_argument_group())
    for name in _MOST_USED:
        if _may_be_named(BY_NAME[name], arguments):
            _add_option(groups[most_used], BY_NAME[name])
    _add_own_options(groups[most_used], groups[GROUP])
    for setting in ALL_SETTINGS:
        if setting.name not in _MOST_USED and _may_be_named(setting, arguments):
            _add_option(groups[setting.group if setting.has_effect else without_effect], setting)
    return parser


def _may_be_named(setting: Setting, arguments: Sequence[str] | None) -> bool:
    """Return whether one of the arguments may be an option of the setting, written out or cut short."""
    if arguments is None:
        return True
    names = _names_of(setting)
    for argument in arguments:
        word = argument.partition("=")[0]
        if not word.startswith("--"):
            if word.startswith("-") and word[:2] in names:
                return True
        elif "--no-".startswith(word) or any(name.startswith(word.replace("--no-", "--")) for name in names):
            return True
    return False


def _names_of(setting: Setting) -> tuple[str, ...]:
    return (*_ALIASES.get(setting.name, ()), option_name(setting))


def _add_own_options(most_used: argparse._ArgumentGroup, others: argparse._ArgumentGroup) -> None:
    """Add the options that are no settings."""
    most_used.add_argument("--config", metavar="FILE", help="Read settings from this TOML file.")
    most_used.add_argument("-h", "--help", dest="wants", action="store_const", const="help", help="Show this help.")
    for name, text in _ACTIONS.items():
        wants = name.replace("-", "_")
        others.add_argument(f"--{name}", dest="wants", action="store_const", const=wants, help=text)
    others.add_argument("--completion", metavar="SHELL", choices=SHELLS, help=_COMPLETION_HELP)


def _add_option(group: argparse._ArgumentGroup, setting: Setting) -> None:
    names = _names_of(setting)
    text = argparse.SUPPRESS if setting.name in _FROM_PYTHON_ONLY else setting.help
    if setting.kind == "boolean":
        group.add_argument(*names, action=argparse.BooleanOptionalAction, help=text)
    else:
        action = "append" if setting.name in _REPEATABLE else "store"
        group.add_argument(*names, dest=setting.name, action=action, metavar=_metavar(setting), help=text)


def _metavar(setting: Setting) -> str:
    if setting.kind in ("integer", "number") and setting.name not in _METAVARS:
        return setting.unit.upper() if setting.unit in ("bytes", "seconds") else "NUMBER"
    return _METAVARS.get(setting.name, setting.kind.upper())


def _with_options(text: str) -> str:
    """Return a text with the settings in it written as options."""

    def as_option(word: re.Match[str]) -> str:
        setting = BY_NAME.get(word[0])
        return word[0] if setting is None else option_name(setting)

    return re.sub(r"(?<![.\w])[a-z]+(?:_[a-z]+)+\b", as_option, text)


def _default(setting: Setting) -> str:
    """Return the default as a sentence, its value as on the command line; empty if there is none."""
    default = setting.default
    if setting.kind == "boolean":
        value = "on" if default else "off"
    elif setting.kind == "octal":
        value = f"{default:o}"
    elif setting.kind == "list":
        value = " ".join(default or ())
    elif setting.unit.startswith(("bytes", "seconds")):
        value = _quantity(default, setting.unit)
    else:
        value = str(default or "")
    return f" Default: {value}." if value else ""


def _quantity(number: float, unit: str) -> str:
    for bits, binary_unit in _BINARY_UNITS if unit.startswith("bytes") else ():
        if number > 0 and number % (1 << bits) == 0:
            return f"{number} {unit} ({int(number) >> bits} {binary_unit})"
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"
