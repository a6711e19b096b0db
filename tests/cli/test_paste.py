"""What PasteDeploy calls."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import Recorder
from tests.cli.settings_rows import ROWS, Row, is_possible_here, what_it_is
from tests.support.client import Client
from tests.support.rows import each_row
from tests.support.servers import spawned_script
from waitress_cli import serve_paste


def application(environ: Any, start_response: Any) -> list[bytes]:
    return []


@pytest.mark.promise("S14")
@pytest.mark.filterwarnings("ignore:send_bytes will be removed:DeprecationWarning")
@each_row("row", filter(is_possible_here, ROWS), ids=lambda row: row.name)
def test_every_setting_may_be_a_string(row: Row) -> None:
    recorder = Recorder()
    settings: dict[str, Any] = {**dict(row.needed), row.name: row.text}
    assert serve_paste(application, {"here": "/srv"}, _server=recorder, **settings) == 0
    assert recorder.application is application
    assert what_it_is(row, recorder.adjustments) == row.value


PASTE_SCRIPT = """\
import logging, pathlib
logging.basicConfig(level=logging.INFO)

def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.url_scheme"].encode()]

pathlib.Path("site.ini").write_text('''
[server:main]
use = egg:waitress#main
url_scheme = https
{settings}
''')

from paste.deploy import loadserver
loadserver(f"config:{{pathlib.Path('site.ini').resolve()}}")(application)
"""


@pytest.mark.promise("S13")
@pytest.mark.parametrize(
    "settings",
    ["listen =\n    127.0.0.1:0\n    127.0.0.1:0", "host = 127.0.0.1\nport = 0"],
    ids=["listen", "host-and-port"],
)
def test_an_ini_file_serves_on_tcp(settings: str, tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    with spawned_script(PASTE_SCRIPT.format(settings=settings), tmp_path) as server:
        for _ in range(2 if "listen" in settings else 1):
            with Client(server.wait_for_address()) as client:
                assert client.get().body == b"https"


@pytest.mark.promise("S13")
@pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")
def test_an_ini_file_serves_on_a_unix_socket(tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy", reason="PasteDeploy is not installed")
    settings = "unix_socket = it.sock\nunix_socket_perms = 660"  # a short path: the system has a limit
    with spawned_script(PASTE_SCRIPT.format(settings=settings), tmp_path) as server:
        server.wait_for_line("Serving on http://unix:it.sock$")
        assert (tmp_path / "it.sock").stat().st_mode & 0o777 == 0o660
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            with Client("it.sock") as client:
                assert client.get().body == b"https"
