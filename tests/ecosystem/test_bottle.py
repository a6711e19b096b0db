"""Bottle with `server="waitress"`: it imports the server and calls `serve` itself."""

import sys

from tests.ecosystem.programs.commands import PROGRAMS, requests_session
from tests.support.ports import free_port
from tests.support.processes import wait_until_accepted
from tests.support.servers import spawned

PROGRAM = "import sys, bottle, bottle_app; bottle.run(bottle_app.site, server='waitress', port=sys.argv[1], threads=2)"


def test_bottle_runs_the_server_by_its_name() -> None:
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, str(port)]
    with spawned(command, PROGRAMS, {"FOLDER": str(PROGRAMS)}) as server, requests_session() as session:
        wait_until_accepted(server, ("127.0.0.1", port))
        answer = session.get(f"http://127.0.0.1:{port}/files/plain.py")
        server.signal()
        status = server.wait()
    assert (answer.content, answer.headers["Server"]) == ((PROGRAMS / "plain.py").read_bytes(), "waitress")
    assert status == 0 or sys.platform == "win32"  # Windows has no signal to ask by
