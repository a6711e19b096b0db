"""The status server with what people use: promtool, a real Prometheus, and a browser."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.ecosystem.chromium import CHROMIUM, page
from tests.functional.test_stats import by_status
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from waitress_core.status.metrics import METRICS

pytestmark = pytest.mark.ecosystem

ROOT = Path(__file__).parents[2]
FILES = ROOT / "docs" / "how-to" / "monitor"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(not (PROMTOOL and PROMETHEUS), reason="prometheus is not installed")


@pytest.fixture
def server() -> Iterator[Running]:
    with running(by_status, status_listen="127.0.0.1:0") as server, server.client() as client:
        for path in ("/200", "/404", "/503", "/200", "/raise"):
            client.get(path)
        yield server


def status_url(server: Running) -> str:
    return str(server.server.status_urls[0])


@needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_metrics(server: Running) -> None:
    with urlopen(f"{status_url(server)}/metrics") as answer:
        text = answer.read()
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_files_of_the_page() -> None:
    for words in (["config", "prometheus.yml"], ["rules", "alerts.yml"]):
        done = subprocess.run([str(PROMTOOL), "check", *words], cwd=FILES, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr


@needs_prometheus
def test_a_prometheus_scrapes_it(server: Running, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    target = status_url(server).removeprefix("http://")
    text = (FILES / "prometheus.yml").read_text().replace("127.0.0.1:9180", target).replace("15s", "200ms")
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(FILES / "alerts.yml", tmp_path)
    process = subprocess.Popen(
        [
            str(PROMETHEUS),
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ask(query: str) -> list[Any]:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}", timeout=5) as answer:
                return list(json.loads(answer.read())["data"]["result"])
        except OSError:  # it starts
            return []

    try:
        query = 'waitress_http_requests_total{status="5xx"}'
        assert becomes_true(lambda: [one["value"][1] for one in ask(query)] == ["2"], 60)
        # What has no sample on one process that has not refused anything
        absent = {"waitress_http_requests_refused_total"} | {
            metric.name for metric in METRICS if metric.source == "supervisor"
        }
        for metric in METRICS:
            name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
            assert bool(ask(name)) is (metric.name not in absent), name
        for panel in json.loads((FILES / "grafana.json").read_text())["panels"]:
            for row in panel["targets"]:
                text = row["expr"].replace("$job", ".+").replace("$__rate_interval", "1m")
                with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': text})}") as answer:
                    assert json.loads(answer.read())["status"] == "success"
    finally:
        process.terminate()
        process.wait(30)


def test_the_dashboard_is_one_by_the_schema_of_grafana() -> None:
    """Read into Grafana's own classes and written again, it has lost nothing: each key and type is known there."""
    needed = "grafana-foundation-sdk is not installed: `make test-ecosystem` installs it"
    dashboard = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=needed)
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    pytest.importorskip("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    given = json.loads((FILES / "grafana.json").read_text())
    read = dashboard.Dashboard.from_json(given)
    assert _missing(given, json.loads(json.dumps(read, cls=encoder.JSONEncoder))) == []


def _missing(given: Any, kept: Any, place: str = "") -> list[str]:
    """Return where `kept` lacks a part of `given`, or has another value."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [fault for key in given for fault in _missing(given[key], kept.get(key), f"{place}.{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        return [fault for index, pair in pairs for fault in _missing(*pair, f"{place}[{index}]")]
    return [] if given == kept else [place]


# --- the page

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 400])
def test_a_browser_shows_the_figures_live(server: Running, tmp_path: Path, scheme: str, width: int) -> None:
    with page(tmp_path) as shown:
        shown.show(f"{status_url(server)}/", width, 900, scheme)
        shown.wait_for("document.getElementById('state').textContent === 'ready'")
        assert shown.value("document.querySelectorAll('#tiles section').length") == 8
        assert "5 since the start" in shown.value("document.getElementById('tiles').textContent")
        with server.client() as client:
            for _ in range(20):
                client.get("/200")
        shown.wait_for("document.getElementById('tiles').textContent.includes('25 since the start')")
        shown.wait_for("document.querySelector('path.main').getAttribute('d').includes('L')")  # a curve
        assert shown.value("document.querySelectorAll('#workers tr').length") == 2
        assert shown.value("document.documentElement.scrollWidth") <= width
        colours = "[...document.querySelectorAll('.dot')].map(dot => getComputedStyle(dot).backgroundColor)"
        states = shown.value(colours)
        assert len(states) == 7
        assert "rgba(0, 0, 0, 0)" not in states
        background = shown.value("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(15, 19, 23)") is (scheme == "dark")
        shot = tmp_path / "page.png"
        shown.screenshot(shot)
        assert shot.stat().st_size > 10_000
        server.server.shutdown()
        shown.wait_for("document.getElementById('state').textContent.startsWith('no answer')")
        # Nothing was refused by its own policy, and nothing has failed but the server's end.
        assert [text for text in shown.messages if "ERR_CONNECTION" not in text] == []


@needs_chromium
def test_a_phone_shows_each_value_of_a_worker_with_its_title(server: Running, tmp_path: Path) -> None:
    with page(tmp_path) as shown:
        shown.show(f"{status_url(server)}/", 400, 900)
        shown.wait_for("document.getElementById('state').textContent === 'ready'")
        cells = "[...document.querySelectorAll('#workers td')]"
        titles = shown.value(f"{cells}.map(cell => getComputedStyle(cell, '::before').content)")
        assert titles[:2] == ['"Process "', '"State "']
        assert len(titles) == 9
        boxes = shown.value(f"{cells}.map(cell => [cell.getBoundingClientRect().right, cell.clientWidth])")
        assert all(right <= 400 and shown_width > 0 for right, shown_width in boxes)
        assert not shown.value("document.querySelector('#workers').scrollWidth > innerWidth")


@needs_chromium
def test_the_page_asks_for_the_token(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    with running(by_status, status_listen="127.0.0.1:0", status_token=token) as server, page(tmp_path) as shown:
        shown.show(f"{status_url(server)}/", 800, 600)
        shown.wait_for("!document.getElementById('login').hidden")
        for text, then in (
            ("wrong", "document.getElementById('refused').textContent === 'That is not the token.'"),
            (token, "!document.getElementById('figures').hidden"),
        ):
            shown.value(f"document.getElementById('token').value = {json.dumps(text)}")
            shown.value("document.querySelector('#login button').click()")
            shown.wait_for(then)
        shown.wait_for("document.getElementById('state').textContent === 'ready'")
        assert not shown.value("document.getElementById('figures').hidden")


def test_it_answers_while_the_server_is_saturated(server: Running) -> None:
    """With its one thread and the interpreter's lock shared with four threads that compute."""

    def compute(environ: Any, start_response: Any) -> list[bytes]:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            sum(range(1000))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with running(compute, status_listen="127.0.0.1:0", threads=4) as busy:
        clients = [busy.client() for _ in range(12)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection = http.client.HTTPConnection(status_url(busy).removeprefix("http://"), timeout=10)
        took = []
        for _ in range(10):
            started_at = time.monotonic()
            connection.request("GET", "/ready")
            assert connection.getresponse().read()
            took.append(time.monotonic() - started_at)
        connection.close()
        for client in clients:
            client.close()
    assert sorted(took)[5] < 1.0
