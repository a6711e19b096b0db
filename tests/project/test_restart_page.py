"""The page on restarts: its commands load new code, and the server itself, and no client notices."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import DOCS
from tests.support.processes import becomes_true
from tests.support.servers import spawned
from tests.support.steady_load import SteadyLoad

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="Windows cannot fork worker processes")

SHOP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{version}"]
"""
SERVE, RELOAD, RENEW = re.findall(
    r"^    ((?:waitress-serve --listen|kill -).*)$", (DOCS / "how-to/restart.md").read_text("utf-8"), re.MULTILINE
)


def test_the_commands_of_the_page_lose_no_request(tmp_path: Path) -> None:
    def release(version: str) -> None:
        (tmp_path / "shop.py").write_text(SHOP.replace("{version}", version), encoding="utf-8")

    release("first")
    program, *arguments = SERVE.replace(":8080", ":0").split()
    command = [str(Path(sys.executable).with_name(program)), "--worker-kind=process", *arguments]
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}  # so that files written within a second are read again
    with spawned(command, tmp_path, environ) as server:
        address = server.wait_for_address()
        for _ in range(2):
            server.wait_for_line(r"Worker \d+ serves")
        assert becomes_true((tmp_path / "shop.pid").exists)
        first_pid = (tmp_path / "shop.pid").read_text()
        with SteadyLoad(address, keeping=2, new=2) as load:
            for version, renewal, done in (("second", RELOAD, "Reloaded"), ("third", RENEW, "which ends")):
                release(version)
                subprocess.run(renewal, shell=True, cwd=tmp_path, check=True)
                server.wait_for_line(done)
                assert becomes_true(lambda version=version: f"200 {version}" in load.answers), server.log  # type: ignore[misc]
            assert server.process.wait(30) == 0
        assert load.failures == []
        subprocess.run("kill -TERM $(cat shop.pid)", shell=True, cwd=tmp_path, check=True)
        assert (tmp_path / "shop.pid").read_text() != first_pid
