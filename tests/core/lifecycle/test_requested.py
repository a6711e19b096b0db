"""What a server does at a signal that does not end it."""

import json
import logging
import logging.handlers
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from waitress_core.lifecycle import requested as module
from waitress_core.lifecycle.requested import reopen_log_files, report, report_ignored
from waitress_core.observability.stats import Counters, make_stats
from waitress_core.safe_logger import SafeLogger
from waitress_core.threads.running import RunningTask

needs_moves = pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no file that is open")

Make = Callable[[Path], logging.FileHandler]
HANDLERS: dict[str, Make] = {
    "append": logging.FileHandler,
    "write": lambda path: logging.FileHandler(path, mode="w"),
    "rotating": lambda path: logging.handlers.RotatingFileHandler(path, maxBytes=1_000_000),
    "timed": logging.handlers.TimedRotatingFileHandler,
    "watched": logging.handlers.WatchedFileHandler,
}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged, by no handler of `logging`: those are tested."""
    lines: list[str] = []

    class Lines(logging.Logger):
        def log(self, level: int, msg: object, *args: object, **more: object) -> None:
            lines.append(f"{logging.getLevelName(level)} {str(msg) % args}")

    monkeypatch.setattr(module, "logger", SafeLogger(Lines("waitress")))
    return lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "the.log"


@pytest.fixture
def handler(path: Path, request: pytest.FixtureRequest) -> Iterator[logging.FileHandler]:
    handler: logging.FileHandler = getattr(request, "param", logging.FileHandler)(path)
    handler.emit(record("one"))
    yield handler
    handler.close()


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "", 0, text, None, None)


@needs_moves
@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS, indirect=True)
def test_a_file_that_was_moved_is_made_again(handler: logging.FileHandler, path: Path, said: list[str]) -> None:
    moved = path.rename(path.with_suffix(".1"))
    reopen_log_files("SIGHUP")
    handler.emit(record("two"))
    assert (moved.read_text(), path.read_text()) == ("one\n", "two\n")
    assert said == ["INFO SIGHUP: 1 log file(s) reopened"]


@needs_moves
def test_a_file_that_another_has_replaced_is_written_to(
    handler: logging.FileHandler, path: Path, said: list[str]
) -> None:
    path.rename(path.with_suffix(".1"))
    path.write_text("of logrotate\n")
    reopen_log_files("SIGUSR1")
    handler.emit(record("two"))
    assert path.read_text() == "of logrotate\ntwo\n"
    assert said == ["INFO SIGUSR1: 1 log file(s) reopened"]


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS, indirect=True)
def test_a_file_that_is_still_there_loses_nothing(handler: logging.FileHandler, path: Path, said: list[str]) -> None:
    reopen_log_files("SIGHUP")
    handler.emit(record("two"))
    assert path.read_text() == "one\ntwo\n"
    assert said == ["INFO SIGHUP: 0 log file(s) reopened"]


def test_a_file_that_was_not_opened_yet_stays_so(path: Path, said: list[str]) -> None:
    handler = logging.FileHandler(path, delay=True)
    reopen_log_files("SIGHUP")
    assert not path.exists()
    handler.close()
    reopen_log_files("SIGHUP")
    assert not path.exists()
    assert said == ["INFO SIGHUP: 0 log file(s) reopened"] * 2


@needs_moves
def test_a_file_that_cannot_be_made_again_is_written_to_where_it_is(
    handler: logging.FileHandler, path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(handler, "_open", refuse)
    moved = path.rename(path.with_suffix(".1"))
    reopen_log_files("SIGHUP")
    handler.emit(record("two"))
    assert moved.read_text() == "one\ntwo\n"
    assert said == [
        f"WARNING Cannot reopen the log file of {handler!r}: not yours",
        "INFO SIGHUP: 0 log file(s) reopened",
    ]


@needs_moves
def test_a_record_that_is_being_written_holds_up_nothing(
    handler: logging.FileHandler, path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.01)
    written, over = threading.Event(), threading.Event()

    def write() -> None:
        with handler.lock:  # type: ignore[union-attr]  # it has one
            written.set()
            over.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(20)
    path.rename(path.with_suffix(".1"))
    reopen_log_files("SIGHUP")
    over.set()
    writer.join(20)
    assert said[0] == f"WARNING Cannot reopen the log file of {handler!r}: a record is being written to it"


def test_a_handler_of_the_program_reopens_what_it_has(said: list[str]) -> None:
    class Own(logging.Handler):
        reopened = 0

        def reopen(self) -> None:
            self.reopened += 1
            if self.reopened == 2:
                raise OSError("gone")

    own = Own()
    reopen_log_files("SIGHUP")
    reopen_log_files("SIGHUP")
    own.close()
    assert own.reopened == 2
    assert said == [
        "INFO SIGHUP: 1 log file(s) reopened",
        f"WARNING Cannot reopen the log file of {own!r}: gone",
        "INFO SIGHUP: 0 log file(s) reopened",
    ]


def test_a_report_has_the_statistics_and_each_running_request(said: list[str]) -> None:
    running = [RunningTask(threading.get_ident(), "<Task GET /slow>", 2.25), RunningTask(1, "<Task GET />", 0.0)]
    counters = Counters()
    stats = make_stats(counters, states={"idle": 1, "task": 2}, threads=4, bytes_out=7, queue_depth=3, running=running)
    report(stats, running)
    level, _, text = said[0].partition(" Statistics: ")
    assert (level, json.loads(text)) == ("INFO", stats._asdict())
    assert said[1:] == [
        f"INFO '<Task GET /slow>' has been running for 2.2 seconds, in thread {threading.current_thread().name}",
        "INFO '<Task GET />' has been running for 0.0 seconds, in thread 1",
    ]


def test_a_signal_that_means_nothing_is_reported(said: list[str]) -> None:
    report_ignored("SIGUSR2")
    assert said == ["WARNING SIGUSR2 is ignored: it has no meaning for this server"]
