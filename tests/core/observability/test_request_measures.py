"""Requests by method, status, time, and time in the queue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.status.snapshots import histogram, requests
from waitress_core.observability.request_measures import METHODS, OTHER, RequestMeasures


def test_a_request_is_counted_by_method_and_class_of_status() -> None:
    measures = RequestMeasures()
    for method, status in (("GET", "200 OK"), ("GET", "204 No Content"), ("POST", "503 Busy"), ("GET", "")):
        measures.end((method, 10.0), 10.0, status, 10.0)
    measures.count("POST", "400 Bad Request")
    assert measures.requests() == {"GET": requests(_2xx=2, _none=1), "POST": requests(_4xx=1, _5xx=1)}
    assert measures.by_status() == {"2": 2, "3": 0, "4": 1, "5": 1, "": 1}


@pytest.mark.parametrize("method", ["BREW", "get", "GETX", "", "\x00", OTHER.upper()])
def test_a_method_that_is_not_registered_is_other(method: str) -> None:
    measures = RequestMeasures()
    measures.end((method, 10.0), 10.0, "200 OK", 10.0)
    measures.count(method, "")
    assert measures.requests() == {OTHER: requests(_2xx=1, _none=1)}


def test_registered_methods_are_listed_once() -> None:
    assert {"GET", "HEAD", "POST", "PATCH", "PROPFIND", "QUERY", "VERSION-CONTROL"} <= set(METHODS)
    assert len(set(METHODS)) == len(METHODS)


@pytest.mark.parametrize(
    ("waited", "took"),
    [(0.0, 0.0), (0.0002, 0.001), (0.0002, 0.0011), (0.3, 0.4), (5.0, 100.0)],
    ids=["nothing", "quick", "not-quick", "slow", "longer"],
)
def test_time_and_time_in_the_queue_are_in_two_histograms(waited: float, took: float) -> None:
    measures = RequestMeasures()
    for _ in range(2):
        measures.end(("GET", 0.0), waited, "200 OK", took)
        measures.tick()
    assert as_figures(measures.durations()) == histogram(took, took)
    assert as_figures(measures.waits()) == histogram(waited, waited)


def test_a_task_that_never_started_has_not_left_the_queue() -> None:
    measures = RequestMeasures()
    measures.end(("GET", 10.0), 9.0, "", 10.2)  # a task before it on the connection started at 9.0
    assert measures.durations()[0] == histogram(0.2)["counts"]
    assert measures.waits() == ([0] * 16, 0.0)


def as_figures(figures: tuple[list[int], float]) -> Any:
    return {"counts": figures[0], "sum": pytest.approx(figures[1])}
