"""The settings, by the names of waitress 3.0.

For programs that read a configuration by its casts, walk `Adjustments._params` to offer every setting as an option of
their own command, read a default from the class, or give a server `adj`.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import waitress_core
from waitress_core import SETTINGS
from waitress_core.config.adjustments import PROXY_HEADERS as KNOWN_PROXY_HEADERS
from waitress_core.config.adjustments import check_sockets
from waitress_core.config.casts import TRUE_WORDS as truthy  # noqa: N811  # the old name
from waitress_core.config.casts import as_socket_list, asbool, aslist, asoctal, asset, slash_fixed_str, str_iftruthy

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

# The same headers as they stand in an environ, without `HTTP_`.
PROXY_HEADERS = frozenset(name.upper().replace("-", "_") for name in KNOWN_PROXY_HEADERS)


def aslist_cronly(value: object) -> list[str]:
    """Split a string at line ends, and drop empty lines; return the items of any other iterable."""
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return list(value)  # type: ignore[call-overload,no-any-return]  # it raises for what is not iterable


class Adjustments(waitress_core.Adjustments):
    """The settings of one server, each an attribute; see `waitress_core.Adjustments`."""

    # (name, cast) of each setting
    _params: ClassVar[tuple[tuple[str, Callable[[Any], Any]], ...]] = tuple(
        (setting.name, setting.cast) for setting in SETTINGS
    )
    _param_map: ClassVar[dict[str, Callable[[Any], Any]]] = dict(_params)

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
        return {"help": command.wants_help, "call": command.wants_call, **command.settings}, command.applications
