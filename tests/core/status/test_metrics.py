"""Metrics as text: the formats, the names, and that they are what others read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from tests.core.status.snapshots import histogram, requests, snapshot_of
from waitress_core.observability.snapshot import Snapshot
from waitress_core.status.document import Supervision
from waitress_core.status.metrics import METRICS, render, wants_open_metrics

BUILD = {"version": "1.1.0", "python": "cpython 3.11.7"}
SUPERVISION: Supervision = {
    "starts": 5,
    "exits": {"retired": 2, "killed": 1},
    "reloads": {"done": 1, "failed": 0},
    "ended": None,
}
BUSY = snapshot_of(
    requests={"GET": requests(_2xx=7, _5xx=1), "other": requests(_4xx=2)},
    durations=histogram(0.0005, 0.02, 70.0),
    waits=histogram(0.0001, 0.001, 3.0),
    refused={"MissingHost": 2},
    deadlines={"idle": 1, "head": 0},
    bytes_in=1234,
    bytes_out=567890,
    connections={"idle": 3, "task": 2, "flush": 1},
    connections_ended={"client_closed": 4},
    threads={"busy": 2, "idle": 2},
    queue_depth=1,
    queue_oldest_seconds=0.25,
    tls_handshakes={"done": 6, "late": 1},
    log_lines_dropped=3,
    memory_bytes=25_000_000,
    open_descriptors=17,
    started_at=1795910868.67,
)
NAMES = {  # as the issue and the reference have them
    "waitress_http_requests_total",
    "waitress_http_request_duration_seconds",
    "waitress_http_request_queue_seconds",
    "waitress_http_request_bytes_total",
    "waitress_http_response_bytes_total",
    "waitress_http_requests_in_flight",
    "waitress_http_requests_refused_total",
    "waitress_connections",
    "waitress_connections_ended_total",
    "waitress_deadlines_total",
    "waitress_threads",
    "waitress_queue_depth",
    "waitress_queue_oldest_seconds",
    "waitress_worker_starts_total",
    "waitress_worker_exits_total",
    "waitress_reloads_total",
    "waitress_tls_handshakes_total",
    "waitress_log_lines_dropped_total",
    "waitress_build_info",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str, *, is_open_metrics: bool) -> Samples:
    """Read a text with the official parser."""
    module: Any = openmetrics_parser if is_open_metrics else parser
    read = module.text_string_to_metric_families
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


def test_the_names_are_these() -> None:
    assert {metric.name for metric in METRICS} == NAMES
    assert len(METRICS) == len(NAMES)


@pytest.mark.parametrize("is_open_metrics", [False, True], ids=["prometheus", "openmetrics"])
@pytest.mark.parametrize("count", [1, 2], ids=["one-worker", "two-workers"])
def test_the_official_parser_reads_each_value(is_open_metrics: bool, count: int) -> None:
    supervision = SUPERVISION if count > 1 else None
    text = render(
        [{**BUSY, "worker": number} for number in range(count)], supervision, BUILD, is_open_metrics=is_open_metrics
    )
    samples = samples_of(text, is_open_metrics=is_open_metrics)
    own: tuple[tuple[str, str], ...] = (("worker", "1"),) if count > 1 else ()
    expected: dict[Any, Any] = {
        ("waitress_http_requests_total", (("method", "GET"), ("status", "2xx"), *own)): 7,
        ("waitress_http_requests_total", (("method", "other"), ("status", "4xx"), *own)): 2,
        ("waitress_http_request_duration_seconds_count", own): 3,
        ("waitress_http_request_duration_seconds_sum", own): pytest.approx(70.0205),
        ("waitress_http_request_duration_seconds_bucket", (("le", "60.0"), *own)): 2,
        ("waitress_http_request_duration_seconds_bucket", (("le", "+Inf"), *own)): 3,
        ("waitress_http_request_queue_seconds_bucket", (("le", "0.001"), *own)): 2,
        ("waitress_http_request_bytes_total", own): 1234,
        ("waitress_http_response_bytes_total", own): 567890,
        ("waitress_http_requests_in_flight", own): 3,
        ("waitress_http_requests_refused_total", (("rule", "MissingHost"), *own)): 2,
        ("waitress_connections", (("state", "idle"), *own)): 3,
        ("waitress_connections_ended_total", (("reason", "client_closed"), *own)): 4,
        ("waitress_deadlines_total", (("kind", "idle"), *own)): 1,
        ("waitress_threads", (("state", "busy"), *own)): 2,
        ("waitress_queue_depth", own): 1,
        ("waitress_queue_oldest_seconds", own): 0.25,
        ("waitress_tls_handshakes_total", (("result", "done"), *own)): 6,
        ("waitress_log_lines_dropped_total", own): 3,
        ("waitress_build_info", tuple(sorted(BUILD.items()))): 1,
        ("process_resident_memory_bytes", own): 25_000_000,
        ("process_open_fds", own): 17,
        ("process_start_time_seconds", own): 1795910868.67,
    }
    if supervision:
        expected[("waitress_worker_starts_total", ())] = 5
        expected[("waitress_worker_exits_total", (("reason", "retired"),))] = 2
        expected[("waitress_reloads_total", (("result", "done"),))] = 1
    assert {key: samples.get(key) for key in expected} == expected


def test_a_supervisor_alone_has_no_samples_of_workers() -> None:
    samples = samples_of(render([], SUPERVISION, BUILD, is_open_metrics=True), is_open_metrics=True)
    assert {name for name, _ in samples} == {
        "waitress_worker_starts_total",
        "waitress_worker_exits_total",
        "waitress_reloads_total",
        "waitress_build_info",
    }


def test_one_worker_of_a_supervisor_has_its_label() -> None:
    text = render([snapshot_of(worker=12)], SUPERVISION, BUILD, is_open_metrics=False)
    assert 'waitress_queue_depth{worker="12"} 0\n' in text
    assert "waitress_worker_starts_total 5\n" in text


def test_what_the_system_does_not_say_is_left_out() -> None:
    text = render([snapshot_of(memory_bytes=None, open_descriptors=None)], None, BUILD, is_open_metrics=False)
    names = {name for name, _ in samples_of(text, is_open_metrics=False)}
    assert names.isdisjoint({"process_open_fds", "process_resident_memory_bytes"})


@pytest.mark.parametrize("is_open_metrics", [False, True], ids=["prometheus", "openmetrics"])
@pytest.mark.parametrize("snapshots", [[], [snapshot_of()]], ids=["no-worker", "idle"])
def test_every_metric_is_named_even_without_a_sample(snapshots: list[Snapshot], is_open_metrics: bool) -> None:
    text = render(snapshots, None, BUILD, is_open_metrics=is_open_metrics)
    samples_of(text, is_open_metrics=is_open_metrics)
    named = re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)
    assert named == re.findall(r"^# HELP (\w+) ", text, re.MULTILINE)
    suffix = "(_total|_info)$" if is_open_metrics else "$^"
    assert named == [re.sub(suffix, "", metric.name) for metric in METRICS]


@pytest.mark.parametrize("is_open_metrics", [False, True], ids=["prometheus", "openmetrics"])
def test_any_text_in_a_label_stays_a_label(is_open_metrics: bool) -> None:
    nasty = 'a"b\\c\nd} 1'
    text = render([snapshot_of()], None, {**BUILD, "version": nasty}, is_open_metrics=is_open_metrics)
    samples = samples_of(text, is_open_metrics=is_open_metrics)
    assert samples["waitress_build_info", (("python", BUILD["python"]), ("version", nasty))] == 1


def test_each_family_has_a_type_and_a_text_that_ends_as_a_sentence() -> None:
    text = render([BUSY], SUPERVISION, BUILD, is_open_metrics=False)
    assert len(re.findall(r"^# TYPE ", text, re.MULTILINE)) == len(METRICS)
    assert all(metric.help.endswith(".") for metric in METRICS)
    assert all(not metric.name.endswith("_total") or metric.kind == "counter" for metric in METRICS)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.4", False),
        ("Application/OpenMetrics-Text; q=0.9, */*;q=0.1", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        (";;,,=;q=", False),
    ],
)
def test_the_format_is_the_one_that_accept_prefers(accept: str, expected: bool) -> None:
    assert wants_open_metrics(accept) is expected
