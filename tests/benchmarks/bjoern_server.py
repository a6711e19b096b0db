"""Serve an application with bjoern, which has no command: python -m tests.benchmarks.bjoern_server PORT APPLICATION."""

from __future__ import annotations

import pkgutil
import sys

import bjoern

if __name__ == "__main__":
    port, application = sys.argv[1:]
    bjoern.run(pkgutil.resolve_name(application), "127.0.0.1", int(port))
