"""The settings of the status server: what is refused, and what it is made with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from waitress_core import Adjustments
from waitress_core.config.status_settings import read_token, settings_of_status_server, token_of

TOKEN = "0123456789abcdef"
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


def adjustments(**settings: Any) -> Adjustments:
    return Adjustments(listen="127.0.0.1:0", **settings)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:9180", "127.0.0.1", "[::1]:9180", "[::1]", "localhost:0", "http://127.0.0.1:9180", "/run/x.sock"],
)
def test_this_machine_needs_no_token(address: str) -> None:
    adjustments(status_listen=address)


@pytest.mark.parametrize("address", ["0.0.0.0:9180", "*:9180", "[::]:9180", "192.0.2.1:9180"])
def test_an_address_beyond_this_machine_needs_a_token(address: str) -> None:
    with pytest.raises(ValueError, match="can be reached from other machines: set status_token_file or status_token"):
        adjustments(status_listen=address)
    adjustments(status_listen=address, status_token=TOKEN)
    adjustments(status_listen=address, status_token_file="token")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"status_listen": "127.0.0.1:x-y"}, "status_listen='127.0.0.1:x-y': "),
        ({"status_listen": "127.0.0.1:70000"}, "status_listen='127.0.0.1:70000': the port of '127.0.0.1:70000' is not"),
        ({"status_listen": "https://127.0.0.1:1"}, "status_listen='https://127.0.0.1:1': expected HOST:PORT, "),
        ({"status_listen": "http://127.0.0.1:1/x"}, "status_listen='http://127.0.0.1:1/x': expected HOST:PORT, "),
        ({"status_listen": "unix:x.sock"}, "status_listen='unix:x.sock': expected HOST:PORT, [IPV6]:PORT or the path"),
        ({"status_listen": "systemd"}, "status_listen='systemd': expected HOST:PORT, "),
        ({"status_listen": "proxy+127.0.0.1:1"}, "status_listen='proxy+127.0.0.1:1': expected HOST:PORT, "),
        ({"status_token": TOKEN}, "status_token has no meaning without status_listen"),
        ({"status_token_file": "x"}, "status_token_file has no meaning without status_listen"),
        (
            {"status_listen": "127.0.0.1:1", "status_token": TOKEN, "status_token_file": "x"},
            "status_token and status_token_file are two tokens: give one",
        ),
        ({"ready_queue_seconds": -1}, "ready_queue_seconds=-1: expected a number of seconds of at least 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_is_refused_with_its_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        adjustments(**settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("token", ["", "short", "0123456789 abcdef", "0123456789abcdeé", "0123456789abcdef\n"])
def test_a_token_that_is_invalid_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError) as caught:
        adjustments(status_listen="127.0.0.1:0", status_token=token)
    assert str(caught.value) == "status_token=...: expected 16 or more visible ASCII characters"


# --- the file


def token_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "token"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n"])
def test_the_token_is_what_its_file_holds(tmp_path: Path, text: str) -> None:
    path = token_file(tmp_path, text)
    assert token_of(adjustments(status_listen="127.0.0.1:0", status_token_file=path)) == TOKEN


def test_a_token_without_a_file_is_itself() -> None:
    assert token_of(adjustments(status_listen="127.0.0.1:0", status_token=TOKEN)) == TOKEN
    assert token_of(adjustments(status_listen="127.0.0.1:0")) is None


@posix
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o602, 0o601])
def test_a_file_that_is_open_to_every_user_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, TOKEN, mode)
    with pytest.raises(ValueError) as caught:
        read_token(path)
    assert str(caught.value) == (
        f"status_token_file={path!r} is open to every user, its permissions are {mode:o}: chmod 600 it"
    )


@posix
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640, 0o660])
def test_a_file_for_owner_and_group_is_read(tmp_path: Path, mode: int) -> None:
    assert read_token(token_file(tmp_path, TOKEN, mode)) == TOKEN


@pytest.mark.parametrize("text", ["", "\n", "short", f"{TOKEN}\n{TOKEN}\n", "a" * 5000, "0123456789abcdeé"])
def test_a_file_without_a_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = token_file(tmp_path, text)
    with pytest.raises(ValueError) as caught:
        read_token(path)
    assert str(caught.value) == (
        f"status_token_file={path!r} holds no token: expected one line of 16 or more visible ASCII characters"
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "gone")
    with pytest.raises(ValueError, match="cannot be read: No such file or directory"):
        read_token(path)


# --- the server that is made


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.0.0.1:0", {"listen": "127.0.0.1:0"}),
        ("127.0.0.1", {"listen": "127.0.0.1:9180"}),
        ("[::1]", {"listen": "[::1]:9180"}),
        ("http://localhost:9", {"listen": "http://localhost:9"}),
        ("/run/x.sock", {"unix_socket": "/run/x.sock", "unix_socket_perms": "660"}),
        ("unix:/run/x.sock", {"unix_socket": "/run/x.sock", "unix_socket_perms": "660"}),
        ("http://unix:/run/x.sock", {"unix_socket": "/run/x.sock", "unix_socket_perms": "660"}),
        ("./x.sock", {"unix_socket": "./x.sock"}),
    ],
)
def test_it_listens_where_the_setting_says_with_low_limits(address: str, where: dict[str, str]) -> None:
    given = settings_of_status_server(adjustments(status_listen=address, unix_socket_perms="660"))
    assert {name: given[name] for name in where} == where
    made = Adjustments(**given)
    assert (made.threads, made.connection_limit, made.max_request_body_size) == (1, 64, 0)
