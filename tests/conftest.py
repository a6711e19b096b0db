"""What holds for every test."""

import gc
import logging
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import over_tls, side_by_side
from tests.support.certificates import server_file
from tests.support.platforms import HAS_GIL
from tests.support.times import SkippingClock, skip_time
from tests.support.windows import failing_here

# Each module is compiled once, not again by each of the hundreds of processes that the tests start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A slow machine is no failure, and in continuous integration the same commit gives the same result twice.
hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


@pytest.fixture(autouse=True)
def _log_level_as_it_was() -> Iterator[None]:
    """The command sets up the loggers, which would change what later tests find in the log."""
    loggers = [logging.getLogger(name) for name in ("waitress", "waitress.access")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def skipping_clock(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """The clock of the servers that a test runs in this process."""
    return skip_time(monkeypatch)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tls", action="store_true", help="the servers of the tests speak TLS")
    parser.addoption(
        "--side-by-side", action="store_true", help="the servers of the tests have two workers; needs no GIL"
    )


def _is_ignored(number: int) -> bool:
    """Whether this process ignores a signal; of one that it ignores since its start, PyPy reports the default."""
    if sys.platform == "linux":
        found = re.search(r"SigIgn:\s*(\w+)", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
        return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)
    return signal.getsignal(number) == signal.SIG_IGN


def pytest_configure(config: pytest.Config) -> None:
    over_tls.is_on = config.getoption("--tls")
    side_by_side.is_on = config.getoption("--side-by-side")
    if side_by_side.is_on and HAS_GIL:
        raise pytest.UsageError("--side-by-side needs an interpreter without the GIL")
    if over_tls.is_on:
        server_file()  # in a folder that no test watches
    # A shell has its commands in the background ignore these, and so would every server that a test starts.
    if _is_ignored(signal.SIGINT):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and _is_ignored(signal.SIGQUIT):
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # nohup has them all ignore this one. With a handler this process still does, and what it starts does not.
    if sys.platform != "win32" and _is_ignored(signal.SIGHUP):
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    # What a test leaves unclosed is found at once where references are counted, as CPython does. PyPy finds it whenever
    # it collects, in the midst of some other test, and also what the end of a reference would have closed.
    if platform.python_implementation() != "CPython":
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_xdist_auto_num_workers() -> int:
    """Run two tests more at once than there are processors: most of the long ones wait for a deadline of a server."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Share the tests out; another `--dist` than that of pyproject.toml stays what it is."""
    from tests.support.scheduling import FromBothEnds

    return FromBothEnds(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    """Keep what the collection made out of the collector's way: it took most of a second in each of a test's runs."""
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.collect()
        gc.freeze()


class ForgetsReports:
    """Drops what the terminal reporter of a process of xdist keeps, which only the main process shows.

    With the reports of a few thousand tests before it, each collection in a test took 0.3 s.
    """

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self) -> None:
        self._reporter.stats.clear()


def pytest_sessionstart(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    reporter = plugins.get_plugin("terminalreporter")
    if hasattr(session.config, "workerinput") and reporter is not None:
        plugins.register(ForgetsReports(reporter))


MOST_ID_CHARACTERS = 32


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name the cases that a test does not name: short, and without what a shell or a terminal would act on."""
    if isinstance(val, bytes):
        val = val.decode("latin-1")
    if not isinstance(val, str):
        return None
    words = re.sub(r"[^\w.:/*+=]+", "-", val.encode("unicode_escape").decode("ascii"))
    return words[:MOST_ID_CHARACTERS].strip("-") or argname


PROMISE_ID = re.compile(r"S(0[1-9]|[1-8][0-9]|9[0-2])")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith("tests/functional/"))  # most of these wait: see FromBothEnds
    failing = failing_here()
    for item in items:
        for test_id in (item.nodeid, item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]):
            if test_id in failing:
                listed = failing[test_id]
                item.add_marker(pytest.mark.xfail(reason=listed.cause, run=listed.is_run, strict=True))
        if over_tls.is_on and item.get_closest_marker("plain") is not None:
            item.add_marker(pytest.mark.skip(reason="it is about plain connections"))
        if side_by_side.is_on and item.get_closest_marker("one_worker") is not None:
            item.add_marker(pytest.mark.skip(reason="it is about one worker"))
        for marker in item.iter_markers("promise"):
            if not marker.args or not all(PROMISE_ID.fullmatch(str(promise)) for promise in marker.args):
                raise pytest.UsageError(f"{item.nodeid}: promise{marker.args} names no promise S01 to S92")
