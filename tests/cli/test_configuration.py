"""What the command says of settings that are wrong together, or only in use: by the names that their sources have."""

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import APPLICATION, command, run_command
from tests.support.platforms import make_fifo, signal_number
from tests.support.servers import spawned
from waitress_cli import main
from waitress_core import Adjustments


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "configured_shop.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("configured_shop", None)


def start(application: object, **settings: object) -> None:
    """Read the settings as a server does."""
    Adjustments(**{name: value for name, value in settings.items() if not name.startswith("_")})


BOTH = (
    "The Forwarded proxy header and the X-Forwarded-{By,Host,Proto,Port,For} headers are mutually exclusive. "
    "Can't trust both!"
)
FAULTS = {
    "option": ("", {}, ["--listen=a:99999"], "--listen='a:99999': the port of 'a:99999' is not between 0 and 65535"),
    "variable": (
        "",
        {"WAITRESS_LISTEN": "a:99999"},
        [],
        "WAITRESS_LISTEN='a:99999': the port of 'a:99999' is not between 0 and 65535",
    ),
    "file": (
        "threads = 2\nlisten = ['a:99999']",
        {},
        [],
        "w.toml, line 2: listen=['a:99999']: the port of 'a:99999' is not between 0 and 65535",
    ),
    "other-setting-that-is-meant": (
        "",
        {},
        ["--listen=/x.sock"],
        "--listen='/x.sock': '/x.sock' is a unix socket: set --unix-socket=/x.sock, and no --listen",
    ),
    "other-setting-in-a-file": (
        "listen = '/x.sock'",
        {},
        [],
        "w.toml, line 1: listen='/x.sock': '/x.sock' is a unix socket: set unix_socket=/x.sock, and no listen",
    ),
    "two-options": (
        "",
        {},
        ["--listen=a:1", "--port=2"],
        "--host or --port may not be set if --listen is set.",
    ),
    "two-lines": (
        "listen = 'a:1'\n\nport = 2",
        {},
        [],
        "w.toml, line 3 and w.toml, line 1: host or port may not be set if listen is set.",
    ),
    "file-and-option": (
        "shutdown_timeout = 5",
        {},
        ["--shutdown-delay=6"],
        "w.toml, line 1: --shutdown-delay=6: expected no more than shutdown_timeout, which includes it and is 5",
    ),
    "option-and-default": (
        "",
        {},
        ["--shutdown-delay=60"],
        "--shutdown-delay=60: expected no more than --shutdown-timeout, which includes it and is 25",
    ),
    "variable-and-default": (
        "",
        {"WAITRESS_TLS_KEY": "k"},
        [],
        "WAITRESS_TLS_KEY has no meaning without WAITRESS_TLS_CERTIFICATE",
    ),
    "braces-in-a-value": (
        "listen = 'x{y}z:99999'",
        {},
        [],
        "w.toml, line 1: listen='x{y}z:99999': the port of 'x{y}z:99999' is not between 0 and 65535",
    ),
    "no-name-in-the-text": (
        "trusted_proxy = '*'\ntrusted_proxy_headers = ['forwarded', 'x-forwarded-for']",
        {},
        [],
        f"w.toml, line 2: {BOTH}",
    ),
    "folder": ("chdir = 'nowhere'", {}, [], "w.toml, line 1: chdir='nowhere': No such file or directory"),
    "after-a-change-of-folder": (
        "chdir = 'there'\ntrusted_proxy_count = 2\napp_dir = '..'",
        {},
        [],
        "w.toml, line 2: trusted_proxy_count has no meaning without setting trusted_proxy",
    ),
    "log": (
        "log_config = 'no.json'",
        {},
        [],
        "w.toml, line 1: Cannot configure logging by no.json: No such file or directory",
    ),
    "log-by-a-variable": (
        "",
        {"WAITRESS_LOG_CONFIG": "no.json"},
        [],
        "WAITRESS_LOG_CONFIG: Cannot configure logging by no.json: No such file or directory",
    ),
    "levels": (
        "log_config = 'no.json'\nlog_level = 'info'",
        {},
        [],
        "w.toml, line 1 and w.toml, line 2: log_config has the levels: leave log_level out",
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there the system gives its causes in other words")
@pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])
@pytest.mark.parametrize(("file", "environ", "words", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_several_settings_has_place_and_names_of_their_sources(
    file: str,
    environ: dict[str, str],
    words: list[str],
    message: str,
    check: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "w.toml").write_text(file)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main([*check, "--config=w.toml", *words, "configured_shop:application"], start) == 1
    assert f"Error: {message}" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("file", "environ", "words", "place"),
    [
        ("listen = '127.0.0.1:{}'", "", "", "w.toml, line 1: "),
        ("host = '127.0.0.1'\nport = {}", "", "", "w.toml, line 1 and w.toml, line 2: "),
        ("", "127.0.0.1:{}", "", "WAITRESS_LISTEN: "),
        ("", "", "--listen=127.0.0.1:{}", ""),
    ],
    ids=["file", "two-lines", "variable", "option"],
)
def test_an_address_that_is_taken_has_its_place(file: str, environ: str, words: str, place: str, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (folder / "w.toml").write_text(file.format(port))
        given = [words.format(port)] if words else []
        variables = {**os.environ, **({"WAITRESS_LISTEN": environ.format(port)} if environ else {})}
        done = run_command("--config=w.toml", *given, "configured_shop:application", cwd=folder, env=variables)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {place}Cannot listen on 127.0.0.1:{port}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("by", ["file", "variable", "option"])
def test_an_address_of_the_status_server_that_is_taken_is_told_from_the_others(by: str, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (folder / "w.toml").write_text("listen = '127.0.0.1:0'\n" + f"status_listen = '{address}'\n" * (by == "file"))
        variables = {**os.environ, **({"WAITRESS_STATUS_LISTEN": address} if by == "variable" else {})}
        words = [f"--status-listen={address}"] if by == "option" else []
        done = run_command("--config=w.toml", *words, "configured_shop:application", cwd=folder, env=variables)
    name = {"file": "w.toml, line 2: status_listen", "variable": "WAITRESS_STATUS_LISTEN", "option": "--status-listen"}
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {name[by]}: Cannot listen on {address}: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_has_the_settings_is_read_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_fifo(folder / "w.toml")
    writer = threading.Thread(target=(folder / "w.toml").write_text, args=["trusted_proxy_count = 2"])
    writer.start()
    assert main(["--config=w.toml", "configured_shop:application"], start) == 1
    writer.join()
    assert capsys.readouterr().err == (
        "Error: w.toml: trusted_proxy_count has no meaning without setting trusted_proxy\n"
    )


def test_the_place_of_a_setting_in_a_file_that_is_gone_is_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start_later(application: object, **settings: object) -> None:
        (folder / "w.toml").unlink()
        start(application, **settings)

    (folder / "w.toml").write_text("trusted_proxy_count = 2")
    assert main(["--config=w.toml", "configured_shop:application"], start_later) == 1
    assert capsys.readouterr().err == (
        "Error: w.toml: trusted_proxy_count has no meaning without setting trusted_proxy\n"
    )


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "shutdown_delay = 60",
            "shutdown_delay=60: expected no more than shutdown_timeout, which includes it and is 25",
        ),
        ("access_log_file = 'nowhere/a.log'", "Cannot write the access log nowhere/a.log: No such file or directory"),
    ],
    ids=["two-settings", "access-log"],
)
def test_a_reload_that_is_refused_is_logged_with_place_too(line: str, message: str, folder: Path) -> None:
    (folder / "w.toml").write_text("threads = 1\n")
    words = [command(), "--config=w.toml", "--listen=127.0.0.1:0", "--workers=2", "--worker-kind=process"]
    with spawned([*words, "configured_shop:application"], folder) as server:
        server.wait_for_address()
        (folder / "w.toml").write_text(f"threads = 1\n{line}\n")
        server.signal(signal_number("SIGHUP"))
        server.wait_for_line(f"SIGHUP: w.toml, line 2: {re.escape(message)}; settings and workers stay as they were")


@pytest.mark.parametrize(
    ("name", "ours"), [("bind", "listen"), ("timeout", "worker_timeout"), ("certfile", "tls_certificate")]
)
def test_a_name_of_an_option_elsewhere_is_told_in_a_file_and_in_a_variable(
    name: str, ours: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "w.toml").write_text(f"{name} = 'x'")
    monkeypatch.setenv(f"WAITRESS_{name.upper()}", "x")
    assert main(["--check", "--config=w.toml", "--listen=127.0.0.1:0", "configured_shop:application"], start) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"Error: w.toml, line 1: {name} is not a setting; here it is {ours}",
        f"Error: WAITRESS_{name.upper()} (here it is WAITRESS_{ours.upper()}) is not a setting, and is ignored",
    ]
