"""The application of the status server, called by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests.core.status.snapshots import snapshot_of
from tests.support.rows import each_row
from waitress_core.observability.snapshot import Snapshot
from waitress_core.status.app import PATHS, StatusApplication, is_local_host, page

TOKEN = "0123456789abcdef"


class Answered:
    """What the application has answered."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status[:3])
        self.headers = dict(headers)
        self.body = body.decode("utf-8")
        assert len(self.headers) == len(headers)


def ask(
    path: str = "/", snapshots: Sequence[Snapshot] | None = None, *, token: str | None = None, **environ: str
) -> Answered:
    """Ask an application about one server that serves."""
    snapshots = [snapshot_of()] if snapshots is None else snapshots
    application = StatusApplication(
        lambda: (snapshots, None), version="1.1.0", token=token, ready_queue_seconds=10, clock=lambda: 1000.0
    )
    full: dict[str, Any] = {}
    setup_testing_defaults(full)
    full.update({"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:9180", "QUERY_STRING": "", "SCRIPT_NAME": "", **environ})
    seen: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.extend((status, headers))
        return lambda data: None

    result: Any = validator(application)(full, start_response)
    body = b"".join(result)
    result.close()
    return Answered(seen[0], seen[1], body)


def test_health_answers_whatever_the_server_does() -> None:
    answer = ask("/health", [])
    assert (answer.status, answer.body) == (200, "ok\n")


def test_ready_says_why_it_is_not() -> None:
    assert (ask("/ready").status, ask("/ready").body) == (200, "ready\n")
    answer = ask("/ready", [snapshot_of(state="draining")])
    assert (answer.status, answer.body) == (503, "not ready: it is stopping\n")


def test_the_document_is_json() -> None:
    answer = ask("/status.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = json.loads(answer.body)
    assert (document["version"], document["is_ready"], document["server"]) == (1, True, "waitress-core 1.1.0")
    assert len(document["workers"]) == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
    ids=["prometheus", "openmetrics"],
)
def test_metrics_come_in_the_format_that_is_asked_for(accept: str, kind: str) -> None:
    answer = ask("/metrics", HTTP_ACCEPT=accept)
    assert answer.headers["Content-Type"] == kind
    assert answer.body.endswith("# EOF\n") is kind.startswith("application")
    assert answer.headers["Vary"] == "Accept"


def test_threads_are_told_with_their_stacks() -> None:
    run = {
        "thread": "waitress-3",
        "request": "GET /cart",
        "request_id": None,
        "seconds": 12.3456,
        "stack": ["shop.py:7 cart", "db.py:9 ask"],
    }
    other = {**run, "request_id": "01a2", "stack": []}
    waits = {"queue_depth": 2, "queue_oldest_seconds": 1.5, "threads": {"busy": 1, "idle": 3, "lost": 2}}
    text = ask("/threads", [snapshot_of(pid=7, running=[run, other], **waits), snapshot_of(pid=8)]).body
    assert text == (
        "Process 7, serving: 1 threads busy, 3 idle, 2 lost\n"
        "2 requests wait for a thread, the first for 1.500 seconds\n"
        "\n"
        "waitress-3: GET /cart, for 12.346 seconds\n"
        "  shop.py:7 cart\n"
        "  db.py:9 ask\n"
        "\n"
        "waitress-3: GET /cart, request 01a2, for 12.346 seconds\n"
        "\n"
        "Process 8, serving: 0 threads busy, 4 idle\n"
        "\n"
    )


@pytest.mark.parametrize("path", ["", "/x", "/metrics/", "//", "/STATUS.JSON", "/status", "/../health", "/page.html"])
def test_another_path_is_not_found_and_the_answer_names_them(path: str) -> None:
    answer = ask(path, SCRIPT_NAME="" if path else "/x")
    assert answer.status == 404
    assert answer.body == f"There is nothing here. The paths are {' '.join(PATHS)}\n"


@each_row("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
@each_row("path", PATHS)
def test_another_method_is_not_allowed(method: str, path: str) -> None:
    answer = ask(path, REQUEST_METHOD=method)
    assert (answer.status, answer.headers["Allow"], answer.body) == (405, "GET, HEAD", "Only GET and HEAD\n")


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_headers_of_get_and_no_body(path: str) -> None:
    get, head = ask(path), ask(path, REQUEST_METHOD="HEAD")
    assert head.body == ""
    varying = {"Content-Length"} if path in ("/status.json", "/metrics", "/threads") else set()
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in get.headers.items() if name not in varying
    }


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_kept_by_nobody_and_runs_nothing_of_others(path: str) -> None:
    headers = ask(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


# --- the token


@each_row("path", ["/metrics", "/status.json", "/threads"])
@each_row(
    "given",
    [
        "",
        "Bearer",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        "Bearer é",
    ],
    ids=["none", "scheme", "basic", "bare", "longer", "shorter", "upper", "latin-1"],
)
def test_without_the_token_there_are_no_figures(path: str, given: str) -> None:
    answer = ask(path, token=TOKEN, HTTP_AUTHORIZATION=given)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="waitress status"'
    assert answer.body == "The token is missing or wrong: send Authorization: Bearer TOKEN\n"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_there_are(scheme: str) -> None:
    assert ask("/metrics", token=TOKEN, HTTP_AUTHORIZATION=f"{scheme} {TOKEN}").status == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready"])
def test_probes_and_the_empty_page_need_no_token(path: str) -> None:
    assert ask(path, token=TOKEN).status == 200


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr("waitress_core.status.app.hmac.compare_digest", compare)
    assert ask("/metrics", token=TOKEN, HTTP_AUTHORIZATION="Bearer guess").status == 200
    assert compared == [(b"guess", TOKEN.encode())]


# --- the name by which it is asked


@each_row(
    ("host", "expected"),
    [
        ("127.0.0.1:9180", True),
        ("127.0.0.1", True),
        ("[::1]:9180", True),
        ("[::1]", True),
        ("localhost:9180", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("status.localhost:1", True),
        ("rebound.example", False),
        ("rebound.example:9180", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("", False),
        (":9180", False),
        ("1.example", False),
    ],
)
def test_a_name_is_not_local_unless_it_is_localhost(host: str, expected: bool) -> None:
    assert is_local_host(host) is expected


@pytest.mark.parametrize("path", ["/", "/health", "/status.json", "/nothing"])
def test_a_name_of_the_domain_name_system_is_refused_without_a_token(path: str) -> None:
    answer = ask(path, HTTP_HOST="rebound.example:9180")
    assert answer.status == 421
    assert "status_token" in answer.body


def test_with_a_token_any_name_will_do() -> None:
    assert ask("/health", token=TOKEN, HTTP_HOST="status.example").status == 200


# --- the page


def test_the_page_has_nothing_from_elsewhere() -> None:
    html, policy = page()
    outside = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]+)""", html)
    assert set(outside) == {"data:,", "metrics", "status.json", "threads"}
    assert set(re.findall(r"https?://[^\"']+", html)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert html.count("<script") == html.count("<style") == 1
    assert not re.findall(r"\son\w+=|\sstyle=|innerHTML|eval\(", html)
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
