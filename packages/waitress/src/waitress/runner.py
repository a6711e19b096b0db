"""The command, as waitress 3.0 offers it to Python.

For programs that run it with their own arguments, or print its help and its errors in a command of theirs.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import waitress
from waitress_cli import main

from ._modules import old_module

__all__ = ["run", "show_exception", "show_help"]


def run(argv: Sequence[str] | None = None, _serve: Callable[..., Any] | None = None) -> int:
    """Run the command with `argv`, by default `sys.argv`: the name of the program, then its arguments.

    Return the exit status: 0 when the server has ended, 1 when it could not start. `_serve` replaces
    `waitress.serve`.
    """
    return main((sys.argv if argv is None else argv)[1:], waitress.serve if _serve is None else _serve)


def _help() -> str:
    from waitress_cli.options import help_text  # lazy import: it imports much, and few programs ask for it

    return help_text().replace("{", "{{").replace("}", "}}").replace("waitress-serve", "{0}")


def show_help(stream: TextIO, name: str, error: str | None = None) -> None:
    """Print `HELP` for a program of this name, after an error if there is one."""
    if error is not None:
        print(f"Error: {error}\n", file=stream)
    print(sys.modules[__name__].HELP.format(name), file=stream)  # not `_help`: a program may have its own `HELP`


def show_exception(stream: TextIO) -> None:
    """Print the exception that is being handled, by which the application could not be imported, and its arguments."""
    kind, error, _ = sys.exc_info()
    arguments = getattr(error, "args", ())
    print(f"The application could not be imported: {getattr(kind, '__name__', 'no exception')}", file=stream)
    for number, argument in enumerate(arguments, start=1):
        print(f"{number}. {argument}", file=stream)


old_module(__name__, "Adjustments getopt logger logging os pkgutil serve", HELP=_help)
