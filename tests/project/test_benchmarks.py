"""The programs that measure: what they read and draw. What they measure is no test."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.benchmarks.bench import OURS, PURE_PYTHON, Figures, ratio, read_wrk
from tests.benchmarks.chart import draw

WRK = """
  Latency Distribution
     50%  241.00us
     75%    1.20ms
     99%    1.50s
  1000 requests in 3.10s, 20.55MB read
  Socket errors: connect 1, read 7, write 2, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  57406.31
"""


def test_what_wrk_prints_is_read() -> None:
    # A read that fails is how a connection ends that the server was to close.
    assert read_wrk(WRK) == (57406.31, 0.241, 1500.0, 10)


def test_what_wrk_does_not_print_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="wrk said"):
        read_wrk("unable to connect")


def figures(*rates: float) -> list[Figures]:
    return [Figures(rate, 1.0, 2.0, 0, 1.0, 1000) for rate in rates]


def test_a_ratio_is_the_median_of_those_of_the_rounds_to_the_best_peer() -> None:
    first, second, *_ = PURE_PYTHON
    results = {OURS.name: figures(100, 300, 200), first: figures(1, 1, 1), second: figures(10, 10, 40)}
    assert ratio(results, (first, second)) == 10
    assert ratio(results, ("nobody",)) is None


def test_a_chart_is_drawn_with_every_server() -> None:
    rounds = [{"requests_per_second": 100.0}, {"requests_per_second": 300.0}, {"requests_per_second": 200.0}]
    machine = {"python": "3.11.7", "system": "Linux x86_64", "processors": 2}
    svg = draw({"machine": machine, "cases": {"hello16": {OURS.name: rounds, "a <peer>": rounds[:1]}}})
    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:5] == [OURS.name, "200", "a <peer>", "100"]
