"""`python -m waitress`: the command `waitress-serve` of this interpreter."""

import sys

from .runner import run

if __name__ == "__main__":
    sys.exit(run())
