"""The command as a process."""

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import APPLICATION, command, run_command
from tests.support.client import Client
from tests.support.platforms import make_fifo, signal_number
from tests.support.processes import becomes_true, text_of
from tests.support.servers import Spawned, spawned


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder that is not on the search path, with applications in it."""
    (tmp_path / "shop.py").write_text(APPLICATION, encoding="utf-8")
    package = tmp_path / "chain" / "shops"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    source = f"{APPLICATION}\n\nclass Site:\n    wsgi = staticmethod(application)\n"
    (package / "first.py").write_text(source, encoding="utf-8")
    return tmp_path


def get(server: Spawned) -> str:
    """Ask the next address that the server says it serves, from this machine."""
    host, port = server.wait_for_address()
    with Client(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)) as client:
        response = client.get("/tea")
    assert response.status == 200
    return response.body.decode()


@pytest.mark.promise("S15", "S18")
@pytest.mark.parametrize("where", ["--listen=*:0", "--port=0", "--listen=127.0.0.1:0"])
def test_the_command_serves_a_module_of_the_current_folder(where: str, shop: Path) -> None:
    with spawned([command(), where, "shop:application"], shop) as server:
        assert "PATH_INFO=/tea\n" in get(server)
        if where == "--listen=*:0" and socket.has_ipv6:
            assert "PATH_INFO=/tea\n" in get(server)


@pytest.mark.promise("S15", "S18")
def test_the_module_of_the_same_name_does_so_too(shop: Path) -> None:
    # -I: the interpreter itself puts no folder on the search path.
    arguments = ["-I", "-m", "waitress", "--listen=127.0.0.1:0", "shop:application"]
    with spawned([sys.executable, *arguments], shop) as server:
        assert "PATH_INFO=/tea\n" in get(server)


@pytest.mark.promise("S17")
@pytest.mark.parametrize("name", ["chain.shops.first:Site.wsgi", "chain.shops.first.Site.wsgi"])
def test_the_command_serves_an_attribute_deep_in_a_package(name: str, shop: Path) -> None:
    with spawned([command(), "--listen=127.0.0.1:0", name], shop) as server:
        assert "PATH_INFO=/tea\n" in get(server)


@pytest.mark.promise("S16")
def test_options_do_what_the_keywords_do(shop: Path) -> None:
    options = ["--url-scheme=https", "--url-prefix=/tea", "--server-name=shop.example", "--ident=kettle"]
    words = [command(), "shop:application", "--listen=127.0.0.1:0", *options]
    with spawned(words, shop) as server, Client(server.wait_for_address()) as client:
        response = client.get("/tea/green")
    assert response.header("Server") == "kettle"
    assert response.body.decode().splitlines() == [
        "REQUEST_METHOD=GET",
        "SCRIPT_NAME=/tea",
        "PATH_INFO=/green",
        "SERVER_NAME=shop.example",
        "wsgi.url_scheme=https",
    ]


@pytest.mark.promise("S11", "S16")
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
@pytest.mark.parametrize(("options", "mode"), [([], 0o600), (["--unix-socket-perms=660"], 0o660)])
def test_the_command_serves_on_a_unix_socket(options: list[str], mode: int, shop: Path) -> None:
    # From its folder the path is short enough for any system.
    with spawned([command(), "--unix-socket=it.sock", *options, "shop:application"], shop) as server:
        server.wait_for_line("Serving on http://unix:it.sock$")
        assert (shop / "it.sock").stat().st_mode & 0o777 == mode
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(shop)
            with Client("it.sock") as client:
                assert client.get().status == 200


@pytest.mark.promise("S19")
def test_an_import_error_in_the_application_names_its_cause_and_place(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    done = run_command("broken:application", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert (
        lines[0] == "Error: Cannot import WSGI application 'broken:application': No module named 'nowhere_to_be_found'"
    )
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[2].endswith('broken.py", line 1, in <module>')
    assert lines[-1] == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        pytest.param([], "Error: Specify an application", id="no-application"),
        pytest.param(["nowhere:app"], "Error: Cannot import WSGI application 'nowhere:app': No module", id="no-module"),
        pytest.param(["--threads=x", "shop:application"], "Error: --threads='x': expected a whole", id="bad-value"),
        pytest.param(
            ["--listen=127.0.0.1:0", "--host=127.0.0.1", "shop:application"],
            "Error: --host or --port may not be set if --listen is set.",
            id="contradiction",
        ),
        pytest.param(["--bogus"], "Error: unrecognized arguments: --bogus", id="unknown-option"),
    ],
)
@pytest.mark.parametrize("program", ["waitress-serve", "python -m waitress"])
def test_an_error_is_one_line_on_standard_error_and_exit_status_1(
    program: str, arguments: list[str], start: str, shop: Path
) -> None:
    words = [command()] if program == "waitress-serve" else [sys.executable, "-m", "waitress"]
    with spawned([*words, *arguments], shop) as server:
        assert server.wait() == 1
    assert (server.output, len(server.log)) == ([], 1)
    assert server.log[0].startswith(start)


def test_an_address_that_is_taken_is_named_with_the_cause(shop: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = run_command(f"--listen={address}", "shop:application", cwd=shop)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
    assert f"Cannot listen on {address}: " in done.stderr


@pytest.mark.promise("S88")
def test_help_needs_no_application(tmp_path: Path) -> None:
    done = run_command("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--listen ADDRESS" in done.stdout


@pytest.mark.promise("S88")
def test_a_tls_client_is_not_understood_and_does_no_harm(shop: Path) -> None:
    client_hello = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000002130101000002000000")
    with spawned([command(), "--listen=127.0.0.1:0", "shop:application"], shop) as server:
        address = server.wait_for_address()
        with Client(address) as client:
            client.send(client_hello + b"\r\n\r\n")
            assert client.rest().startswith(b"HTTP/1.")
        with Client(address) as client:
            assert client.get().status == 200


def test_the_command_serves_with_a_file_and_variables_alone(shop: Path) -> None:
    source = 'app = "shop:make(\'/tea\')"\nlisten = "127.0.0.1:${PORT}"\nurl_prefix = "/from-file"\nthreads = 2\n'
    (shop / "waitress.toml").write_text(source, encoding="utf-8")
    (shop / "shop.py").write_text(f"{APPLICATION}\ndef make(prefix): return application\n", encoding="utf-8")
    environ = {**os.environ, "PORT": "0", "WAITRESS_CONFIG": "waitress.toml", "WAITRESS_URL_PREFIX": "/tea"}
    with spawned([command()], shop, environ) as server:
        with Client(server.wait_for_address()) as client:
            assert b"SCRIPT_NAME=/tea\n" in client.get("/tea/pot").body
        assert any("with 2 threads" in line for line in server.log)


def test_a_file_that_is_wrong_is_one_line(shop: Path) -> None:
    (shop / "pyproject.toml").write_text("[tool.waitress]\nthreads = 0\n", encoding="utf-8")
    done = run_command("--config=pyproject.toml", "shop:application", cwd=shop)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: pyproject.toml, line 2: threads=0: expected a whole number of at least 1\n"


LOGGING = """
import logging, sys
logging.getLogger("shop").info("imported")

def application(environ, start_response):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger("shop"), level)("tea is %s", level)
    start_response("200 OK", [])
    return [b"tea"]
"""


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ([], ["WARNING"]),
        (["--log-level=info"], ["INFO", "WARNING"]),
        (["--log-level=debug"], ["DEBUG", "INFO", "WARNING"]),
    ],
    ids=["by-default", "info", "debug"],
)
def test_the_log_has_time_and_level_and_the_applications_records(
    options: list[str], levels: list[str], tmp_path: Path
) -> None:
    (tmp_path / "logging_shop.py").write_text(LOGGING, encoding="utf-8")
    with spawned([command(), "--listen=127.0.0.1:0", *options, "logging_shop:application"], tmp_path) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get().status == 200
        server.wait_for_line("tea is warning")
        server.process.terminate()
        server.wait()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert all(re.match(rf"{time} [A-Z]+ \[[a-z.]+\] .", line) for line in server.log)
    teas = [line[24:] for line in server.log if "[shop]" in line]
    assert teas == [f"{level} [shop] tea is {level.lower()}" for level in levels]


def test_an_application_that_has_set_logging_up_keeps_it(tmp_path: Path) -> None:
    source = f"{LOGGING}\nlogging.basicConfig(format='my own %(message)s', level=logging.ERROR)\n"
    (tmp_path / "logging_shop.py").write_text(source, encoding="utf-8")
    words = [command(), "--listen=127.0.0.1:0", "--log-level=info", "logging_shop:application"]
    with spawned(words, tmp_path) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get().status == 200
        server.process.terminate()
        server.wait()
    assert server.log
    assert all(line.startswith("my own ") for line in server.log)
    assert not [line for line in server.log if "tea" in line]


@pytest.mark.parametrize("level", [[], ["--log-level=info"]], ids=["", "level"])
def test_an_application_with_a_handler_for_the_server_gets_each_record_once(level: list[str], tmp_path: Path) -> None:
    set_up = "logging.getLogger('waitress').addHandler(logging.StreamHandler())"
    (tmp_path / "logging_shop.py").write_text(f"{LOGGING}\n{set_up}\n", encoding="utf-8")
    with spawned([command(), "--listen=127.0.0.1:0", *level, "logging_shop:application"], tmp_path) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get().status == 200
        server.process.terminate()
        server.wait()
    assert len([line for line in server.log if "Serving on" in line]) == 1


@pytest.mark.parametrize("name", ["", "waitress", "waitress.access"])
def test_an_application_that_has_set_logging_up_gets_the_lines_of_requests_there(name: str, tmp_path: Path) -> None:
    source = f"{LOGGING}\nlogging.getLogger({name!r}).addHandler(logging.FileHandler('its.log'))\n"
    (tmp_path / "logging_shop.py").write_text(source, encoding="utf-8")
    words = [
        command(),
        "--listen=127.0.0.1:0",
        "--access-log",
        "--access-log-format={target}",
        "logging_shop:application",
    ]
    log = tmp_path / "its.log"
    with spawned(words, tmp_path) as server:
        assert becomes_true(lambda: log.exists())
        if name == "waitress.access":
            address = server.wait_for_address()
        else:
            assert becomes_true(lambda: "Serving on" in text_of(log))
            host, port = re.findall(r"http://(.*):(\d+)$", log.read_text(encoding="utf-8"), re.MULTILINE)[0]
            address = host, int(port)
        with Client(address) as client:
            assert client.get("/tea").status == 200
        assert becomes_true(lambda: "/tea\n" in text_of(log))
        server.process.terminate()
        server.wait()
    assert server.output == []


@pytest.mark.promise("S08")
@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", ["at-the-first-line-of-the-log", "after-a-request"])
def test_a_signal_ends_the_command_with_exit_status_0(when: str, number: signal.Signals, shop: Path) -> None:
    with spawned([command(), "--listen=127.0.0.1:0", "shop:application"], shop) as server:
        address = server.wait_for_address()
        if when == "after-a-request":
            with Client(address) as client:
                assert client.get().status == 200
        server.signal(number)
        assert server.wait() == 0
    assert not [line for line in server.log if "Traceback" in line]


# At its exit the process waits for the other end of the FIFO `gate`.
EXITS = """
import atexit, os, sys
from waitress_core.lifecycle import signals

signals.AGAIN_SECONDS = {again}
process = os.getpid()

def at_exit():
    if os.getpid() == process:
        print("exits", file=sys.stderr)
        open("gate").close()

atexit.register(at_exit)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def exits(folder: Path, again: float) -> Path:
    make_fifo(folder / "gate")
    (folder / "exits.py").write_text(EXITS.format(again=again), encoding="utf-8")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to one process")
@pytest.mark.parametrize("program", ["waitress-serve", "python -m waitress"])
@pytest.mark.parametrize("options", [[], ["--workers=2", "--preload"]], ids=["one", "supervisor"])
def test_signals_end_nothing_between_the_ends_of_server_and_process(
    program: str, options: list[str], tmp_path: Path
) -> None:
    words = [command()] if program == "waitress-serve" else [sys.executable, "-m", "waitress"]
    folder = exits(tmp_path, again=60)
    with spawned([*words, "--listen=127.0.0.1:0", *options, "exits:application"], folder) as server:
        server.wait_for_address()
        server.signal(signal.SIGTERM)
        server.wait_for_line("^exits$")
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGTERM", "SIGINT"):
            server.signal(signal_number(name))
        (folder / "gate").write_bytes(b"")
        assert server.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT"])
def test_ctrl_c_and_sigquit_end_a_process_that_hangs_at_its_exit(name: str, tmp_path: Path) -> None:
    folder = exits(tmp_path, again=0)
    with spawned([command(), "--listen=127.0.0.1:0", "exits:application"], folder) as server:
        server.wait_for_address()
        server.signal(signal.SIGTERM)
        server.wait_for_line("^exits$")

        def has_ended() -> bool:
            server.signal(signal_number(name))
            return server.process.poll() is not None

        # A signal between the line and the system call that hangs is seen only when another one interrupts that.
        assert becomes_true(has_ended)
        assert server.wait() == -signal_number(name)


LOG_CONFIG = """{
    "version": 1,
    "formatters": {"plain": {"format": "%s %%(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "INFO", "handlers": ["stderr"]}
}"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_files_of_the_process_follow_its_life(tmp_path: Path) -> None:
    (tmp_path / "logging_shop.py").write_text(LOGGING, encoding="utf-8")
    config, pid, access = tmp_path / "log.json", tmp_path / "it.pid", tmp_path / "access.log"
    config.write_text(LOG_CONFIG % "first")
    files = ["--log-config=log.json", "--pid-file=it.pid", "--access-log=access.log", "--access-log-format={target}"]
    with spawned([command(), "--listen=127.0.0.1:0", *files, "logging_shop:application"], tmp_path) as server:
        server.wait_for_line("^first imported$")
        with Client(server.wait_for_address()) as client:
            assert client.get("/one").status == 200
            assert becomes_true(lambda: text_of(pid) == f"{server.process.pid}\n")
            assert becomes_true(lambda: text_of(access) == "/one\n")
            access.rename(tmp_path / "access.log.1")
            for text, line in (
                (LOG_CONFIG % "second", "^second Logging is configured"),
                ("{", "^second Cannot configure logging"),
            ):
                config.write_text(text)
                server.signal(signal_number("SIGHUP"))
                server.wait_for_line(line)
                server.wait_for_line("SIGHUP: ")
            assert client.get("/two").status == 200
        server.signal()
        assert server.wait() == 0
    assert (tmp_path / "access.log.1").read_text() == "/one\n"
    assert access.read_text() == "/two\n"
    assert (pid.exists(), server.output) == (False, [])


def test_the_access_log_goes_to_standard_output_alone_by_a_hyphen(tmp_path: Path) -> None:
    source = f"{LOGGING}\nlogging.getLogger().addHandler(logging.FileHandler('its.log'))\n"
    (tmp_path / "logging_shop.py").write_text(source, encoding="utf-8")
    words = ["--listen=127.0.0.1:0", "--access-log=-", "--access-log-format={target}", "logging_shop:application"]
    with spawned([command(), *words], tmp_path) as server:
        server_log = tmp_path / "its.log"
        assert becomes_true(lambda: "Serving on" in text_of(server_log))
        port = re.findall(r"Serving on http://127.0.0.1:(\d+)", server_log.read_text())[0]
        with Client(("127.0.0.1", int(port))) as client:
            assert client.get("/one").status == 200
        assert becomes_true(lambda: server.output == ["/one"])  # before the end: Windows gives it no time to write
        server.signal()
        assert server.wait() == (1 if sys.platform == "win32" else 0)  # Windows ends the process
    assert server.output == ["/one"]
    assert "/one" not in server_log.read_text()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--log-config=gone.ini", "Cannot configure logging by gone.ini: No such file or directory"),
        ("--access-log=gone/access.log", "Cannot write the access log gone/access.log: No such file or directory"),
        ("--pid-file=gone/it.pid", "Cannot write the pid file gone/it.pid: No such file or directory"),
    ],
)
def test_a_file_of_the_process_that_cannot_be_had_is_an_error(option: str, message: str, shop: Path) -> None:
    done = run_command(option, "--listen=127.0.0.1:0", "shop:application", cwd=shop)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {message}"
