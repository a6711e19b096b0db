"""A real status server next to a real server: what it reports, and that it answers whatever becomes of the other."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import Recorder, get, set_at_end
from tests.functional.test_stats import Waiting, by_status
from tests.support.client import Client, Response
from tests.support.platforms import make_fifo, open_gate, signal_number
from tests.support.ports import free_port
from tests.support.processes import becomes_true
from tests.support.servers import Running, run_in_thread, running, spawned
from tests.support.times import SHORT_TICKS, shorten_ticks
from waitress_core import create_server
from waitress_core.observability.stats import EXIT_REASONS

HERE = "127.0.0.1:0"
TOKEN = "0123456789abcdef"
COMMAND = f"""
{SHORT_TICKS}
import sys
from waitress_core.processes.supervisor import Supervisor
Supervisor.tick_seconds = 0.05
from waitress_cli import main
sys.exit(main(sys.argv[1:]))
"""
PROGRAM = """
import logging

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        logging.warning("waits")
        with open("gate") as gate:
            gate.read()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def status_client(server: Running) -> Client:
    status_server = server.server.status_server
    assert status_server is not None
    listener = status_server._listeners[0]
    return Client(listener.port if listener.is_unix else (listener.host, int(listener.port)))


def ask(server: Running, path: str, *fields: str) -> Response:
    with status_client(server) as client:
        return client.get(path, *fields)


def total(server: Running) -> dict[str, Any]:
    totals: dict[str, Any] = json.loads(ask(server, "/status.json").body)["total"]
    return totals


def metric(server: Running, sample: str) -> float | None:
    for line in ask(server, "/metrics").body.decode().splitlines():
        if line.startswith(f"{sample} "):
            return float(line.rpartition(" ")[2])
    return None


@pytest.mark.one_worker
@pytest.mark.parametrize("access_log", [False, True], ids=["no-log", "log"])
def test_requests_are_counted_as_they_end(access_log: bool) -> None:
    with running(by_status, status_listen=HERE, access_log=access_log) as server, server.client() as client:
        for path in ("/200", "/204", "/404", "/raise"):
            client.get(path)
        with server.client() as other:
            other.send(b"BREW /200 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            other.rest()
        with server.client() as other:
            other.send(b"GET /200 HTTP/1.1\r\n\r\n")  # without Host
            other.rest()
        assert becomes_true(lambda: sum(total(server)["connections_ended"].values()) == 2)

        def requests() -> dict[str, dict[str, int]]:
            counted = total(server)["requests"]
            return {
                name: {status: count for status, count in counts.items() if count} for name, counts in counted.items()
            }

        # A request is counted after its response. The server knows the method of the one without Host: its request line
        # was read.
        expected = {"GET": {"2xx": 2, "4xx": 2, "5xx": 1}, "other": {"2xx": 1}}
        assert becomes_true(lambda: requests() == expected), requests()
        assert metric(server, 'waitress_http_requests_total{method="GET",status="2xx"}') == 2
        assert metric(server, "waitress_http_request_duration_seconds_count") == 5
        assert metric(server, "waitress_http_request_queue_seconds_count") == 5
        assert metric(server, 'waitress_http_requests_refused_total{rule="MissingHost"}') == 1
        assert metric(server, 'waitress_connections_ended_total{reason="refused"}') == 1
        assert server.server.stats().responses == {"2xx": 3, "3xx": 0, "4xx": 2, "5xx": 1, "none": 0}


def test_it_answers_while_every_thread_is_blocked_and_while_the_server_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    server = create_server(application, listen=HERE, status_listen=HERE, threads=2, ready_queue_seconds=0.2)
    with run_in_thread(server) as thread, set_at_end(application.released):
        seen = Running(server)
        clients = [seen.client() for _ in range(3)]
        for client in clients:
            client.send(get(target="/stuck?secret"))
        assert becomes_true(lambda: total(seen)["queue_depth"] == 1)
        assert ask(seen, "/health").status == 200
        assert becomes_true(lambda: ask(seen, "/ready").status == 503)
        assert b"for a thread, ready_queue_seconds is 0.2" in ask(seen, "/ready").body
        text = ask(seen, "/threads").body.decode()
        assert "2 threads busy, 0 idle" in text
        assert text.count(": GET /stuck, for ") == 2
        assert text.count("applications.py") + text.count(" __call__\n") >= 2
        assert "secret" not in text
        assert total(seen)["threads"] == {"busy": 2, "idle": 0, "lost": 0}
        assert metric(seen, "waitress_http_requests_in_flight") == 3

        stopper = threading.Thread(target=server.shutdown)
        stopper.start()
        assert becomes_true(lambda: ask(seen, "/ready").body == b"not ready: it is stopping\n")
        assert ask(seen, "/health").status == 200
        application.released.set()
        for client in clients:
            assert client.response().status == 200
            client.close()
        thread.join(20)
        stopper.join(20)
    with pytest.raises(OSError):
        ask(seen, "/health")


def test_lines_of_the_access_log_that_wait_for_a_thread_are_no_queue() -> None:
    application = Waiting()
    settings = {"threads": 1, "access_log": "json", "queue_limit": 2, "status_listen": HERE}
    with running(application, **settings) as server, set_at_end(application.released), server.client() as stuck:
        stuck.send(get())
        assert becomes_true(lambda: total(server)["threads"]["busy"] == 1)
        for _ in range(4):
            with server.client() as client:
                client.send(b"nonsense\r\n\r\n")
                assert client.response().status == 400
        assert (total(server)["queue_depth"], total(server)["queue_oldest_seconds"]) == (0, 0)
        assert server.server.stats().queue_depth == 0
        assert "wait for a thread" not in ask(server, "/threads").body.decode()
        with server.client() as second, server.client() as third, server.client() as refused:
            second.send(get())
            third.send(get())
            assert becomes_true(lambda: total(server)["queue_depth"] == 2)
            assert "2 requests wait for a thread" in ask(server, "/threads").body.decode()
            refused.send(get())
            assert refused.response().status == 503
            application.released.set()
            assert [one.response().status for one in (stuck, second, third)] == [200] * 3


def test_it_starts_before_the_server_and_ends_after_it() -> None:
    states: list[str] = []
    server = create_server(Recorder(), listen=HERE, status_listen=HERE)
    status_server = server.status_server
    assert status_server is not None
    server.on_state = lambda state: states.append(f"{state.name} {status_server._ended.is_set()}")  # type: ignore[method-assign]  # a subclass would
    assert server.status_snapshots() == []
    with server:
        assert [one["state"] for one in server.status_snapshots()] == ["serving"]
    assert states == ["SERVING False", "CLOSING False", "CLOSED False"]
    assert status_server._ended.is_set()
    assert [one["state"] for one in server.status_snapshots()] == ["closed"]


def test_a_server_that_never_runs_closes_it_too() -> None:
    server = create_server(Recorder(), listen=HERE, status_listen=HERE)
    url = server.status_urls[0]
    server.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5)


def test_an_address_in_use_is_named_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            own = probe.getsockname()[1]
        with pytest.raises(OSError) as caught:
            create_server(Recorder(), listen=f"127.0.0.1:{own}", status_listen=f"127.0.0.1:{port}")
        assert caught.value.errno == errno.EADDRINUSE
        assert f"Cannot listen on 127.0.0.1:{port}" in str(caught.value)
        create_server(Recorder(), listen=f"127.0.0.1:{own}").close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
@pytest.mark.parametrize("prefix", ["", "unix:", "http://unix:"])
def test_it_listens_on_a_unix_socket(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "s"
    with running(Recorder(), status_listen=f"{prefix}{path}") as server:
        assert server.server.status_urls == [f"http://unix:{path}"]
        assert ask(server, "/ready", "Host: anything").status == 400  # a second Host
        with status_client(server) as client:
            client.send(b"GET /ready HTTP/1.1\r\nHost: by-any-name\r\n\r\n")
            assert client.response().body == b"ready\n"
    assert not path.exists()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 413),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 413),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na", 413),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=["body", "chunked", "body-of-get", "method", "host", "path", "large", "nonsense"],
)
def test_what_it_does_not_serve_gets_a_clear_answer(request_bytes: bytes, status: int) -> None:
    with running(Recorder(), status_listen=HERE) as server, status_client(server) as client:
        client.send_until_refused([request_bytes])
        assert client.response().status == status


def test_a_check_in_http_1_0_needs_no_host() -> None:
    """HAProxy's checks have none, unless it is told otherwise."""
    with running(Recorder(), status_listen=HERE) as server, status_client(server) as client:
        client.send(b"OPTIONS / HTTP/1.0\r\n\r\n")
        assert client.response().status == 405
    with running(Recorder(), status_listen=HERE) as server, status_client(server) as client:
        client.send(b"GET /ready HTTP/1.0\r\n\r\n")
        assert client.response().body == b"ready\n"


def test_the_token_is_wanted_for_figures_only() -> None:
    with running(Recorder(), status_listen=HERE, status_token=TOKEN) as server:
        assert ask(server, "/metrics").status == 401
        assert ask(server, "/metrics", f"Authorization: Bearer {TOKEN}").status == 200
        assert ask(server, "/ready").status == 200


@pytest.mark.one_worker
def test_a_server_without_one_measures_nothing() -> None:
    with running(by_status) as server, server.client() as client:
        client.get("/200")
        assert server.server.status_urls == []
        assert server.server._run is not None
        assert server.server._run._context.measures is None
        [snapshot] = server.server.status_snapshots()
        assert (snapshot["requests"], sum(snapshot["durations"]["counts"])) == ({}, 0)


def test_a_snapshot_counts_a_slow_request_in_the_bucket_of_its_time() -> None:
    application = Waiting()
    with running(application, status_listen=HERE, threads=1) as server, set_at_end(application.released):
        with server.client() as client, server.client() as other:
            client.send(get())
            assert application.entered.acquire(timeout=20)
            other.send(get())
            assert becomes_true(lambda: total(server)["queue_oldest_seconds"] > 0.05)
            application.released.set()
            client.response()
            other.response()
        assert becomes_true(lambda: sum(total(server)["durations"]["counts"]) == 2)
        assert sum(total(server)["durations"]["counts"][5:]) == 2  # longer than 25 ms
        assert sum(total(server)["waits"]["counts"][5:]) == 1  # the second


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_several_worker_processes_are_told_together_and_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    make_fifo(tmp_path / "gate")
    port = free_port()
    arguments = [
        "--listen=127.0.0.1:0",
        "--workers=2",
        "--worker-kind=process",
        f"--status-listen=127.0.0.1:{port}",
        "shop:application",
    ]
    with spawned([sys.executable, "-c", COMMAND, *arguments], tmp_path) as process:
        address = process.wait_for_address()

        def ask(path: str, *fields: str) -> Response:
            with Client(("127.0.0.1", port)) as client:
                return client.get(path, *fields)

        # Ready as soon as one of them is
        assert becomes_true(lambda: len(json.loads(ask("/status.json").body)["workers"]) == 2)
        assert ask("/ready").status == 200
        for _ in range(8):
            with Client(address) as client:
                assert client.get("/").status == 200
        assert becomes_true(lambda: sum(total_of(ask)["requests"].get("GET", {}).values()) == 8)
        document = json.loads(ask("/status.json").body)
        assert sorted(worker["worker"] for worker in document["workers"]) == [1, 2]
        assert len({worker["pid"] for worker in document["workers"]}) == 2
        none = dict.fromkeys(EXIT_REASONS, 0)
        assert document["supervisor"] == {
            "starts": 2,
            "exits": none,
            "reloads": {"done": 0, "failed": 0},
            "ended": None,
        }
        text = ask("/metrics").body.decode()
        assert 'waitress_threads{worker="2",state="idle"}' in text
        assert "waitress_worker_starts_total 2\n" in text

        process.signal(signal_number("SIGHUP"))
        assert becomes_true(lambda: json.loads(ask("/status.json").body)["supervisor"]["reloads"]["done"] == 1)
        ended = {**none, "retired": 2}
        assert becomes_true(lambda: json.loads(ask("/status.json").body)["supervisor"]["exits"] == ended)
        # What the first two workers have counted is not lost with them.
        assert sum(total_of(ask)["requests"]["GET"].values()) == 8
        assert total_of(ask)["threads"] == {"busy": 0, "idle": 8, "lost": 0}

        with Client(address) as client:  # it answers for as long as a worker does
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            process.wait_for_line("waits")
            process.signal()
            assert becomes_true(lambda: ask("/ready").body == b"not ready: it is stopping\n")
            assert ask("/health").status == 200
            open_gate(tmp_path)
            assert client.response().status == 200
        assert process.wait() == 0
    with pytest.raises(OSError):
        ask("/health")


def total_of(ask: Callable[[str], Response]) -> dict[str, Any]:
    totals: dict[str, Any] = json.loads(ask("/status.json").body)["total"]
    return totals


def test_a_server_that_refuses_requests_is_not_ready() -> None:
    application = Waiting()
    settings: dict[str, Any] = {"status_listen": HERE, "threads": 1, "queue_limit": 1}
    with running(application, **settings) as server, set_at_end(application.released):
        with server.client() as first, server.client() as second, server.client() as third:
            first.send(get())
            assert application.entered.acquire(timeout=20)
            second.send(get())
            assert becomes_true(lambda: total(server)["queue_depth"] == 1)
            assert ask(server, "/ready").status == 200
            assert third.get().status == 503
            assert ask(server, "/ready").body == b"not ready: requests are refused, by queue_limit or queue_timeout\n"
            assert total(server)["refused"] == {"queue_limit": 1}
            application.released.set()


def test_a_server_that_has_lost_its_threads_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    settings: dict[str, Any] = {"status_listen": HERE, "threads": 1, "request_timeout": 0.1}
    with running(application, **settings) as server, set_at_end(application.released):
        with server.client() as first, server.client() as second:
            first.send(get())
            second.send(get())
            assert becomes_true(lambda: b"its threads are lost to requests" in ask(server, "/ready").body)
            assert total(server)["threads"]["lost"] >= 1
            assert total(server)["refused"]["request_timeout"] >= 1
            application.released.set()
