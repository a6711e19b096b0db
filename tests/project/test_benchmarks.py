"""The programs of the benchmarks: what they read, do and write. No test depends on what they measure."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import bench, servers, workers
from tests.benchmarks.bench import earlier_result, machine, measure_case
from tests.benchmarks.cases import CASES, OURS, PURE_PYTHON, Case, Contender, Target
from tests.benchmarks.chart import draw
from tests.benchmarks.interpreters import cases_of, server_on
from tests.benchmarks.load import (
    CannotLoad,
    allow_descriptors,
    download_seconds,
    find_wrk,
    handshakes_per_second,
    idle_connections,
    read_wrk,
    upload_seconds,
)
from tests.benchmarks.measures import P99, PEAK, REQUESTS, Figures, Measure, each_round, make_large_file
from tests.benchmarks.parsers import INPUTS, PARSERS, reads_per_second
from tests.benchmarks.report import as_markdown, as_text, noisy_cases, ratio, spread
from tests.benchmarks.shop import microseconds_alone
from tests.benchmarks.usage import cpu_seconds, peak_memory_mib, resident_memory_mib, stolen_and_all_ticks
from tests.project.repository import ROOT

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
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc, which is Linux's")


def rounds(*rates: float) -> list[Figures]:
    return [{quantity.name: rate for quantity in CASES[0].quantities} for rate in rates]


def opened() -> AbstractContextManager[Measure]:
    """Start nothing; each round is the same."""
    return nullcontext(lambda seconds: rounds(1)[0])


# --- what loads


def test_what_wrk_prints_is_read() -> None:
    # A failed read is how wrk counts a connection that the server closes as it should.
    assert read_wrk(WRK) == (57406.31, 0.241, 1500.0, 10)


def test_what_wrk_does_not_print_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="wrk said"):
        read_wrk("unable to connect")


def test_the_error_says_how_to_install_wrk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    with pytest.raises(CannotLoad, match="apt-get install wrk"):
        find_wrk()


@on_linux
def test_root_installs_wrk(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"apt-get"}
    monkeypatch.setattr(shutil, "which", lambda command: command if command in found else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", lambda command, check: found.add(command[-1]))
    find_wrk()


@on_linux
def test_more_connections_than_the_system_allows_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 4096))
    with pytest.raises(CannotLoad, match="5000 connections need 5200 open files and the system allows 4096"):
        allow_descriptors(5000)


@on_linux
def test_the_limit_of_open_files_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda which, limits: set_to.append(limits))
    allow_descriptors(100)
    assert set_to == []
    allow_descriptors(2000)
    assert set_to == [(2200, 4096)]


@pytest.fixture(
    scope="module",
    params=[OURS, servers.HANDED_OFF, servers.LIMIT, server_on(f"{sys.executable} -S")],
    ids=["ours", "handed off", "limit", "interpreter"],
)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Return the process id and the port of a server with the application that is measured."""
    with servers.started(request.param) as (process, port):
        yield process.pid, port


@on_linux
def test_each_server_of_this_repository_answers_next_to_idle_connections(running: tuple[int, int]) -> None:
    _, port = running
    with idle_connections(port, 20):
        assert download_seconds(port, "/bytes/100000")[1] == 100_000
        assert download_seconds(port, "/json")[1] > 9000


def test_a_server_that_does_not_start_is_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    @contextmanager
    def fails() -> Iterator[Measure]:
        raise RuntimeError("it has ended")
        yield

    assert measure_case(Case("x", "", (Contender("peer", "", fails),), ()), 1, 1) == {}
    assert capsys.readouterr().err == "peer is left out: it has ended\n"


@on_linux
@pytest.mark.parametrize("kind", servers.TLS_KEYS)
def test_this_server_and_one_loop_answer_over_tls(kind: str) -> None:
    pytest.importorskip("ssl")
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    ours, *_, limit = servers.tls_servers(kind)
    for server in (ours, limit):
        with servers.started(server) as (_, port), idle_connections(port, 5, speaks_tls=True):
            assert download_seconds(port, "/json", speaks_tls=True)[1] > 9000
            assert ask_with_the_end_of_the_handshake(port).startswith(b"HTTP/1.1 200 ")
            if kind == "P-256":  # each takes both processors for a second
                assert all(handshakes_per_second(port, 1, resumes=resumes) > 1 for resumes in (False, True))


def ask_with_the_end_of_the_handshake(port: int) -> bytes:
    """Send a request in one piece with the last message of a handshake, as a client on a busy machine seems to do."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), 20) as client:

        def until_it_needs_nothing(call: Callable[[], Any]) -> Any:
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65536))

        until_it_needs_nothing(session.do_handshake)
        session.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer: bytes = until_it_needs_nothing(lambda: session.read(65536))
        return answer


@on_linux
@pytest.mark.parametrize("running", [OURS, servers.LIMIT], indirect=True, ids=["ours", "limit"])
def test_bodies_go_both_ways(running: tuple[int, int]) -> None:
    _, port = running
    assert upload_seconds(port, 3_000_000) > 0
    make_large_file()
    for path in ("/generator", "/file"):
        assert download_seconds(port, path)[1] == 200_000_000


@on_linux
@pytest.mark.parametrize("running", [OURS], indirect=True)  # one loop ends with an application that raises
def test_a_response_that_is_not_a_success_is_an_error(running: tuple[int, int]) -> None:
    with pytest.raises(RuntimeError):
        download_seconds(running[1], "/bytes/x")


def test_an_upload_that_does_not_arrive_whole_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        upload = pool.submit(upload_seconds, listener.getsockname()[1], 3)
        with listener.accept()[0] as served:
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
            with pytest.raises(RuntimeError, match="has read b'2' of 3 bytes"):
                upload.result(20)


@on_linux
@pytest.mark.parametrize("running", [OURS], indirect=True)
def test_what_a_process_uses_is_read(running: tuple[int, int]) -> None:
    pid, _ = running
    assert cpu_seconds(pid) > 0
    assert 1 < resident_memory_mib(pid) <= peak_memory_mib(pid)


@pytest.mark.parametrize("parser", ["ours", "h11", "httptools"])
@pytest.mark.parametrize("data", INPUTS)
def test_each_parser_reads_the_fields_and_the_content(parser: str, data: str) -> None:
    pytest.importorskip("waitress_parser" if parser == "ours" else parser, reason=f"needs {parser}")
    fields, size = PARSERS[parser]()(INPUTS[data])
    assert len(fields) == {"small": 1, "browser": 16, "60-fields": 60}.get(data, 2)
    assert size == (65536 if data in ("fixed", "chunked") else 0)


def test_a_parser_that_reads_something_else_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="it has read 1 fields and 3 bytes of content"):
        reads_per_second(lambda data: (["Host"], 3), INPUTS["small"], 0.01)


# --- what comes of it


def test_a_ratio_is_the_median_of_the_rounds_compared_with_the_best_peer() -> None:
    first, second, *_ = PURE_PYTHON
    table = {OURS.name: rounds(100, 300, 200), first: rounds(1, 1, 1), second: rounds(10, 10, 40)}
    assert ratio(table, Target(REQUESTS, (first, second), "peers", 1)) == 10
    assert ratio(table, Target(REQUESTS, ("nobody",), "peers", 1)) is None


def test_a_ratio_of_a_quantity_that_should_be_small_is_inverted() -> None:
    table = {OURS.name: rounds(10), "slow": rounds(50), "slower": rounds(90)}
    assert ratio(table, Target(P99, ("slow", "slower"), "peers", 1)) == 5


def test_a_contender_that_cannot_be_measured_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(seconds: float) -> Figures:
        raise CannotLoad("no descriptors")

    def does_not_start() -> AbstractContextManager[Measure]:
        raise RuntimeError("no start")

    every = (
        Contender("one", "", opened),
        Contender("two", "", lambda: nullcontext(fails)),
        Contender("three", "", does_not_start),
    )
    assert measure_case(Case("x", "x", every, ()), 2, 1) == {"one": rounds(1, 1)}
    assert capsys.readouterr().err == "three is left out: no start\ntwo is left out: no descriptors\n"


def test_the_contenders_of_a_case_run_through_all_its_rounds_and_take_turns() -> None:
    seen: list[str] = []

    @contextmanager
    def noting(name: str) -> Iterator[Measure]:
        def measure(seconds: float) -> Figures:
            seen.append(f"{name} for {seconds} s")
            return rounds(1)[0]

        seen.append(f"{name} starts")
        yield measure
        seen.append(f"{name} ends")

    measure_case(Case("x", "x", tuple(Contender(name, "", partial(noting, name)) for name in "ab"), ()), 2, 3)
    each_round = ["a for 3 s", "b for 3 s"]
    assert seen == ["a starts", "b starts", *each_round, *each_round, "b ends", "a ends"]


def test_what_starts_its_own_server_does_so_in_each_round() -> None:
    seen: list[tuple[str, float, int]] = []

    @each_round
    def starting(server: servers.Server, seconds: float, *, count: int) -> Figures:
        seen.append((server.name, seconds, count))
        return {}

    with starting(OURS, count=3) as measure:
        assert seen == []
        measure(1)
        measure(2)
    assert seen == [(OURS.name, 1, 3), (OURS.name, 2, 3)]


def test_every_target_names_contenders_that_are_measured() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        names = {contender.name for contender in case.contenders}
        assert len(names) == len(case.contenders)
        for target in case.targets:
            assert {target.of, *target.peers} <= names
            assert target.quantity in case.quantities


def test_each_interpreter_is_compared_with_the_first() -> None:
    for case in cases_of(["one", "env X=y two", "three"]):
        assert [contender.name for contender in case.contenders] == ["one", "env X=y two", "three"]
        assert [(target.of, target.peers) for target in case.targets] == [
            ("env X=y two", ("one",)),
            ("three", ("one",)),
        ]


MACHINE = {
    "date": "2026-01-31",
    "version": "1.0.0 0123abc",
    "python": "CPython 3.11.9",
    "system": "Linux 6.1.0 x86_64",
    "processor": "A processor",
    "processors": 2,
    "wrk": "wrk 4.1.0",
    "rounds": 3,
}


@pytest.fixture
def result() -> dict[str, Any]:
    """Return a result of two cases, with figures that are easy to judge."""
    hello, memory = (next(case for case in CASES if case.name == name) for name in ("hello16", "memory"))
    figures = {quantity.name: 100.0 for quantity in (*hello.quantities, *memory.quantities)}
    cases = {
        case.name: {contender.name: [dict(figures) for _ in range(3)] for contender in case.contenders}
        for case in (hello, memory)
    }
    for number, rate in enumerate((900.0, 700.0, 800.0)):
        cases["hello16"][OURS.name][number][REQUESTS.name] = rate
    return {
        "machine": MACHINE,
        "servers": {"waitress": "waitress-serve"},
        "cases": cases,
        "steal": {"hello16": 0.0, "memory": 0.02},
    }


@on_linux
@pytest.mark.skipif(not shutil.which("wrk") or not shutil.which("git"), reason="needs the commands wrk and git")
def test_a_result_has_the_version_and_the_machine() -> None:
    read = machine(3)
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in MACHINE.items()}
    assert read["wrk"].startswith("wrk ")


def test_a_page_has_the_machine_the_targets_and_the_figures(result: dict[str, Any]) -> None:
    page = as_markdown(result)
    assert re.search(r"medians of 3 rounds: .* 3\.\d+\.\d+, .* processors", page)
    assert "| 13 bytes, 16 connections | requests/s | granian | 8.00 | 1 | yes |" in page
    assert "| 13 bytes, 16 connections | p99 ms | the best of all | 1.00 | 1 | yes |" in page
    assert f"| {OURS.name} | 800 | 100.00 |" in page
    assert "- requests/s: 8.00 times one loop" in page


def test_the_spread_of_a_case_is_that_of_the_contender_in_the_middle() -> None:
    table = {"steady": rounds(100, 100), "between": rounds(95, 105), "wild": rounds(50, 150)}
    assert spread(CASES[0], table) == pytest.approx(0.05)


def test_an_odd_round_does_not_make_a_contender_noisy_but_half_of_them_do() -> None:
    assert spread(CASES[0], {"one": rounds(100, 102, 101, 103, 300)}) == pytest.approx(0.02 / 1.02)
    assert spread(CASES[0], {"one": rounds(100, 100, 130, 100, 130)}) == pytest.approx(0.3)
    assert spread(CASES[0], {"one": rounds(100)}) == 0


def test_what_was_measured_in_noise_is_not_published(result: dict[str, Any], tmp_path: Path) -> None:
    assert list(noisy_cases(result)) == []
    result["steal"]["memory"] = 0.2
    for rounds_of_one in result["cases"]["hello16"].values():
        rounds_of_one[0][REQUESTS.name] *= 1.5
    assert list(noisy_cases(result)) == [
        "hello16: the rounds differ by 25%, steal time 0%",
        "memory: the rounds differ by 0%, steal time 20%",
    ]
    kept, page = tmp_path / "result.json", tmp_path / "tables.md"
    kept.write_text(json.dumps(result), encoding="utf-8")
    command = [sys.executable, "-m", "tests.benchmarks.report", str(kept), str(page)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, page.exists()) == (1, False)
    assert run.stderr.startswith("Not published: the noise is above 10% in\nhello16: the rounds differ by 25%")


@pytest.mark.parametrize(
    ("measured", "kept"),
    [
        ([(100, 104)], (100, 104)),
        ([(50, 150), (100, 104)], (100, 104)),
        ([(50, 150), (80, 120), (50, 150)], (80, 120)),
    ],
    ids=["quiet", "quiet later", "never quiet"],
)
def test_a_noisy_case_is_measured_again_and_the_quietest_is_kept(
    measured: list[tuple[int, int]], kept: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "stolen_and_all_ticks", lambda: (0, 0))
    rates = [rate for both in measured for rate in both]
    contender = Contender("one", "", lambda: nullcontext(lambda seconds: rounds(rates.pop(0))[0]))
    table, steal = bench.measure_quietly(Case("x", "x", (contender,), CASES[0].quantities), rounds=2, seconds=1)
    assert (table, steal, rates) == ({"one": rounds(*kept)}, 0, [])


def test_figures_of_the_same_commit_and_machine_are_kept_for_other_cases(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    assert earlier_result(output, MACHINE)["cases"] == {}
    output.write_text(json.dumps({"machine": MACHINE, "cases": {"hello1": {}}, "steal": {}}), encoding="utf-8")
    assert earlier_result(output, MACHINE)["cases"] == {"hello1": {}}
    assert earlier_result(output, {**MACHINE, "version": "1.0.0 4567def"})["cases"] == {}
    assert earlier_result(None, MACHINE)["cases"] == {}


@on_linux
def test_stolen_time_is_a_part_of_all() -> None:
    stolen, ticks = stolen_and_all_ticks()
    assert 0 <= stolen < ticks


def test_an_order_is_answered_by_the_shop() -> None:
    assert microseconds_alone(0.01) > 10


def test_the_terminal_shows_the_same(result: dict[str, Any]) -> None:
    case = next(case for case in CASES if case.name == "hello16")
    text = as_text(case, result["cases"]["hello16"])
    assert "requests/s: 8.00 x granian, aimed at 1: yes" in text
    assert re.search(rf"{OURS.name} +800 +100\.00", text)
    assert PEAK.name in text


@pytest.mark.parametrize(("name", "make"), [("tables.md", as_markdown), ("chart.svg", draw)])
def test_the_documentation_shows_the_result_that_it_keeps(name: str, make: Callable[[dict[str, Any]], str]) -> None:
    """`make figures` makes it so."""
    folder = ROOT / "docs" / "benchmarks"
    kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (folder / name).read_text(encoding="utf-8") == make(kept)


def test_the_ratios_in_the_readme_are_those_of_the_result() -> None:
    cases = json.loads((ROOT / "docs" / "benchmarks" / "result.json").read_text(encoding="utf-8"))["cases"]

    def rate(case: str, name: str) -> float:
        """Return the median of the best server with a name that starts like that."""
        servers = [figures for server, figures in cases[case].items() if server.startswith(name)]
        return max(float(statistics.median(one[REQUESTS.name] for one in figures)) for figures in servers)

    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    peers = max(rate("hello16", name) for name in ("waitress 3.0.2", "gunicorn", "cheroot"))
    (small,) = re.findall(r"it answers ([\d.]+) times the requests of the fastest among waitress 3.0.2, gunicorn", text)
    (granian,) = re.findall(r"granian, which is written in Rust, answers ([\d.]+) times as many", text)
    assert float(small) == pytest.approx(our_rate(cases, "hello16") / peers, rel=0.1)
    assert float(granian) == pytest.approx(rate("hello100", "granian") / our_rate(cases, "hello100"), rel=0.1)


def our_rate(cases: dict[str, Any], case: str) -> float:
    return float(statistics.median(figures[REQUESTS.name] for figures in cases[case][OURS.name]))


def test_a_chart_is_drawn_with_every_server() -> None:
    machine = {"python": "CPython 3.11.7", "system": "Linux x86_64", "processors": 2}
    cases = {"hello16": {OURS.name: rounds(100, 300, 200), "a <peer>": rounds(100)}}
    svg = draw({"machine": machine, "cases": cases})
    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:6] == ["Small response, 16 connections", OURS.name, "200", "a <peer>", "100"]


def test_no_text_of_the_chart_is_cut_off() -> None:
    svg = ElementTree.fromstring((ROOT / "docs" / "benchmarks" / "chart.svg").read_text(encoding="utf-8"))
    for text in svg.iter("{http://www.w3.org/2000/svg}text"):
        start, width = float(text.attrib["x"]), 9 * len(text.text or "")  # 9: in a wide font
        if text.attrib.get("text-anchor") == "end":
            start -= width
        assert 0 <= start <= float(svg.attrib["width"]) - width, text.text


# --- several workers


def test_a_peer_gets_its_number_of_workers() -> None:
    peer = workers.theirs(workers.GRANIAN, 3, "--other")
    assert "--workers=3" in peer.command
    assert "--workers=1" not in peer.command
    assert peer.name == f"{workers.GRANIAN.name} --workers=3 --other"


@on_linux
def test_what_is_measured_of_workers_that_is_no_throughput() -> None:
    four = workers.ours("--workers=4", "--worker-kind=process")
    assert sum(workers.shares(four, at_once=False)) == workers.CLIENTS
    first, last = workers.reload_seconds(four)
    assert 0 < first <= last
    assert workers.worker_mib(four) > 10
