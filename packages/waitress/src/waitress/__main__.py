"""`python -m waitress`: the command `waitress-serve` of this interpreter."""

import sys
from collections.abc import Sequence

from waitress_core.lifecycle.signals import ends_with_server

from .runner import run


def command(argv: Sequence[str] | None = None) -> int:
    """Run the command as `run` does; without `argv` in a process that ends with it."""
    if argv is None:
        ends_with_server()
    return run(argv)


if __name__ == "__main__":
    sys.exit(command())
