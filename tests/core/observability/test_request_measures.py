"""Requests by method, status, time, and time in the queue."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.status.snapshots import histogram, requests
from waitress_core.observability.request_measures import METHODS, OTHER, RequestMeasures

MANY = 5000  # requests


def test_a_request_is_counted_by_method_and_class_of_status() -> None:
    measures = RequestMeasures()
    for method, status in (("GET", "200 OK"), ("GET", "204 No Content"), ("POST", "503 Busy"), ("GET", "")):
        measures.end(method, status, 10.0, 10.0, 10.0)
    measures.count("POST", "400 Bad Request")
    assert measures.requests() == {"GET": requests(_2xx=2, _none=1), "POST": requests(_4xx=1, _5xx=1)}
    assert measures.by_status() == {"2": 2, "3": 0, "4": 1, "5": 1, "": 1}


@pytest.mark.parametrize("method", ["BREW", "get", "GETX", "", "\x00", OTHER.upper()])
def test_a_method_that_is_not_registered_is_other(method: str) -> None:
    measures = RequestMeasures()
    measures.end(method, "200 OK", 10.0, 10.0, 10.0)
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
        measures.end("GET", "200 OK", 0.0, waited, took)
        measures.tick()
    assert as_figures(measures.durations()) == histogram(took, took)
    assert as_figures(measures.waits()) == histogram(waited, waited)


def test_a_task_that_never_started_has_not_left_the_queue() -> None:
    measures = RequestMeasures()
    measures.end("GET", "", 10.0, 9.0, 10.2)  # a task before it on the connection started at 9.0
    assert measures.durations()[0] == histogram(0.2)["counts"]
    assert measures.waits() == ([0] * 16, 0.0)


def test_a_second_without_a_reader_leaves_nothing_noted() -> None:
    measures = RequestMeasures()
    for method, status in (("GET", "200 OK"), ("BREW", "404 Not Found"), ("POST", "")):
        measures.end(method, status, 0.0, 0.1, 0.2)
    assert noted(measures) == 6
    measures.tick()
    assert noted(measures) == 0
    assert sum(measures.by_status().values()) == sum(measures.durations()[0]) == sum(measures.waits()[0]) == 3


class Watched(list[float]):
    """Noted durations that call `on_copy` when they are counted, just after they have been copied."""

    def __init__(self, durations: list[float], on_copy: Callable[[Watched], object]) -> None:
        super().__init__(durations)
        self.on_copy = on_copy

    def copy(self) -> list[float]:
        taken = super().copy()
        self.on_copy(self)
        return taken


def test_a_request_that_ends_while_others_are_counted_is_counted_later() -> None:
    measures = RequestMeasures()
    measures._noted["GET"]["2"] = Watched([0.2, 0.2], lambda noted: noted.append(0.4))
    assert measures.by_status()["2"] == 2
    assert measures.by_status()["2"] == 3
    assert measures.durations()[0] == histogram(0.2, 0.2, 0.4, 0.4)["counts"]


@pytest.mark.parametrize("read", ["by_status", "requests", "durations", "waits", "tick"])
def test_two_threads_never_count_the_same_requests(read: str) -> None:
    measures = RequestMeasures()
    got: list[bool] = []

    def try_in_another_thread(noted: Watched) -> None:
        other = threading.Thread(target=lambda: got.append(measures._lock.acquire(blocking=False)))
        other.start()
        other.join()

    measures._noted["GET"]["2"] = Watched([0.2], try_in_another_thread)
    getattr(measures, read)()
    assert got == [False]


def test_a_signal_handler_may_read_the_figures_while_its_thread_does() -> None:
    measures = RequestMeasures()
    events: list[str] = []

    def handle_a_signal(noted: Watched) -> None:
        if not events:
            events.append("starts to read")
            measures.by_status()
            events.append("has read")

    measures._noted["GET"]["2"] = Watched([0.2], handle_a_signal)
    measures.tick()
    assert events == ["starts to read", "has read"]


def test_each_request_is_counted_once_whoever_reads_meanwhile() -> None:
    measures = RequestMeasures()
    has_ended = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not has_ended.is_set():
            seen.append(sum(measures.by_status().values()))
            measures.tick()

    readers = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for reader in readers:
            reader.start()
        for _ in range(MANY):
            measures.end("GET", "200 OK", 0.0, 0.0005, 0.5)
    finally:
        sys.setswitchinterval(interval)
        has_ended.set()
        for reader in readers:
            reader.join()
    assert max(seen) <= MANY
    assert measures.requests() == {"GET": requests(_2xx=MANY)}
    assert measures.durations()[0] == [0] * 8 + [MANY] + [0] * 7
    assert measures.waits()[0] == [MANY] + [0] * 15


def noted(measures: RequestMeasures) -> int:
    by_method = measures._noted.values()
    return len(measures._noted_waits) + sum(len(one) for by_status in by_method for one in by_status.values())


def as_figures(figures: tuple[list[int], float]) -> Any:
    return {"counts": figures[0], "sum": pytest.approx(figures[1])}
