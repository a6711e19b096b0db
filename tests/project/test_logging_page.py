"""The page on logging shows what the server writes; its programs run in their own processes: they change logging."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.project.repository import ROOT
from tests.support.client import Client
from tests.support.processes import becomes_true, text_of
from tests.support.servers import spawned
from waitress_core.config.log_format import FIELDS, make_format

PAGE = (ROOT / "docs" / "how-to" / "logging.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LOG_CONFIGS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent

SHOP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    return tmp_path


def like(line: str) -> str:
    """Make a pattern of a line of the page: this interpreter for its own, and any numbers for its others."""
    interpreter = re.escape(f"{sys.implementation.name} {sys.version.split()[0]}")
    before, _, behind = line.partition("cpython 3.11.7")
    return interpreter.join(re.sub(r"\d+", r"\\d+", re.escape(part)) for part in (before, behind) if part)


def test_the_command_writes_what_the_page_shows(folder: Path) -> None:
    command, *lines = re.findall(
        r"^    (?:\$ )?(waitress-serve .*|\d{4}-.*)$", PAGE.partition("## With serve")[0], re.MULTILINE
    )
    name, *arguments = shlex.split(command.replace(":8080", ":0"))
    with spawned([str(BIN / name), *arguments], folder) as server:
        server.wait_for_line(like(lines[-1]))
    assert all(re.fullmatch(like(line), written) for line, written in zip(lines, server.log, strict=False))


def test_the_program_writes_in_its_own_format_to_its_own_file(folder: Path) -> None:
    first, *_, second = PROGRAMS
    program = first.replace(":8080", ":0").replace("serve(", f"{second}\nserve(")
    (folder / "program.py").write_text(program, encoding="utf-8")
    with spawned([sys.executable, "program.py"], folder, {"PYTHONPATH": ""}) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get().status == 200
    assert re.match(r"[-\d]+ [:,\d]+ INFO waitress: Serving on ", server.log[0])
    assert (folder / "server.log").read_text(encoding="utf-8").startswith("Serving on ")


def test_the_command_writes_the_lines_of_requests_to_standard_output(folder: Path) -> None:
    command = [str(BIN / "waitress-serve"), "--listen=127.0.0.1:0", "--access-log", "shop:application"]
    with spawned(command, folder) as server:
        with Client(server.wait_for_address()) as client:
            client.get("/tea?cup=1", "User-Agent: Mozilla/5.0")
        server.signal()
        assert server.wait() == 0
    (shown,) = re.findall(r"^ +(192\.0\.2\.7 - .*)$", PAGE, re.MULTILINE)
    (line,) = server.output
    assert re.sub(r"\[.*?\]", "[]", line) == re.sub(r"\[.*?\]", "[]", shown).replace("192.0.2.7", "127.0.0.1")
    assert not any("GET" in line for line in server.log)


def test_the_configuration_file_sends_records_and_requests_to_two_files(folder: Path) -> None:
    (folder / "log.toml").write_text(LOG_CONFIGS[0].replace("/var/log/shop", folder.as_posix()), encoding="utf-8")
    (line,) = re.findall(r"^    \$ (waitress-serve --log-config.*)$", PAGE, re.MULTILINE)
    name, *arguments = shlex.split(line)
    log, requests = folder / "server.log", folder / "access.log"
    with spawned([str(BIN / name), "--listen=127.0.0.1:0", *arguments], folder) as server:
        assert becomes_true(lambda: "serves http" in text_of(log))
        (port,) = re.findall(r"INFO waitress: Serving on http://127.0.0.1:(\d+)", log.read_text(encoding="utf-8"))
        for target in ("/one", "/two"):
            with Client(("127.0.0.1", int(port))) as client:
                assert client.get(target).status == 200
            if target == "/one" and sys.platform != "win32":
                assert becomes_true(lambda: "/one" in text_of(requests))
                requests.rename(folder / "access.log.1")
        server.signal()
        assert server.wait() == 0
    assert "GET /two " in requests.read_text(encoding="utf-8")
    assert (server.log, server.output) == ([], [])


def test_the_configuration_file_gives_records_the_id_of_their_request(folder: Path) -> None:
    logging_shop = SHOP.replace("    start_response", "    __import__('logging').info('hello')\n    start_response")
    (folder / "shop.py").write_text(logging_shop, encoding="utf-8")
    (folder / "log.toml").write_text(LOG_CONFIGS[1], encoding="utf-8")
    options = ["--listen=127.0.0.1:0", "--log-config=log.toml", "--request-id-header=true"]
    with spawned([str(BIN / "waitress-serve"), *options, "shop:application"], folder) as server:
        with Client(server.wait_for_address()) as client:
            request_id = client.get("/").header("X-Request-ID")
        server.wait_for_line(f" INFO {request_id} hello$")
    assert re.match(r"[-\d]+ [:,\d]+ INFO - Serving on ", server.log[0])


def test_the_page_has_every_field_of_the_access_log_and_of_its_json(folder: Path) -> None:
    rows = re.findall(r"^\| (`.*?`) \|", PAGE.partition("| field |")[2], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(FIELDS)


def test_the_program_writes_the_lines_of_requests_to_a_file(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAMS[1].replace(":8080", ":0"), encoding="utf-8")
    with spawned([sys.executable, "program.py"], folder, {"PYTHONPATH": ""}) as server:
        with Client(server.wait_for_address()) as client:
            client.get("/tea")
        server.signal()
        assert server.wait() == 0
    (line,) = (folder / "access.log").read_text(encoding="utf-8").splitlines()
    assert (json.loads(line)["target"], json.loads(line)["status"]) == ("/tea", 200)
    assert sorted({*json.loads(line), "request"}) == sorted(FIELDS)


def test_the_example_for_stats_answers_with_them(folder: Path) -> None:
    (program,) = (program for program in PROGRAMS if "server.stats()" in program)
    (folder / "program.py").write_text(program.replace(":8080", ":0"), encoding="utf-8")
    with spawned([sys.executable, "program.py"], folder, {"PYTHONPATH": ""}) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get("/").body == b"ok"
            answer = client.get("/healthz")
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    stats = json.loads(answer.body)
    assert (stats["connections"], stats["requests"], stats["threads_busy"]) == (1, 1, 1)
    (shown,) = re.findall(r"^    (\{.*), \.\.\.$", PAGE, re.MULTILINE)
    assert answer.body.decode().startswith(shown)


def test_the_format_for_gunicorn_is_valid(folder: Path) -> None:
    (text,) = re.findall(r"--access-log-format='(\{remote_addr\} - .*)' shop", PAGE)
    make_format(text)
