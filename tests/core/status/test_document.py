"""From the snapshots of workers to one document."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest

from tests.core.status.snapshots import histogram, requests, snapshot_of
from tests.support.rows import each_row
from waitress_core.observability.histograms import BOUNDS
from waitress_core.observability.snapshot import Totals
from waitress_core.status.document import (
    STALE_SECONDS,
    Document,
    Supervision,
    counters_only,
    make_document,
    total,
    why_not_ready,
)


def reason_for(*changes: dict[str, Any], now: float = 1000.0, ready_queue_seconds: float = 10) -> str:
    return why_not_ready(
        [snapshot_of(**change) for change in changes], ready_queue_seconds=ready_queue_seconds, now=now
    )


@each_row(
    ("workers", "reason"),
    [
        ([{}], ""),
        ([], "it is starting: the application is not served yet"),
        ([{"state": "starting"}], "it is starting"),
        ([{"state": "leaving"}], "it is stopping"),
        ([{"state": "draining"}], "it is stopping"),
        ([{"state": "closing"}], "it is stopping"),
        ([{"state": "closed"}], "it has ended"),
        ([{"queue_oldest_seconds": 10.0}], ""),
        (
            [{"queue_oldest_seconds": 12.34}],
            "a request has waited 12.3 seconds for a thread, ready_queue_seconds is 10",
        ),
        (
            [{"is_short_of_threads": True}],
            "its threads are lost to requests that do not end, see request_timeout",
        ),
        ([{"is_refusing": True}], "requests are refused, by queue_limit or queue_timeout"),
        ([{"at": 1000.0 - STALE_SECONDS}], ""),
        ([{"at": 999.9 - STALE_SECONDS}], "it does not respond"),
        ([{"state": "draining"}, {"at": 0.0}], "it is stopping; it does not respond"),
        ([{"state": "draining"}, {"state": "leaving"}], "it is stopping"),
        ([{"state": "draining"}, {}], ""),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
def test_a_server_is_ready_while_one_of_its_workers_is(workers: list[dict[str, Any]], reason: str) -> None:
    assert reason_for(*workers) == reason


def test_without_ready_queue_seconds_no_queue_is_too_old() -> None:
    assert reason_for({"queue_oldest_seconds": 1e6}, ready_queue_seconds=0) == ""


def test_the_sums_are_over_all_workers() -> None:
    one = snapshot_of(
        requests={"GET": requests(_2xx=1), "POST": requests(_5xx=2)},
        durations=histogram(0.1),
        queue_depth=2,
        queue_oldest_seconds=0.5,
        refused={"MissingHost": 1},
        bytes_in=10,
    )
    other = snapshot_of(
        requests={"GET": requests(_2xx=3, _4xx=1)},
        durations=histogram(0.2, 70.0),
        queue_depth=1,
        queue_oldest_seconds=2.5,
        refused={"MissingHost": 1, "TlsHandshake": 4},
        bytes_in=5,
        threads={"busy": 1, "idle": 3},
    )
    sums = total([one, other])
    assert sums["requests"] == {"GET": requests(_2xx=4, _4xx=1), "POST": requests(_5xx=2)}
    assert sums["durations"] == {**histogram(0.1, 0.2, 70.0), "sum": pytest.approx(70.3)}
    assert (sums["queue_depth"], sums["queue_oldest_seconds"], sums["bytes_in"]) == (3, 2.5, 15)
    assert sums["refused"] == {"MissingHost": 2, "TlsHandshake": 4}
    assert sums["threads"] == {"busy": 1, "idle": 7, "lost": 0}


def test_the_sums_of_no_worker_are_nothing() -> None:
    sums = total([])
    assert set(sums) == set(get_type_hints(Totals))
    assert sums["waits"] == {"counts": [0] * (len(BOUNDS) + 1), "sum": 0}


def test_only_the_counts_of_ended_workers_stay_in_the_sums() -> None:
    one = snapshot_of(
        requests={"GET": requests(_2xx=3)},
        durations=histogram(0.1),
        bytes_in=10,
        connections={"idle": 2, "task": 1},
        threads={"busy": 1, "idle": 3, "lost": 1},
        queue_depth=1,
        queue_oldest_seconds=7.0,
    )
    ended = counters_only(one)
    assert set(ended) == set(get_type_hints(Totals))
    supervision: Supervision = {"starts": 2, "exits": {}, "reloads": {}, "ended": total([ended, ended])}
    document = make_document([one], supervision, server="", python="", ready_queue_seconds=0, now=1000.0)
    sums = document["total"]
    assert (sums["requests"]["GET"]["2xx"], sums["bytes_in"], sum(sums["durations"]["counts"])) == (9, 30, 3)
    assert (sums["connections"], sums["threads"]) == (one["connections"], one["threads"])
    assert (sums["queue_depth"], sums["queue_oldest_seconds"]) == (1, 7.0)
    alone = make_document([], supervision, server="", python="", ready_queue_seconds=0, now=1000.0)
    assert alone["total"]["bytes_in"] == 20


def test_the_document_has_the_fields_that_its_type_has_and_json_keeps_it() -> None:
    document = make_document(
        [snapshot_of(), snapshot_of()],
        {"starts": 3, "exits": {"retired": 1}, "reloads": {}, "ended": None},
        server="waitress-core 1.1.0",
        python="cpython 3.11.7",
        ready_queue_seconds=10,
        now=1000.0,
    )
    assert set(document) == set(get_type_hints(Document))
    assert json.loads(json.dumps(document)) == document
    assert document["is_ready"]
    assert (document["version"], len(document["workers"])) == (1, 2)
