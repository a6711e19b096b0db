"""Serves the application until SIGTERM, again and again, each time in a new child: `serve.py TIMES`.

A child logs its address, and at its end how many threads and descriptors are left.
"""

import logging
import os
import socket
import sys
import tempfile
import threading
from typing import Any

from tests.soak.application import WHOLE, Application
from waitress_core import TcpWSGIServer

logger = logging.getLogger("soak")

SETTINGS: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "threads": 4,
    "connection_limit": 500,
    "inbuf_overflow": 50_000,
    "outbuf_overflow": 50_000,
    "outbuf_high_watermark": 200_000,
}


def serve(application: Application) -> None:
    """Serve once."""
    descriptors = os.listdir("/proc/self/fd")
    server = TcpWSGIServer(application, **SETTINGS)
    # A small buffer of the system, so that sending a response takes some time.
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    with server.ending_signals():
        logger.info("%d serves on %s", os.getpid(), server.effective_port)
        server.run()
    left = threading.active_count() - 1, len(os.listdir("/proc/self/fd")) - len(descriptors)
    logger.info("ended; left %d threads, %d descriptors", *left)


def main(times: int) -> None:
    """Serve `times` times."""
    if sys.platform == "win32":
        raise NotImplementedError("needs os.fork")
    logging.basicConfig(level=logging.INFO)
    with tempfile.NamedTemporaryFile() as file:
        file.write(WHOLE)
        file.flush()
        for _ in range(times):
            child = os.fork()
            if not child:
                try:
                    serve(Application(file.name))
                except BaseException:
                    logger.exception("failed")
                    os._exit(1)
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            logger.info("exit status %d", status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
