"""The command line: its options, how they are read, and the text of `--help`.

All of it is made from the table of settings. Values stay strings: `waitress_core.Adjustments` casts them.
"""

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from waitress_core import SETTINGS, Setting

WIDTH = 80  # columns of the help text, as a terminal has
HELP_COLUMN = 28

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_SETTING_BY_NAME = {setting.name: setting for setting in SETTINGS}


class CommandLineError(ValueError):
    """An option is unknown or ambiguous, its value is missing, or it takes none."""


class CommandLine(NamedTuple):
    """A command line as read: `settings` by name, as strings; `applications` in the order given.

    `log_level` is the name of a level of `logging`, or empty.
    """

    settings: dict[str, str]
    applications: list[str]
    wants_help: bool
    wants_call: bool
    log_level: str = ""


def option_name(setting: Setting) -> str:
    """Return the setting's name as an option: `--unix-socket`."""
    return "--" + setting.name.replace("_", "-")


def parse(arguments: Sequence[str], *, options_first: bool = False) -> CommandLine:
    """Read the arguments (without the name of the program); with `options_first` an option may not follow another word.

    Raises:
        CommandLineError: names the option and the fault.
    """
    parser = _make_parser()
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
    wants_help, wants_call = given.pop("help", False), given.pop("call", False)
    log_level = given.pop("log_level", "")
    settings = {name: _as_string(value) for name, value in given.items()}
    return CommandLine(settings, applications, wants_help, wants_call, log_level)


def _as_string(value: str | bool | list[str]) -> str:
    if isinstance(value, list):  # --listen, which may be repeated
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else value


def check_values(settings: dict[str, str]) -> None:
    """Check that each value is valid for its setting; only Adjustments checks for settings that contradict each other.

    Raises:
        ValueError: names the option, the value and what is accepted.
    """
    for name, given in settings.items():
        setting = _SETTING_BY_NAME[name]
        try:
            setting.read(given)
        except ValueError as error:
            raise ValueError(option_name(setting) + str(error).removeprefix(name)) from error


def help_text() -> str:
    """Return the text of `--help`."""
    return _make_parser().format_help()


# --- the parser

_METAVARS = {
    "host": "ADDRESS",
    "port": "PORT",
    "listen": "ADDRESS",
    "unix_socket": "PATH",
    "unix_socket_perms": "OCTAL",
    "url_prefix": "PATH",
    "trusted_proxy": "PEERS",
}
_FROM_PYTHON_ONLY = frozenset({"sockets"})
_BINARY_UNITS = ((30, "GiB"), (20, "MiB"), (10, "KiB"))

_HEAD = """\
Serve a WSGI application: the object of that name, such as a function or a
framework's application, in a module that can be imported from here.
"""

_FOOT = """\
An option may be cut short as long as it stays unambiguous, and its value may
follow as a word of its own: --thr 8. Where an option is repeated the last one
holds, but every --listen adds addresses.

Examples:
  waitress-serve --listen=127.0.0.1:8080 shop:application
  waitress-serve --listen='*:8080' --threads=8 --call shop.main:make_application
  waitress-serve --unix-socket=/run/shop.sock --unix-socket-perms=660 shop:app
  waitress-serve --port=8080 --trusted-proxy=10.0.0.0/8 \\
      --trusted-proxy-headers='x-forwarded-for x-forwarded-proto' shop:app
"""


_REWORDED = (
    (r"^argument (--\S+?): ", r"\1: "),
    (r": expected one argument$", ": a value is missing"),
    ("ignored explicit argument", "takes no value, but was given"),
    (r"^(--access-log/.* '(.*)')$", r"\1; to choose a format: --access-log --access-log-format=\2"),
)


class _Parser(argparse.ArgumentParser):
    """Raises an exception where argparse prints its usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        # argparse calls an option an argument, and the value of a boolean option an "ignored explicit argument".
        for theirs, ours in _REWORDED:
            message = re.sub(theirs, ours, message)
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        raise CommandLineError(message + _hint(unknown[1]) if unknown else message)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formats in 80 columns, and does not break options at their hyphens."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=HELP_COLUMN, width=WIDTH)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: ")


def _hint(unknown: str) -> str:
    from difflib import get_close_matches  # lazy import: only needed after a typo

    near = get_close_matches(unknown, map(option_name, SETTINGS), 1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _make_parser() -> _Parser:
    """Return a parser with every option; options that are not given are absent from its result."""
    parser = _Parser(
        prog="waitress-serve",
        usage="waitress-serve [OPTIONS] MODULE:OBJECT",
        description=_HEAD,
        epilog=_FOOT,
        formatter_class=_HelpFormatter,
        argument_default=argparse.SUPPRESS,
        add_help=False,
    )
    options = parser.add_argument_group("Options")
    options.add_argument(
        "--app", metavar="MODULE:OBJECT", help="The application, in place of the word without an option."
    )
    options.add_argument(
        "--call",
        action="store_true",
        help="The object is a factory: call it, without arguments, and serve what it returns.",
    )
    options.add_argument(
        "--log-level",
        metavar="LEVEL",
        type=str.upper,
        choices=LOG_LEVELS,
        help="Log records of that level and above, of the application too: debug, info, warning, error or critical. "
        "Default: info of the server, warning of the application.",
    )
    options.add_argument("--help", action="store_true", help="Show this text.")
    groups = {group: parser.add_argument_group(group) for group in dict.fromkeys(s.group for s in SETTINGS)}
    without_effect = parser.add_argument_group("Accepted, without effect")
    for setting in SETTINGS:
        _add_option(groups[setting.group] if setting.has_effect else without_effect, setting)
    return parser


def _add_option(group: argparse._ArgumentGroup, setting: Setting) -> None:
    text = argparse.SUPPRESS
    if setting.name not in _FROM_PYTHON_ONLY:
        default = _default(setting) if setting.has_effect else ""
        text = (_with_options(setting.help) + default).replace("%", "%%")
    if setting.kind == "boolean":
        group.add_argument(option_name(setting), action=argparse.BooleanOptionalAction, help=text)
    else:
        action = "append" if setting.name == "listen" else "store"
        group.add_argument(option_name(setting), action=action, metavar=_metavar(setting), help=text)


def _metavar(setting: Setting) -> str:
    if setting.kind in ("integer", "number") and setting.name not in _METAVARS:
        return setting.unit.upper() if setting.unit in ("bytes", "seconds") else "NUMBER"
    return _METAVARS.get(setting.name, setting.kind.upper())


def _with_options(text: str) -> str:
    """Return a text with the settings in it written as options."""

    def as_option(word: re.Match[str]) -> str:
        setting = _SETTING_BY_NAME.get(word[0])
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
        value = " ".join(default)
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
