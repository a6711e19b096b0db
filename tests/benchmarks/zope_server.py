"""Serve an application with zope.server, which has no command.

python -m tests.benchmarks.zope_server PORT THREADS APPLICATION
"""

from __future__ import annotations

import asyncore
import pkgutil
import sys

from zope.server.http.wsgihttpserver import WSGIHTTPServer
from zope.server.taskthreads import ThreadedTaskDispatcher

if __name__ == "__main__":
    port, threads, application = sys.argv[1:]
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.setThreadCount(int(threads))
    WSGIHTTPServer(pkgutil.resolve_name(application), None, "127.0.0.1", int(port), task_dispatcher=dispatcher)
    asyncore.loop()
