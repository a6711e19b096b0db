"""PyPy lacks names of Linux and of CPython that the server uses. They are taken away here, from CPython too."""

import os
import socket
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.servers import spawned_script

PROGRAM = """
import gc, logging, os, select

for module, name in ((gc, "freeze"), (os, "O_PATH"), (os, "waitid"), (select, "EPOLLEXCLUSIVE")):
    if hasattr(module, name):
        delattr(module, name)

from waitress_core import create_server

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

logging.basicConfig(level=logging.INFO)
create_server(application, unix_socket="socket", workers=2, worker_kind="process").run()
"""


@pytest.mark.plain
@pytest.mark.skipif(not hasattr(os, "fork") or not hasattr(socket, "AF_UNIX"), reason="needs fork and unix sockets")
def test_workers_serve_a_unix_socket_where_the_interpreter_lacks_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a unix socket may have a hundred characters or so
    with spawned_script(PROGRAM, tmp_path) as server:
        for _ in range(2):
            server.wait_for_line(r"Worker \d+ serves")
        with Client("socket") as client:
            assert client.get().body == b"ok"
        server.signal()
        assert server.wait() == 0
