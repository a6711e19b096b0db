"""`waitress-serve status`: what it prints of a document, and of real servers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.core.status.snapshots import histogram, requests, snapshot_of
from tests.functional.applications import Held, Recorder, get, set_at_end
from tests.support.servers import running
from waitress_cli import main
from waitress_cli import status as status_command
from waitress_cli.status import ask, text_of
from waitress_core.status.document import make_document

TOKEN = "0123456789abcdef"


def document(**changed: Any) -> Any:
    snapshot = snapshot_of(**{"pid": 7, "memory_bytes": 25_000_000, **changed})
    return make_document(
        [snapshot], None, server="waitress-core 1.1.0", python="cpython 3.11.7", ready_queue_seconds=0, now=1000.0
    )


def line(text: str, name: str) -> str:
    [found] = re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)
    return str(found)


def test_a_server_that_has_done_nothing() -> None:
    text = text_of(document())
    assert text.startswith("waitress-core 1.1.0 on cpython 3.11.7: ready\n\nrequests     0\n")
    assert line(text, "latency") == "no request"
    assert line(text, "queue") == "nobody waits"
    assert line(text, "connections") == "0"
    assert line(text, "threads") == "0 of 4 busy"
    assert "TIME" not in text
    assert re.search(r"^7 +serving +\S+ \S+ +0 +0 of 4 +0 +0 +25\.0 MB$", text, re.MULTILINE)


def test_what_a_busy_server_does() -> None:
    run = {"thread": "waitress-1", "request": "GET /a\x1b[2J", "request_id": "01a2", "seconds": 75.0, "stack": []}
    text = text_of(
        document(
            state="draining",
            requests={"GET": requests(_2xx=90, _5xx=7, _none=3)},
            durations=histogram(*[0.0005] * 98, 0.2, 70.0),
            refused={"MissingHost": 4},
            threads={"busy": 1, "idle": 3, "lost": 2},
            queue_depth=2,
            queue_oldest_seconds=0.25,
            connections={"idle": 3, "task": 1, "flush": 0},
            bytes_in=1500,
            bytes_out=2_500_000,
            running=[{**run, "seconds": 0.01, "request": "POST /b", "request_id": None}, run],
        )
    )
    assert text.splitlines()[0].endswith("not ready: it is stopping")
    assert line(text, "requests") == "100"
    assert line(text, "errors") == "10 (5xx, or no answer)"
    assert line(text, "refused") == "4"
    assert line(text, "threads") == "1 of 4 busy, 2 lost"
    assert line(text, "latency") == "p50 0.5 ms, p95 1.0 ms, p99 0.2 s"
    assert line(text, "queue") == "2 wait for a thread, the first for 0.2 s"
    assert line(text, "connections") == "4: idle 3, task 1"
    assert line(text, "traffic") == "in 1.5 kB, out 2.5 MB"
    assert text.endswith("75.0 s   waitress-1  GET /a?[2J, request 01a2\n10.0 ms  waitress-1  POST /b\n")


def test_with_an_earlier_document_there_are_rates_and_what_has_ended_since() -> None:
    before = document(requests={"GET": requests(_2xx=10)}, durations=histogram(*[5.0] * 10))
    now = document(requests={"GET": requests(_2xx=15)}, durations=histogram(*[5.0] * 10, *[0.0005] * 5))
    text = text_of(now, before, 2.0)
    assert line(text, "requests") == "15, 2.5 a second"
    assert line(text, "latency") == "p50 0.5 ms, p95 0.9 ms, p99 1.0 ms"


def test_a_worker_that_has_started_again_counts_from_its_start() -> None:
    before = document(requests={"GET": requests(_2xx=10)}, durations=histogram(*[5.0] * 10))
    now = document(requests={"GET": requests(_2xx=4)}, durations=histogram(*[0.0005] * 4))
    text = text_of(now, before, 2.0)
    assert line(text, "requests") == "4, 2.0 a second"
    assert line(text, "latency").startswith("p50 0.5 ms")


# --- real servers


def address_of(server: Any) -> str:
    return str(server.server.status_urls[0])


def test_it_prints_what_a_server_does(capsys: pytest.CaptureFixture[str]) -> None:
    application = Held()
    with running(application, status_listen="127.0.0.1:0") as server, set_at_end(application.released):
        with server.client() as client:
            client.send(get(target="/held"))
            assert application.entered.wait(20)
            url = address_of(server)
            for address in (url, url.removeprefix("http://"), f"{url}/"):
                assert main(["status", address]) == 0
                text = capsys.readouterr().out
                assert line(text, "threads") == "1 of 4 busy"
                assert text.rstrip().endswith("GET /held")
            application.released.set()
            client.response()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
def test_it_asks_a_unix_socket_and_the_address_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    monkeypatch.setenv("WAITRESS_STATUS_LISTEN", str(path))
    with running(Recorder(), status_listen=str(path)):
        assert status_command.main([]) == 0
        assert main(["status", f"http://unix:{path}"]) == 0
    assert capsys.readouterr().out.count("waitress-core") == 2


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    token_file.chmod(0o600)
    with running(Recorder(), status_listen="127.0.0.1:0", status_token_file=str(token_file)) as server:
        address = address_of(server)
        assert status_command.main([address], {}) == 1
        assert capsys.readouterr().err.endswith("wants its token: give --token-file=FILE\n")
        assert status_command.main([address, f"--token-file={token_file}"], {}) == 0
        assert status_command.main([address], {"WAITRESS_STATUS_TOKEN": TOKEN}) == 0
        assert status_command.main([address], {"WAITRESS_STATUS_TOKEN_FILE": str(token_file)}) == 0


def test_a_wrong_token_is_called_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}x\n")
    with running(Recorder(), status_listen="127.0.0.1:0", status_token=TOKEN) as server:
        address = address_of(server)
        assert status_command.main([address, f"--token-file={token_file}"], {}) == 1
    assert capsys.readouterr().err == (
        f"Error: the status server at {address} has another token: give the file that it was started with, "
        "--token-file=FILE\n"
    )


@pytest.mark.parametrize("address", ["127.0.0.1:{}", ":{}", "*:{}", "0.0.0.0:{}", "{}", "http://127.0.0.1:{}/"])
def test_an_address_that_a_server_listens_on_is_one_to_ask(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with running(Recorder(), status_listen="127.0.0.1:0") as server:
        port = server.server.status_urls[0].rpartition(":")[2]
        assert status_command.main([], {"WAITRESS_STATUS_LISTEN": address.format(port)}) == 0
    assert "ready" in capsys.readouterr().out


@pytest.mark.parametrize("text", [f"{TOKEN}\n{TOKEN}", "0123456789abcdeé", f"{TOKEN} {TOKEN}", f"{TOKEN}\x00"])
def test_what_is_no_token_is_one_line_and_not_shown(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(text, encoding="utf-8")
    assert status_command.main([f"--token-file={token_file}"], {}) == 1
    assert status_command.main([], {"WAITRESS_STATUS_TOKEN": text}) == 1
    written = capsys.readouterr().err.splitlines()
    assert written == [
        f"Error: {source} holds no token: expected one line of visible ASCII characters"
        for source in (token_file, "WAITRESS_STATUS_TOKEN")
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize("options", [[], ["--watch"]], ids=["once", "watch"])
def test_a_reader_that_has_seen_enough_is_no_error(options: list[str]) -> None:
    program = "import sys; from waitress_cli import main; sys.exit(main(['status', *sys.argv[1:]]))"
    with running(Recorder(), status_listen="127.0.0.1:0") as server:
        read_end, write_end = os.pipe()
        os.close(read_end)
        try:
            done = subprocess.run(
                [sys.executable, "-c", program, address_of(server), *options],
                stdout=write_end,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        finally:
            os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:1"], "no status server answers at 127.0.0.1:1: "),
        (["/nowhere/at/all.sock"], "no status server answers at /nowhere/at/all.sock: "),
        (["127.0.0.1:x"], "'127.0.0.1:x' is not HOST:PORT: "),
        (["a b:80"], "'a b:80' is not HOST:PORT: "),
        (["a..b:80"], "no status server answers at a..b:80: "),
        (["127.0.0.1:-1"], "no status server answers at 127.0.0.1:-1: "),
        (["[::1"], "no status server answers at [::1: "),
        (["--wach"], "unrecognized arguments: --wach"),
        (["a", "b"], "unrecognized arguments: b"),
        (["--token-file=/nowhere"], "the token cannot be read from /nowhere: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_asked_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_command.main(arguments, {}) == 1
    written = capsys.readouterr()
    assert written.err.startswith(f"Error: {message}")
    assert (written.out, written.err.count("\n")) == ("", 1)


def test_without_an_answer_it_says_how_to_have_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_command.main(["127.0.0.1:1"], {}) == 1
    assert capsys.readouterr().err.endswith(
        ". Start the server with --status-listen=127.0.0.1:1, or give the address of its status server: "
        "waitress-serve status ADDRESS\n"
    )


def test_a_server_that_is_no_status_server_is_named_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    with running(Recorder()) as server:
        assert status_command.main([server.url], {}) == 1
    assert "is not a status server of this version: 200 OK" in capsys.readouterr().err


def test_watching_goes_on_until_it_is_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = threading.Semaphore(2)

    def sleep(seconds: float) -> None:
        if not rounds.acquire(blocking=False):
            raise KeyboardInterrupt

    monkeypatch.setattr("waitress_cli.status.sleep", sleep)
    with running(Recorder(), status_listen="127.0.0.1:0") as server:
        address = address_of(server)
        assert ask(address)["version"] == 1
        assert status_command.main(["--watch", address], {}) == 0
    text = capsys.readouterr().out
    assert text.count("waitress-core") == 3
    assert text.count(" a second") == 2 * 3


def test_help_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: waitress-serve status")
    assert max(map(len, text.splitlines())) <= 80
