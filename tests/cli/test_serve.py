"""`serve` and `profile`, without a network."""

import gc
import logging
import platform
import pstats
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

import waitress_core
from waitress_cli import profile, serve
from waitress_core import BaseWSGIServer


class Server:
    """A fake server."""

    def __init__(self, application: Any, **settings: Any) -> None:
        self.done: list[Any] = [(application, settings)]

    def print_listen(self, text: str) -> None:
        self.done.append(text)

    def run(self) -> None:
        self.done.append("run")


class Factory:
    """Makes a server and remembers it."""

    def __call__(self, application: Any, **settings: Any) -> Server:
        self.server = Server(application, **settings)
        return self.server


def application(environ: Any, start_response: Any) -> list[bytes]:
    return []


@pytest.fixture(autouse=True)
def set_ups(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The calls of `logging.basicConfig`, which does nothing meanwhile."""
    calls: list[object] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: calls.append(options))
    return calls


def test_serve_sets_logging_up_and_logs_the_addresses_and_runs(set_ups: list[object]) -> None:
    make = Factory()
    serve(application, _server=make, port="8041")
    assert make.server.done == [(application, {"port": "8041"}), "Serving on http://{}:{}", "run"]
    assert set_ups == [{}]


@pytest.mark.parametrize(("threads", "named"), [(1, "1 thread"), (8, "8 threads")])
def test_the_log_names_version_interpreter_threads_and_every_address(
    threads: int, named: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    monkeypatch.setattr(BaseWSGIServer, "run", lambda server: server.close())
    serve(application, listen="127.0.0.1:0 0.0.0.0:0", threads=threads)
    *lines, last = caplog.messages
    assert [line.partition(" http")[0] for line in lines] == ["Serving on", "Serving on"]
    urls = " ".join(line.removeprefix("Serving on ") for line in lines)
    python = f"{sys.implementation.name} {platform.python_version()}"
    assert last == f"waitress-core {waitress_core.__version__} on {python} with {named} serves {urls}"


def test_the_log_names_the_address_of_the_status_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    monkeypatch.setattr(BaseWSGIServer, "run", lambda server: server.close())
    serve(application, listen="127.0.0.1:0", status_listen="127.0.0.1:0")
    assert caplog.messages[-1].startswith("Status on http://127.0.0.1:")


class WithoutPrintListen:
    """A server that is not of waitress 3.0.2."""

    urls = ("http://127.0.0.1:8041", "http://unix:/run/tea")

    def run(self) -> None: ...


def test_serve_logs_each_url_of_a_server_without_print_listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    serve(application, _server=lambda application: WithoutPrintListen())
    assert caplog.messages == ["Serving on http://127.0.0.1:8041", "Serving on http://unix:/run/tea"]


def test_the_callback_for_serving_is_called_in_run_or_before_that_of_a_stranger() -> None:
    make = Factory()
    done: list[object] = []
    serve(application, _server=make, _quiet=True, _on_serving=lambda: done.append(list(make.server.done)))
    assert done == [[(application, {})]]

    def on_serving() -> None:
        done.append(threading.active_count() > before)
        raise InterruptedError

    before = threading.active_count()
    with pytest.raises(InterruptedError):
        serve(application, _quiet=True, listen="127.0.0.1:0", _on_serving=on_serving)
    assert done[1:] == [True]
    assert threading.active_count() == before


def test_quiet_leaves_logging_alone(set_ups: list[object]) -> None:
    make = Factory()
    serve(application, _server=make, _quiet=True)
    assert make.server.done == [(application, {}), "run"]
    assert set_ups == []


def test_signals_are_heard_from_the_first_line_of_the_log_to_the_end() -> None:
    class Heedful(Server):
        @contextmanager
        def ending_signals(self) -> Iterator[None]:
            self.done.append("signals on")
            yield
            self.done.append("signals off")

    servers: list[Heedful] = []

    def make(application: Any, **settings: Any) -> Heedful:
        servers.append(Heedful(application, **settings))
        return servers[0]

    serve(application, _server=make)
    assert servers[0].done[1:] == ["signals on", "Serving on http://{}:{}", "run", "signals off"]


def test_serve_without_an_application_is_refused() -> None:
    with pytest.raises(ValueError, match="You forgot to return a WSGI app"):
        serve(None)  # type: ignore[arg-type]  # the mistake in question


@pytest.mark.promise("S75")
def test_with_profile_the_statistics_are_printed_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    make = Factory()
    serve(application, _server=make, _profile=True)
    assert make.server.done[-1] == "run"
    printed = capsys.readouterr().out
    assert "Ordered by: cumulative time" in printed
    assert "(run)" in printed


def test_profile_sorts_as_it_is_told_and_shows_callers(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[int]] = []
    profile("done.append(sorted([2, 1]))", {}, {"done": done}, ("ncalls",), True)
    printed = capsys.readouterr().out
    assert done == [[1, 2]]
    assert "Ordered by: call count" in printed
    assert "was called by" in printed


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="from 3.15 on cProfile bears the calls of other threads")
def test_without_the_lock_no_other_thread_reaches_the_profile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def elsewhere() -> None: ...

    def here() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    gc.disable()  # what others do at a collection fills the list, which has 30 lines
    try:
        profile("here()", {}, {"here": here}, ("nfl",), False)
    finally:
        gc.enable()
    printed = capsys.readouterr().out
    assert "(here)" in printed
    assert "(elsewhere)" not in printed


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="from 3.15 on cProfile is used, and profile is deprecated")
@pytest.mark.skipif(platform.python_implementation() == "PyPy", reason="PyPy has no gc.callbacks")
def test_the_pure_profile_bears_callbacks_between_a_frame_and_its_call_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis has one in `gc.callbacks`; on free-threaded builds signal handlers run there too."""
    from waitress_cli.pure_profile import PureProfile

    collections: list[str] = []

    def made() -> list[object]:
        return [[object()] for _ in range(3)]

    def here() -> None:
        kept = []  # free-threaded builds count what a thread has made when it is more than 512 objects
        for _ in range(200):
            kept.append(made())

    def elsewhere(phase: str, details: dict[str, int]) -> None:
        collections.append(phase)
        made()

    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    threshold = gc.get_threshold()
    gc.freeze()  # so that each collection is quick
    gc.callbacks.append(elsewhere)
    gc.set_threshold(1, 0)  # free-threaded builds wait for more objects, unless the second is 0
    try:
        profiler = PureProfile()
        profiler.runctx("here()", {}, {"here": here})
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(elsewhere)
        gc.unfreeze()
    calls = {name: count for (_, _, name), (count, *_) in pstats.Stats(profiler).stats.items()}  # type: ignore[attr-defined]  # not in the stubs
    assert collections
    assert unraisable == []
    assert calls["here"] == 1
    assert calls["made"] >= 200


def test_profile_prints_although_the_statement_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        profile("1 / 0", {}, {}, (), False)
    assert "Ordered by" in capsys.readouterr().out


def test_a_server_with_a_programs_own_run_hears_no_signal_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop would never learn of one: a signal does there what it would do without the server."""
    heard: list[str] = []

    def hear(server: BaseWSGIServer) -> Any:
        heard.append("signals")
        return nullcontext()

    def make(application: Any, **settings: Any) -> BaseWSGIServer:
        server = waitress_core.create_server(application, **settings)

        def run() -> None:
            heard.append("run")
            server.close()

        server.run = run  # type: ignore[method-assign]  # as aiowsgi does
        return server

    monkeypatch.setattr(BaseWSGIServer, "ending_signals", hear)

    serve(application, _server=make, _quiet=True, listen="127.0.0.1:0")
    assert heard == ["run"]
    heard.clear()
    monkeypatch.setattr(BaseWSGIServer, "run", lambda server: server.close())
    serve(application, _quiet=True, listen="127.0.0.1:0")
    assert heard == ["signals"]
