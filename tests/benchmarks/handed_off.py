"""This server with every request handed off to another thread: python -m tests.benchmarks.handed_off PORT.

Every other server with a pool of threads works like this. This one runs a quick request on the thread that has read it.
That must not make slow requests slower, so both are measured.
"""

from __future__ import annotations

import sys

from tests.benchmarks.applications import application
from tests.benchmarks.servers import THREADS
from waitress_core import Dispatcher, create_server


class HandsOver(Dispatcher):
    """As a subclass of Dispatcher it is given every request."""


if __name__ == "__main__":
    listen = f"127.0.0.1:{sys.argv[1]}"
    create_server(application, HandsOver(THREADS), listen=listen, threads=THREADS).run()
