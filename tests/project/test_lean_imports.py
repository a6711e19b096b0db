"""What `import waitress`, and serving a request, import of the standard library: no more than the server needs."""

import subprocess
import sys

import pytest

from tests.project.repository import PACKAGES

# Each is used by the server, and so are those that they import themselves.
NEEDED = """
__future__ array atexit collections.abc contextlib enum errno io logging os queue re select signal socket stat sys
threading time typing
"""

PROGRAM = """
import importlib, sys
sys.path[:0] = sys.argv[1].split("|")
for name in sys.argv[2].split():
    importlib.import_module(name)
before = set(sys.modules)
import socket, waitress
{then}
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("waitress")))
"""
SERVE = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode("latin-1")]

server = waitress.create_server(application, listen="127.0.0.1:0")
with server:
    with socket.socket() as client:
        client.connect((server.effective_host, int(server.effective_port)))
        client.sendall(b"GET /a%20b HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
assert answer.endswith(b"/a b"), answer
"""


@pytest.mark.parametrize("then", ["", SERVE], ids=["import", "serve"])
def test_nothing_is_imported_that_serving_does_not_need(then: str) -> None:
    sources = "|".join(str(package.source.parent) for package in PACKAGES)
    command = [sys.executable, "-S", "-c", PROGRAM.format(then=then), sources, NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
