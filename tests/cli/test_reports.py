"""What the command says instead of serving: --version, --print-config, --check."""

import json
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.helpers import APPLICATION, run_command
from tests.cli.settings_rows import ROWS, Row, is_possible_here
from tests.support.certificates import server_file
from tests.support.ids import short_id
from waitress_cli import main
from waitress_cli.command_settings import ALL_SETTINGS
from waitress_cli.configuration import configure
from waitress_cli.options import parse
from waitress_cli.reports import faults_of, settings_as_toml
from waitress_core import SETTINGS, Adjustments
from waitress_core.config.sources import Given, read_file
from waitress_core.config.toml_file import as_toml
from waitress_core.config.toml_file import parse as parse_toml


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with an application in it."""
    (tmp_path / "reports_shop.py").write_text(f"{APPLICATION}\nmade = []\n", encoding="utf-8")
    (tmp_path / "reports_raises.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in [name for name in os.environ if name.startswith("WAITRESS_")]:
        monkeypatch.delenv(variable)
    yield tmp_path
    sys.modules.pop("reports_shop", None)


def no_serve(*arguments: object, **settings: object) -> None:
    raise AssertionError("nothing is to be served")


def test_the_version_names_packages_and_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], no_serve) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"waitress {metadata.version('waitress')}"
    assert f"waitress-core {metadata.version('waitress-core')}" in lines
    assert lines[-1].startswith(f"{platform.python_implementation()} {platform.python_version()} on ")


def test_a_package_that_is_not_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name == "waitress":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert main(["--version"], no_serve) == 0
    assert capsys.readouterr().out.startswith("waitress-cli 1\n")


# --- --print-config


def test_the_settings_in_force_are_toml_with_their_sources(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "w.toml").write_text("threads = 8\nbacklog = 5\nmax_request_body_size = '10m'\n", encoding="utf-8")
    monkeypatch.setenv("WAITRESS_BACKLOG", "6")
    assert main(["--config=w.toml", "--print-config", "--listen=a:1 b:2", "reports_shop:application"], no_serve) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.endswith("default") and line[:2] not in ("", "# ")] == [
        'app = "reports_shop:application"  # command line',
        'listen = ["a:1", "b:2"]  # --listen',
        "backlog = 6  # WAITRESS_BACKLOG",
        "threads = 8  # w.toml",
        "max_request_body_size = 10485760  # w.toml",
    ]
    assert "channel_timeout = 120  # default" in lines
    assert "# tls_key is not set  # default" in lines  # an empty path would be refused
    assert 'unix_socket_perms = "600"  # default' in lines
    assert "# port = 8080  # default" in lines  # without a meaning next to `listen`


@pytest.mark.filterwarnings("ignore:send_bytes:DeprecationWarning")
@pytest.mark.parametrize("row", [None, *ROWS], ids=lambda row: row.name if row else "nothing")
def test_the_settings_can_be_read_again_from_what_is_printed(row: Row | None, folder: Path) -> None:
    if row is not None and (not is_possible_here(row) or row.name in ("sockets", "tls_context")):
        pytest.skip("this system has not what it is about")
    words = [*row.words, *(f"--{name.replace('_', '-')}={text}" for name, text in row.needed)] if row else []
    given = configure(parse(words), {})
    (folder / "w.toml").write_text(settings_as_toml(given.given), encoding="utf-8")
    again = read_file("w.toml", ALL_SETTINGS, {})
    assert again.faults == []
    one = Adjustments(**given.server)
    other = Adjustments(**{name: value.value for name, value in again.given.items() if name in vars(one)})
    secret = {setting.name for setting in SETTINGS if setting.is_secret}
    assert {**vars(other), **{name: getattr(one, name) for name in secret}} == vars(one)


TEXTS = st.text() | st.sampled_from(
    ["", "true", "no", "8", "10m", "2min", "660", "json", "*", "a:1 b:2", "x\ny", "$${A}"]
)
NAMES = [setting.name for setting in ALL_SETTINGS]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(NAMES), TEXTS | st.booleans() | st.integers(0, 9) | st.lists(TEXTS), max_size=4),
    st.dictionaries(st.sampled_from([f"WAITRESS_{name.upper()}" for name in NAMES]), TEXTS, max_size=4),
)
@example({}, {"WAITRESS_PORT": "INF"})  # the name of a service, though not of a known one
def test_whatever_is_given_what_is_printed_is_a_file_without_faults(
    folder: Path, table: dict[str, Any], environ: dict[str, str]
) -> None:
    text = "".join(f"{name} = {as_toml(value)}\n" for name, value in table.items())
    (folder / "w.toml").write_text(text, encoding="utf-8")
    configuration = configure(parse(["--config=w.toml"]), environ)
    assert all("\n" not in fault for fault in configuration.faults)
    (folder / "printed.toml").write_text(settings_as_toml(configuration.given), encoding="utf-8")
    assert read_file("printed.toml", ALL_SETTINGS, {}).faults == []


ELSEWHERE = {"app", "chdir", "app_dir", "log_config"}  # they do what their value says


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([f"WAITRESS_{name.upper()}" for name in NAMES if name not in ELSEWHERE]), TEXTS, max_size=4
    )
)
def test_whatever_is_given_a_check_ends_with_lines(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # nobody is asked for names that were made up
    assert all("\n" not in fault for fault in faults_of(configure(parse([]), environ)))


def test_every_setting_is_printed_but_those_from_python_only() -> None:
    text = settings_as_toml({})
    printed = set(re.findall(r"^(?:# )?(\w+) (?:=|is not set)", text, re.MULTILINE))
    assert printed == {setting.name for setting in ALL_SETTINGS} - {"sockets", "tls_context"}
    parse_toml(text)


def test_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = next(s for s in SETTINGS if s.name == "ident")._replace(name="token", is_secret=True)
    monkeypatch.setattr("waitress_cli.reports.ALL_SETTINGS", [secret])
    text = settings_as_toml({"token": Given("swordfish", "WAITRESS_TOKEN")})
    assert text == "# Application\n# token is hidden  # WAITRESS_TOKEN\n"


def test_a_path_cannot_end_its_comment() -> None:
    text = settings_as_toml({"threads": Given(8, "a\nport = 1 #")})
    assert "threads = 8  # a\\nport = 1 #\n" in text


def test_faults_are_printed_in_place_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-config", "--threads=0", "--config=none.toml"], no_serve) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == (
        "Error: --threads='0': expected a whole number of at least 1\nError: none.toml: No such file or directory\n"
    )


# --- --check


def test_a_good_configuration_is_silent_and_nothing_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--check", f"--listen={address}", "--send-bytes=1", "reports_shop:application"], no_serve) == 0
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "")


MISSING = "module 'reports_shop' has no attribute 'no'; it has application"


@pytest.mark.parametrize(
    ("arguments", "faults"),
    [
        ([], ["Specify an application, as in waitress-serve MODULE:OBJECT"]),
        (
            ["--listen=a:99999", "--config=w.toml", "reports_shop:no"],
            [
                "WAITRESS_THREADS='0': expected a whole number of at least 1",
                "w.toml, line 1: backlog=0: expected a whole number of at least 1",
                "w.toml, line 2: treads is not a setting; did you mean threads?",
                "WAITRESS_OPTS is not a setting, and is ignored",
                "Cannot import WSGI application 'reports_shop:no': " + MISSING,
                "--listen='a:99999': the port of 'a:99999' is not between 0 and 65535",
            ],
        ),
        (
            ["reports_raises:x"],
            ["Cannot import WSGI application 'reports_raises:x': ZeroDivisionError: division by zero"],
        ),
    ],
    ids=["no-application", "many", "raises"],
)
def test_each_fault_is_a_line(
    arguments: list[str],
    faults: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if len(faults) > 1:
        (folder / "w.toml").write_text("backlog = 0\ntreads = 1\n", encoding="utf-8")
        monkeypatch.setenv("WAITRESS_THREADS", "0")
        monkeypatch.setenv("WAITRESS_OPTS", "x")
    assert main(["--check", *arguments], no_serve) == 1
    assert capsys.readouterr().err.splitlines() == [f"Error: {fault}" for fault in faults]


def test_a_folder_that_is_not_there_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "reports_shop:application", "--chdir=nowhere"], no_serve) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: --chdir='nowhere': ")


def test_a_certificate_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--check", "--listen=127.0.0.1:0", f"--tls-certificate={server_file()}", "reports_shop:application"]
    assert main(words, no_serve) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--tls-key=none.pem"], no_serve) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: --tls-key='")
    assert "none.pem" in line


def test_settings_that_contradict_each_other_are_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--listen=127.0.0.1:0", "--port=1", "reports_shop:application"], no_serve) == 1
    assert capsys.readouterr().err == "Error: --host or --port may not be set if --listen is set.\n"


FAULTS_OF_FILES = {
    "--access-log=nowhere/a.log": "Cannot write the access log nowhere/a.log: No such file or directory",
    "--access-log=.": "Cannot write the access log .: Is a directory",
    "--pid-file=nowhere/shop.pid": "Cannot write the pid file nowhere/shop.pid: No such file or directory",
    "--pid-file=.": "Cannot write the pid file .: Is a directory",
    "--status-listen=127.0.0.1:0 --status-token-file=none": "--status-token-file='none' cannot be read: "
    "No such file or directory",
    "--status-listen=127.0.0.1:0 --status-token-file=short": "--status-token-file='short' holds no token: expected one "
    "line of 16 or more visible ASCII characters",
    "--log-config=log.json": "Cannot configure logging by log.json: Unable to configure root logger: "
    "Unknown level: 'LOUD'",
}


@pytest.mark.skipif(sys.platform == "win32", reason="there the system gives its causes in other words")
@pytest.mark.parametrize(("option", "fault"), FAULTS_OF_FILES.items(), ids=short_id)
@pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])
def test_a_check_finds_what_a_start_finds(option: str, fault: str, check: list[str], folder: Path) -> None:
    (folder / "log.json").write_text('{"root": {"level": "LOUD"}}')
    (folder / "short").write_text("0123456789abcde\n")
    (folder / "short").chmod(0o600)
    done = run_command(*check, "--listen=127.0.0.1:0", *option.split(), "reports_shop:application", cwd=folder)
    assert (done.returncode, done.stderr.splitlines()) == (1, [f"Error: {fault}"])


def test_a_check_leaves_no_file_behind(folder: Path) -> None:
    handler = {"class": "logging.handlers.RotatingFileHandler", "filename": "shop.log"}
    (folder / "log.json").write_text(json.dumps({"handlers": {"file": handler}, "root": {"handlers": ["file"]}}))
    words = ["--access-log=access.log", "--pid-file=shop.pid", "--log-config=log.json", "--listen=127.0.0.1:0"]
    before = set(os.listdir(folder))
    done = run_command("--check", *words, "reports_shop:application", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(os.listdir(folder)) - before <= {"__pycache__"}


def test_an_application_that_ends_the_process_is_a_fault(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "reports_raises.py").write_text("raise SystemExit(0)", encoding="utf-8")
    assert main(["--check", "--listen=127.0.0.1:0", "reports_raises:x"], no_serve) == 1
    assert capsys.readouterr().err == (
        "Error: Cannot import WSGI application 'reports_raises:x': it ends the process by SystemExit(0)\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there the system gives its causes in other words")
def test_each_contradiction_is_a_line_and_none_that_another_has_caused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = str(folder.resolve() / "none.pem")
    options = {
        "--listen=a:99999": "--listen='a:99999': the port of 'a:99999' is not between 0 and 65535",
        "--trusted-proxy-count=2": "--trusted-proxy-count has no meaning without setting --trusted-proxy",
        "--tls-certificate=none.pem": f"--tls-certificate={certificate!r}: No such file or directory",
        "--tls-key=none.pem": None,  # of no use without the certificate, but given with one
        "--status-token-file=none.txt": "--status-token-file has no meaning without --status-listen",
        "--pid-file=.": "Cannot write the pid file .: Is a directory",
        "--access-log=.": "Cannot write the access log .: Is a directory",
    }
    assert main(["--check", *options, "reports_shop:application"], no_serve) == 1
    faults = {line.removeprefix("Error: ") for line in capsys.readouterr().err.splitlines()}
    assert faults == {fault for fault in options.values() if fault}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_reload_that_cannot_be_done_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--check", "--listen=127.0.0.1:0", "--reload", "--preload", "reports_shop:application"]
    assert main(words, no_serve) == 1
    assert capsys.readouterr().err.startswith("Error: --reload and --preload contradict each other")
