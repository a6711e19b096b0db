"""The settings, as waitress 3.0 offers them."""

from collections.abc import Sequence
from typing import Any

import waitress_core
from waitress_core.casts import as_socket_list, asbool, aslist, asoctal, asset, slash_fixed_str, str_iftruthy

__all__ = [
    "Adjustments",
    "as_socket_list",
    "asbool",
    "aslist",
    "asoctal",
    "asset",
    "slash_fixed_str",
    "str_iftruthy",
]


class Adjustments(waitress_core.Adjustments):
    """The settings of one server, each an attribute; see `waitress_core.Adjustments`."""

    @classmethod
    def parse_args(cls, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Read arguments of `waitress-serve`: give the settings as strings, and what follows the options.

        The settings have two booleans besides, `help` and `call`: whether the option was given.

        Raises:
            ValueError: an unknown option, or one whose value is missing or too much.
        """
        # Here, because only programs that read a command line need it.
        from waitress_cli.options import parse

        command = parse(argv, options_first=True)
        return {"help": command.wants_help, "call": command.wants_call, **command.settings}, command.applications
