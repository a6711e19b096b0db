"""The status server is a server of our own: with what it is made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.status.snapshots import snapshot_of
from waitress_core import Adjustments
from waitress_core.config.status_settings import LIMITS
from waitress_core.status.app import StatusApplication
from waitress_core.status.second_server import CLOSE_SECONDS, make_status_server
from waitress_core.threads.dispatcher import Dispatcher


class Made:
    """What `create_server` was asked for, in place of a server."""

    close_seconds = 0.0

    def __init__(self, application: Callable[..., Any], dispatcher: Dispatcher, **settings: Any) -> None:
        self.application = application
        self.dispatcher = dispatcher
        self.settings = settings


def made(**settings: Any) -> Made:
    adj = Adjustments(**{"listen": "127.0.0.1:0", "status_listen": "127.0.0.1", **settings})
    return make_status_server(Made, adj, lambda: ([snapshot_of()], None), version="1.2.3")


def ask(server: Made, path: str, **environ: str) -> tuple[str, str]:
    """Return status and body of an answer."""
    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        statuses.append(status)

    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "HTTP_HOST": "127.0.0.1", **environ}
    body = b"".join(server.application(asked, start_response))
    return statuses[0][:3], body.decode()


def test_it_has_low_limits_one_thread_with_its_own_name_and_a_short_end() -> None:
    server = made()
    assert isinstance(server.application, StatusApplication)
    assert server.settings == {**LIMITS, "listen": "127.0.0.1:9180"}
    assert server.close_seconds == CLOSE_SECONDS


def test_it_reports_what_its_server_does_and_its_version() -> None:
    server = made()
    assert ask(server, "/health")[0] == "200"
    status, text = ask(server, "/status.json")
    assert status == "200"
    assert ' 1.2.3"' in text


@pytest.mark.parametrize("where", ["setting", "file"])
def test_the_token_is_the_one_of_the_settings_or_of_their_file(where: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-of-the-operators-123456\n", encoding="ascii")
    file.chmod(0o600)
    token = {"status_token": "secret-of-the-operators-123456"} if where == "setting" else {"status_token_file": file}
    server = made(**{name: str(value) for name, value in token.items()})
    assert ask(server, "/status.json")[0] == "401"
    assert ask(server, "/status.json", HTTP_AUTHORIZATION="Bearer secret-of-the-operators-123456")[0] == "200"


def test_a_token_file_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="status_token_file="):
        made(status_token_file=str(tmp_path / "none"))


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no unix sockets in Python")
def test_on_a_unix_socket_any_name_of_a_host_is_local(tmp_path: Path) -> None:
    server = made(status_listen=str(tmp_path / "status.sock"))
    assert server.settings["unix_socket"] == str(tmp_path / "status.sock")
    assert ask(server, "/status.json", HTTP_HOST="shop.example")[0] == "200"
    assert ask(made(), "/status.json", HTTP_HOST="shop.example")[0] != "200"
