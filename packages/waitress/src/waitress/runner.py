"""The command, as waitress 3.0 offers it to Python."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import waitress
from waitress_cli import main


def run(argv: Sequence[str] | None = None, _serve: Callable[..., Any] | None = None) -> int:
    """Run the command with `argv`, by default `sys.argv`: the name of the program, then its arguments.

    Return the exit status: 0 when the server has ended, 1 when it could not start. `_serve` replaces
    `waitress.serve`.
    """
    return main((sys.argv if argv is None else argv)[1:], waitress.serve if _serve is None else _serve)
