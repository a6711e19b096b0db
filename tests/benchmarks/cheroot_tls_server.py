"""Serve the application by TLS with cheroot; its command has no option for it: PORT THREADS CERTIFICATE KEY."""

from __future__ import annotations

import sys

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from tests.benchmarks.applications import application

if __name__ == "__main__":
    port, threads, certificate, key = sys.argv[1:]
    server = wsgi.Server(("127.0.0.1", int(port)), application, numthreads=int(threads))
    server.ssl_adapter = BuiltinSSLAdapter(certificate, key)
    server.start()
