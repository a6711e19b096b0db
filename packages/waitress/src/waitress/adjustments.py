"""The settings, by the names of waitress 3.0.

For programs that read a configuration by its casts, walk `Adjustments._params` to offer every setting as an option of
their own command, read a default from the class, or give a server `adj`.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import waitress_core
from waitress_core import SETTINGS, Setting
from waitress_core.config import casts
from waitress_core.config.adjustments import PROXY_HEADERS as KNOWN_PROXY_HEADERS
from waitress_core.config.adjustments import check_sockets
from waitress_core.config.casts import TRUE_WORDS as truthy  # noqa: N811  # the old name
from waitress_core.config.casts import aslist, asset

from ._modules import old_module
from .compat import HAS_IPV6, WIN

__all__ = [
    "HAS_IPV6",
    "KNOWN_PROXY_HEADERS",
    "PROXY_HEADERS",
    "WIN",
    "Adjustments",
    "as_socket_list",
    "asbool",
    "aslist",
    "aslist_cronly",
    "asoctal",
    "asset",
    "slash_fixed_str",
    "str_iftruthy",
    "truthy",
]

# The same headers as an environ has them, without `HTTP_`.
PROXY_HEADERS = frozenset(name.upper().replace("-", "_") for name in KNOWN_PROXY_HEADERS)


# The casts of the core, with the old names of their arguments.


def asbool(s: object) -> bool:
    """Return whether a word is one of `truthy`, in any case; None is false."""
    return casts.asbool(s)


def asoctal(s: object) -> int:
    """Return the number of a string of octal digits: `"660"` is 0o660."""
    return casts.asoctal(s)


def str_iftruthy(s: object) -> str | None:
    """Return the value as a string, or None if it is empty."""
    return casts.str_iftruthy(s)


def slash_fixed_str(s: object) -> str:
    """Return a path prefix: empty, or with exactly one leading slash and no trailing one."""
    return casts.slash_fixed_str(s)


def as_socket_list(sockets: object) -> list[socket.socket]:
    """Return the sockets of an iterable as a list."""
    return casts.as_socket_list(sockets)


def aslist_cronly(value: object) -> list[str]:
    """Split a string at line ends, and drop empty lines; return the items of any other iterable."""
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return list(value)  # type: ignore[call-overload,no-any-return]  # it raises for what is not iterable


class _str_marker(str):  # noqa: N801  # the old name
    """A host that no program has given."""


class _int_marker(int):  # noqa: N801  # the old name
    """A port that no program has given."""


_AdjustmentsParams = Any  # of the types that others have written for waitress 3.0: any setting

# By our cast, or the type of the default: the cast of 3.0. Programs make their own options from `_params`, and know
# those functions only; the settings have casts that accept more, for example fractions of a second.
_OLD_CASTS: dict[Any, Callable[[Any], Any]] = {
    str: str,
    casts.asbool: asbool,
    casts.as_words: aslist,
    casts.as_word_set: asset,
    casts.asoctal: asoctal,
    casts.slash_fixed_str: slash_fixed_str,
    casts.str_iftruthy: str_iftruthy,
    casts.as_socket_list: as_socket_list,
}
_OLD_CASTS_BY_DEFAULT: dict[type, Callable[[Any], Any]] = {bool: asbool, int: int, float: int, str: str}
_NAMES = frozenset(setting.name for setting in SETTINGS)


def _cast_of(setting: Setting) -> Callable[[Any], Any]:
    if setting.name == "unix_socket":
        return str
    by_default = _OLD_CASTS_BY_DEFAULT.get(type(setting.default), str_iftruthy)
    return _OLD_CASTS.get(setting.cast, by_default)


class Adjustments(waitress_core.Adjustments):
    """The settings of one server, each an attribute; see `waitress_core.Adjustments`."""

    host = _str_marker("0.0.0.0")
    port = _int_marker(8080)

    # (name, cast) of each setting
    _params: ClassVar[tuple[tuple[str, Callable[[Any], Any]], ...]] = tuple(
        (setting.name, _cast_of(setting)) for setting in SETTINGS
    )
    _param_map: ClassVar[dict[str, Callable[[Any], Any]]] = dict(_params)

    def __init__(self, **given: Any) -> None:
        # A program may have entered its own settings.
        own = {name: given.pop(name) for name in list(given) if name in self._param_map and name not in _NAMES}
        super().__init__(**given)
        for name, value in own.items():
            setattr(self, name, self._param_map[name](value))

    @classmethod
    def check_sockets(cls, sockets: list[socket.socket]) -> None:
        """Refuse what is not a list of stream sockets of one kind, TCP or unix, with a ValueError."""
        check_sockets(sockets)

    @classmethod
    def parse_args(cls, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Read arguments of `waitress-serve`: give the settings as strings, and what follows the options.

        The settings also have two booleans, `help` and `call`: whether the option was given.

        Raises:
            getopt.GetoptError: an unknown option, a missing value, or a value where none is expected.
        """
        # Here, because only programs that read a command line need it.
        from getopt import GetoptError

        from waitress_cli.options import CommandLineError, parse

        try:
            command = parse(argv, options_first=True)
        except CommandLineError as error:
            # Programs that offer these options catch what 3.0.2 raised.
            raise GetoptError(str(error)) from None
        wants_call = command.given.get("call") == "true"
        return {"help": command.wants == "help", "call": wants_call, **command.settings}, command.applications


old_module(__name__, "getopt warnings")
