"""The command in this process: what it gives to `serve`, what it says, its exit status."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import APPLICATION
from tests.cli.settings_rows import OF_PROCESSES, ROWS, Row
from tests.support.rows import each_row
from waitress_cli import main, serve
from waitress_core import Adjustments, CannotStartThread, DeferredApplication


class Recorder:
    """A fake `serve`, which raises what a test wants."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, application: Any, **settings: Any) -> None:
        settings.pop("_read_settings", None)  # where a supervisor reads them again
        self.calls.append((application.__qualname__, settings))
        if self.fault is not None:
            raise self.fault


class NoServer:
    """What `serve` runs."""

    urls: tuple[str, ...] = ()

    def run(self) -> None:
        pass


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with an application in it; what the command changes in this process is put back."""
    source = f"{APPLICATION}\n\ndef make():\n    return application\n"
    (tmp_path / "main_shop.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in [name for name in os.environ if name.startswith("WAITRESS_")]:
        monkeypatch.delenv(variable)
    logger = logging.getLogger("waitress")
    level = logger.level
    logger.setLevel(logging.NOTSET)
    yield tmp_path
    logger.setLevel(level)
    sys.modules.pop("main_shop", None)


def test_the_application_is_served_with_the_settings_as_strings() -> None:
    serve = Recorder()
    assert main(["--listen=127.0.0.1:0", "--thr=2", "main_shop:application", "--no-ipv6"], serve) == 0
    assert serve.calls == [("application", {"listen": "127.0.0.1:0", "threads": "2", "ipv6": "false"})]


@pytest.mark.parametrize(
    "arguments",
    [["--app=main_shop:application"], ["--call", "main_shop:make"], ["--call", "--app", "main_shop.make"]],
    ids="".join,
)
def test_the_application_may_be_an_option_or_the_result_of_a_call(arguments: list[str]) -> None:
    serve = Recorder()
    assert main(arguments, serve) == 0
    assert serve.calls == [("application", {})]


def test_by_default_the_arguments_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["waitress-serve", "main_shop:application"])
    serve = Recorder()
    assert main(serve=serve) == 0
    assert serve.calls == [("application", {})]


@pytest.mark.parametrize("arguments", [["--help"], ["--help", "main_shop:application"], ["--hel", "--port=1"]])
def test_help_goes_to_standard_output_and_nothing_is_served(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    serve = Recorder()
    assert main(arguments, serve) == 0
    written = capsys.readouterr()
    assert written.out.startswith("Usage: waitress-serve [OPTIONS] MODULE:OBJECT\n")
    assert written.err == ""
    assert serve.calls == []


SEE_HELP = " (waitress-serve --help lists the options)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "Specify an application, as in waitress-serve MODULE:OBJECT", id="no-application"),
        pytest.param(["a:b", "c:d"], "Provide only one WSGI app, not a:b and c:d", id="two-applications"),
        pytest.param(
            ["--access-log", "its.log", "c:d"],
            "Provide only one WSGI app, not its.log and c:d; a file for the log is written with an equals sign: "
            "--access-log=its.log",
            id="file-of-the-access-log",
        ),
        pytest.param(["", "a:b"], "Provide only one WSGI app, not an empty text and a:b", id="empty-application"),
        pytest.param(["a\nb", "a:b"], "Provide only one WSGI app, not a\\nb and a:b", id="line-break"),
        pytest.param(["--x\n\x1b[31m"], f"unrecognized arguments: --x\\n\\x1b[31m{SEE_HELP}", id="control-characters"),
        pytest.param(["--app=a:b", "c:d"], "Provide only one WSGI app, not a:b and c:d", id="app-and-a-word"),
        pytest.param(
            ["--call", "a:b", "c"],
            "Provide only one WSGI app, not a:b and c; --call gives a factory no arguments",
            id="call-with-an-argument",
        ),
        pytest.param(["--bogus", "a:b"], f"unrecognized arguments: --bogus{SEE_HELP}", id="unknown-option"),
        pytest.param(["-x"], f"unrecognized arguments: -x{SEE_HELP}", id="short-option"),
        pytest.param(["a:b", "--port"], f"--port: a value is missing{SEE_HELP}", id="value-missing"),
        pytest.param(
            ["--threads=none", "no_such_module:app"],
            "--threads='none': expected a whole number of at least 1",
            id="bad-value-is-seen-before-the-import",
        ),
        pytest.param(
            ["--threads", "a:b"],
            "--threads='a:b': expected a whole number of at least 1",
            id="application-taken-for-a-value",
        ),
        pytest.param(
            ["no_such_module:app"],
            "Cannot import WSGI application 'no_such_module:app': No module named 'no_such_module'; it is neither "
            "installed nor in HERE",
            id="no-such-module",
        ),
    ],
)
def test_an_error_is_one_line_and_exit_status_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serve = Recorder()
    assert main(arguments, serve) == 1
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", f"Error: {message}\n".replace("HERE", os.getcwd()))
    assert serve.calls == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (ValueError("host or port may not be set if listen is set."), "host or port may not be set if listen is set."),
        (OSError(98, "Cannot listen on 0.0.0.0:80: taken"), "Cannot listen on 0.0.0.0:80: taken"),
        (OSError("without a number"), "without a number"),
        (FileNotFoundError(2, "No such file", "shop.db"), "[Errno 2] No such file: 'shop.db'"),
        (CannotStartThread("Cannot start the thread waitress-0: no"), "Cannot start the thread waitress-0: no"),
    ],
    ids=["settings", "binding", "text-only", "file", "thread"],
)
def test_what_keeps_the_server_from_starting_is_one_line_too(
    fault: Exception, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["main_shop:application"], Recorder(fault)) == 1
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_any_other_fault_of_the_server_shows_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["main_shop:application"], Recorder(RuntimeError("a mistake")))


@pytest.mark.promise("S18")
def test_the_current_folder_comes_last_in_the_search_for_modules_and_only_once(folder: Path) -> None:
    before = list(sys.path)
    assert main(["main_shop:application"], Recorder()) == 0
    assert main(["main_shop:application"], Recorder()) == 0
    assert sys.path == [*before, str(folder.resolve())]


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ([], logging.NOTSET, logging.INFO),
        ([], logging.ERROR, logging.ERROR),
        (["--log-level=warning"], logging.NOTSET, logging.WARNING),
        (["--log-level", "DEBUG"], logging.ERROR, logging.DEBUG),
    ],
)
def test_the_logger_shows_that_it_serves_unless_somebody_has_set_its_level(
    words: list[str], before: int, after: int
) -> None:
    logger = logging.getLogger("waitress")
    logger.setLevel(before)
    main([*words, "main_shop:application"], Recorder())
    assert logger.level == after


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("threads", "0", "--threads='0': expected a whole number of at least 1"),
        ("max-request-body-size", "1MB", "--max-request-body-size='1MB': expected a whole number of at least 0, or .*"),
        ("port", "65536", "--port='65536': expected a port number between 0 and 65535"),
        (
            "unix-socket-perms",
            "888",
            "--unix-socket-perms='888': expected octal permissions between 0 and 7777, such as '660'",
        ),
        ("sockets", "7", "--sockets='7': expected a list of sockets, which only Python code can give"),
        (
            "trusted-proxy",
            "proxy.example",
            "--trusted-proxy='proxy.example': expected IP addresses and CIDR networks.*",
        ),
        ("listen", "*:${NO_SUCH_VARIABLE}", r"--listen='.*': there is no environment variable 'NO_SUCH_VARIABLE'"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_option(
    name: str, given: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--ident=fine", f"--{name}", given, "main_shop:application"], Recorder()) == 1
    assert re.fullmatch(f"Error: {expected}\n", capsys.readouterr().err)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # a thread of pytest's
@each_row("row", ROWS, ids=lambda row: row.name)
def test_a_good_value_is_given_to_the_server_as_it_is(row: Row) -> None:
    serve = Recorder()
    # Otherwise the workers would import the application.
    words = [*row.words, "--preload"] if row.name in OF_PROCESSES else row.words
    assert main([*words, "main_shop:application"], serve) == 0
    needed = {"access_log": "true"} if row.name == "access_log_format" else {}
    assert serve.calls == [("application", {row.name: row.text, **needed})]


@pytest.mark.parametrize(
    ("file", "words", "access_log"),
    [
        ("", ["--access-log-format=json"], "true"),
        ("", ["--access-log-file=its.log"], "true"),
        ("", ["--access-log-format=json", "--no-access-log"], "false"),
        ("access_log = false", ["--access-log-format=json"], "true"),
        ("access_log_format = 'json'", [], "true"),
        ("access_log_format = 'json'", ["--no-access-log"], "false"),
        ("access_log_format = 'json'\naccess_log = false", [], False),
    ],
)
def test_a_format_or_a_file_turns_the_access_log_on_unless_a_source_turns_it_off(
    file: str, words: list[str], access_log: object, folder: Path
) -> None:
    (folder / "w.toml").write_text(file)
    serve = Recorder()
    assert main(["--config=w.toml", *words, "main_shop:application"], serve) == 0
    ((_, settings),) = serve.calls
    assert settings.get("access_log") == access_log


@pytest.mark.parametrize("name", ["pid_file", "log_config", "access_log_file", "chdir", "app_dir"])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_an_empty_path_is_a_mistake_and_its_source_is_named(
    name: str, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    option, variable = f"--{name.replace('_', '-')}", f"WAITRESS_{name.upper()}"
    if by == "variable":
        monkeypatch.setenv(variable, "")
    words = [f"{option}="] if by == "option" else []
    assert main([*words, "main_shop:application"], Recorder()) == 1
    kind = "folder" if "dir" in name else "file"
    source = option if by == "option" else variable
    assert capsys.readouterr().err == f"Error: {source}='': expected the path of a {kind}\n"


def test_levels_next_to_a_file_that_has_them_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log-level=info", "--log-config=log.ini", "main_shop:application"], Recorder()) == 1
    assert capsys.readouterr().err == "Error: --log-config has the levels: leave --log-level out\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not show which processes run")
def test_a_pid_file_of_a_running_process_is_seen_before_the_import(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (folder / "it.pid").write_text(f"{process.pid}\n")
        assert main(["--pid-file=it.pid", "nowhere:app"], Recorder()) == 1
        process.communicate(b"\n")
    assert capsys.readouterr().err.startswith(
        f"Error: the pid file it.pid is that of the running process {process.pid}; "
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_worker_processes_load_the_application_by_themselves() -> None:
    given: list[Any] = []
    assert (
        main(
            ["--workers=2", "--worker-kind=process", "main_shop:application"],
            lambda application, **settings: given.append(application),
        )
        == 0
    )
    assert "main_shop" not in sys.modules
    (application,) = given
    assert isinstance(application, DeferredApplication)
    assert application.load().__name__ == "application"


@pytest.mark.parametrize("level", ["", "loud", "10"])
def test_another_level_is_refused_and_the_levels_are_named(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--log-level={level}", "main_shop:application"], Recorder()) == 1
    said = capsys.readouterr().err
    assert said == f"Error: --log-level={level!r}: expected debug, info, warning, error or critical\n"


def test_the_command_line_is_over_the_environment_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "w.toml").write_text(
        'app = "nowhere:app"\nthreads = 1\nbacklog = 1\nident = "file"\nlisten = ["a:1", "b:2"]\n', encoding="utf-8"
    )
    monkeypatch.setenv("WAITRESS_CONFIG", "w.toml")
    monkeypatch.setenv("WAITRESS_APP", "main_shop:make")
    monkeypatch.setenv("WAITRESS_CALL", "yes")
    monkeypatch.setenv("WAITRESS_THREADS", "2")
    monkeypatch.setenv("WAITRESS_BACKLOG", "2")
    serve = Recorder()
    assert main(["--threads=3", "--listen=c:3"], serve) == 0
    assert serve.calls == [("application", {"threads": "3", "backlog": "2", "ident": "file", "listen": "c:3"})]


def test_port_is_not_read_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    serve = Recorder()
    assert main(["main_shop:application"], serve) == 0
    assert serve.calls == [("application", {})]


def test_variables_and_files_are_for_the_command_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "w.toml").write_text("backlog = 7\n", encoding="utf-8")
    monkeypatch.setenv("WAITRESS_THREADS", "8")
    monkeypatch.setenv("WAITRESS_CONFIG", "w.toml")
    made = []

    def make(application: object, **given: Any) -> NoServer:
        made.append(given)
        return NoServer()

    serve(lambda environ, start_response: [], _server=make)
    assert made == [{}]
    adjustments = Adjustments(listen="127.0.0.1:0")
    assert (adjustments.threads, adjustments.backlog) == (4, 1024)


def test_the_option_of_the_file_is_over_its_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "w.toml").write_text('app = "main_shop:application"\n', encoding="utf-8")
    monkeypatch.setenv("WAITRESS_CONFIG", "none.toml")
    assert main(["--config=w.toml"], Recorder()) == 0
    assert main(["--config=", "main_shop:application"], Recorder()) == 0  # none at all


def test_a_fault_of_a_source_keeps_the_server_from_starting(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "w.toml").write_text("\ntreads = 1\n", encoding="utf-8")
    serve = Recorder()
    assert main(["--config=w.toml", "main_shop:application"], serve) == 1
    monkeypatch.setenv("WAITRESS_THREADS", "0")
    assert main(["main_shop:application"], serve) == 1
    assert capsys.readouterr().err == (
        "Error: w.toml, line 2: treads is not a setting; did you mean threads?\n"
        "Error: WAITRESS_THREADS='0': expected a whole number of at least 1\n"
    )
    assert serve.calls == []


def test_a_variable_that_is_no_setting_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WAITRESS_OPTS", "--threads=8")
    assert main(["main_shop:application"], Recorder()) == 0
    assert caplog.messages == ["WAITRESS_OPTS is not a setting, and is ignored"]


def test_chdir_is_the_current_folder_of_the_application(folder: Path) -> None:
    (folder / "there").mkdir()
    (folder / "main_shop.py").rename(folder / "there" / "main_shop.py")
    before = list(sys.path)
    assert main(["--chdir=there", "main_shop:application"], Recorder()) == 0
    assert os.getcwd() == str((folder / "there").resolve())
    assert sys.path == [*before, os.getcwd()]


def test_modules_are_found_in_app_dir_before_the_current_folder(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "main_shop.py").rename(folder / "src" / "main_shop.py")
    before = list(sys.path)
    assert main(["--app-dir=src", "main_shop:application"], Recorder()) == 0
    assert sys.path == [*before, str(folder.resolve() / "src"), str(folder.resolve())]


@pytest.mark.parametrize(("option", "use"), [("--chdir", os.chdir), ("--app-dir", os.listdir)])
def test_a_folder_that_is_not_there_is_named(
    option: str, use: Callable[[str], object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        use("nowhere")
    assert main([f"{option}=nowhere", "main_shop:application"], Recorder()) == 1
    assert main([f"{option}=a\0b", "main_shop:application"], Recorder()) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"Error: {option}='nowhere': {caught.value.strerror}"
    assert second.startswith(f"Error: {option}='a\\x00b': ")
    assert "embedded null" in second


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reload"], "--reload needs the package watchfiles: pip install 'waitress[reload]'"),
        (["--reload", "--preload"], "--reload and --preload contradict each other: with --preload no new code is seen"),
    ],
    ids=["without-watchfiles", "preload"],
)
def test_a_reload_that_cannot_be_done_is_refused(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*words, "main_shop:application"], Recorder()) == 1
    assert capsys.readouterr().err == f"Error: {message}\n"
