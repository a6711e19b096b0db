"""aiowsgi: an outside loop accepts on the socket of a server that has not started, and runs our parser and tasks.

Its release of 2019 calls `asyncio.coroutine`, which Python 3.11 has no more: the test brings that.
"""

import importlib.util
import signal
import sys
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import httpx_client
from tests.support.ports import free_port
from tests.support.processes import wait_until_accepted
from tests.support.servers import spawned_script

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(not importlib.util.find_spec("aiowsgi"), reason="needs aiowsgi: `make test-ecosystem` has it"),
]

PROGRAM = """
import asyncio

if not hasattr(asyncio, "coroutine"):
    def coroutine(function):
        async def call(*arguments):
            return function(*arguments)
        return call
    asyncio.coroutine = coroutine

import aiowsgi

async def answer(environ, start_response):
    body = environ["wsgi.input"].read()
    await asyncio.sleep(0)
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_FORWARDED_FOR", "SERVER_PORT")
    facts = [environ.get(name) or "-" for name in names]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join([*facts, str(len(body))]).encode()]

def in_a_thread(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return [b"several ", b"pieces"]

asyncio.set_event_loop(asyncio.new_event_loop())
try:
    aiowsgi.serve({application}, host="127.0.0.1", port={port})
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("application", ["answer", "in_a_thread"])
def test_its_loop_serves_and_ends(application: str, tmp_path: Path) -> None:
    port = free_port()
    text = PROGRAM.replace("{application}", application).replace("{port}", str(port))
    with spawned_script(text, tmp_path) as process:
        wait_until_accepted(process, ("127.0.0.1", port))
        with httpx_client(f"http://127.0.0.1:{port}") as client:
            if application == "answer":
                # Nobody is trusted, so the header is not to reach the application.
                headers = {"X-Forwarded-For": "192.0.2.1"}
                assert client.get("/a%20b?x=y", headers=headers).text == f"GET /a b x=y - {port} 0"
                assert client.post("/tea", content=bytes(100_000)).text == f"POST /tea - - {port} 100000"
            else:
                assert client.get("/").text == "several pieces"
                assert client.get("/file").text == text
            assert client.get("/").headers["Server"] == "aiowsgi"
        process.signal(signal.SIGINT)
        assert process.wait() == 0 or sys.platform == "win32", process.log
        assert process.output == ["ended"] or sys.platform == "win32"
