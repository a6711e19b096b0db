"""New Relic's agent, in its developer mode, sees each request that any way to start the server brings.

It wraps `waitress.server.WSGIServer.__init__`, and there the application.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import (
    INI_LOGGING,
    PROGRAMS,
    command,
    json_of,
    requests_session,
    served,
    url_of,
)

pytestmark = pytest.mark.ecosystem

WAYS = {
    "waitress-serve": ["waitress-serve", "--listen=127.0.0.1:0", "newrelic_app:application"],
    "two listeners": ["waitress-serve", "--listen=127.0.0.1:0", "--listen=127.0.0.1:0", "newrelic_app:application"],
    "python -m waitress": [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", "newrelic_app:application"],
    "pserve": ["pserve", "site.ini"],
    "serve": [sys.executable, str(PROGRAMS / "newrelic_app.py")],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_agent_sees_a_request_and_its_server(way: str, tmp_path: Path) -> None:
    ini = (PROGRAMS / "newrelic_app.ini").read_text(encoding="utf-8")
    (tmp_path / "site.ini").write_text(ini + INI_LOGGING, encoding="utf-8")
    name, *arguments = WAYS[way]
    program = name if Path(name).is_absolute() else command(name)
    env = {"NEW_RELIC_CONFIG_FILE": str(PROGRAMS / "newrelic.ini"), "PYTHONPATH": str(PROGRAMS)}
    with served("newrelic-admin", "run-program", program, *arguments, cwd=tmp_path, env=env) as server:
        url = url_of(server)
        with requests_session() as session:
            assert json_of(session.get(url)) == [["Waitress", version("waitress")]]
