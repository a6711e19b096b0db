"""Serve the application with zope.server, which has no command: python -m tests.benchmarks.zope_server PORT THREADS."""

from __future__ import annotations

import asyncore
import sys

from zope.server.http.wsgihttpserver import WSGIHTTPServer
from zope.server.taskthreads import ThreadedTaskDispatcher

from tests.benchmarks.applications import application

if __name__ == "__main__":
    port, threads = map(int, sys.argv[1:])
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.setThreadCount(threads)
    WSGIHTTPServer(application, None, "127.0.0.1", port, task_dispatcher=dispatcher)
    asyncore.loop()
