"""SafeLogger: whatever logging raises ends in it, and the records name their callers."""

import io
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.faults import RaisingHandler
from waitress_core import safe_logger as module
from waitress_core.safe_logger import SafeLogger, contained

NAME = "waitress.test-safe"


@pytest.fixture(autouse=True)
def standard(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The logger, with no failure reported so far."""
    monkeypatch.setattr(module, "_is_reported", False)
    logger = logging.getLogger(NAME)
    yield logger
    logger.handlers.clear()
    logger.filters.clear()


@pytest.fixture
def handled_sigint() -> Iterator[None]:
    """A handler for SIGINT, as a server that runs has it: Python's own would make each KeyboardInterrupt its own."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    yield
    signal.signal(signal.SIGINT, before)


CALLS: dict[str, Callable[[SafeLogger], object]] = {
    "debug": lambda logger: logger.debug("tea %s", 1),
    "info": lambda logger: logger.info("tea %s", 1),
    "warning": lambda logger: logger.warning("tea %s", 1),
    "error": lambda logger: logger.error("tea %s", 1),
    "error-exc_info": lambda logger: logger.error("tea %s", 1, exc_info=OSError("cold")),
    "exception": lambda logger: logger.exception("tea %s", 1),
    "log": lambda logger: logger.log(logging.WARNING, "tea %s", 1),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def elsewhere(call: Callable[[], object]) -> list[BaseException]:
    """Call in a thread that is not the main one; return what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return raised


@every_call
@pytest.mark.parametrize(
    "error",
    [ValueError("I/O on closed file"), RecursionError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
def test_what_a_handler_raises_ends_in_the_logger(
    standard: logging.Logger, handled_sigint: None, call: Callable[[SafeLogger], object], error: BaseException
) -> None:
    standard.setLevel(logging.DEBUG)
    standard.addHandler(RaisingHandler(error))
    assert elsewhere(lambda: call(SafeLogger(standard))) == []
    call(SafeLogger(standard))  # in the main thread, too, which handles signals, but none has come


@every_call
def test_what_a_filter_raises_ends_in_the_logger(
    standard: logging.Logger, call: Callable[[SafeLogger], object]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("no request id")

    standard.setLevel(logging.DEBUG)
    standard.addFilter(refuse)
    call(SafeLogger(standard))


def test_a_closed_standard_error_ends_in_the_logger(standard: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    # The handler raises, and so does `logging` itself when it reports that.
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    standard.addHandler(logging.StreamHandler(stderr))
    stderr.close()
    with pytest.raises(ValueError, match="closed file"):
        standard.error("tea")
    SafeLogger(standard).error("tea")


def test_a_repr_that_raises_ends_in_the_logger(standard: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise SystemExit

    standard.addHandler(logging.StreamHandler(io.StringIO()))
    monkeypatch.setattr(logging, "raiseExceptions", False)
    assert elsewhere(lambda: SafeLogger(standard).error("%r", Unspeakable())) == []


def test_a_logger_of_the_program_that_raises_ends_in_it() -> None:
    class Odd:
        def warning(self, text: str) -> None:
            raise TypeError

    SafeLogger(Odd()).warning("tea")
    SafeLogger(Odd()).error("it has no such method")
    assert SafeLogger(Odd()).is_enabled_for(logging.INFO) is False


def test_a_logger_of_the_program_gets_text_and_arguments_only() -> None:
    class Told:
        def __init__(self) -> None:
            self.told: list[tuple[str, tuple[object, ...]]] = []

        def warning(self, text: str, *args: object) -> None:
            self.told.append((text, args))

    told = Told()
    SafeLogger(told).warning("tea %s", 1)
    assert told.told == [("tea %s", (1,))]


class Interrupting(logging.Handler):
    """A handler that a signal interrupts."""

    def handle(self, record: logging.LogRecord) -> bool:
        signal.raise_signal(signal.SIGINT)
        return True


class Exits:
    """Handles a signal by its method, or as an object."""

    def handle(self, number: int, frame: object) -> None:
        sys.exit(number)

    __call__ = handle


def exits(number: int, frame: object) -> None:
    sys.exit(number)


def runs_out_of_time(number: int, frame: object) -> None:
    raise TimeoutError


@pytest.mark.parametrize(
    ("handler", "raised"),
    [
        (signal.default_int_handler, KeyboardInterrupt),
        (exits, SystemExit),
        (partial(exits), SystemExit),
        (Exits().handle, SystemExit),
        (Exits(), SystemExit),
        (runs_out_of_time, TimeoutError),
    ],
    ids=["default", "function", "partial", "method", "object", "timeout"],
)
def test_what_a_signal_handler_raises_goes_on(
    standard: logging.Logger, handler: Any, raised: type[BaseException]
) -> None:
    standard.addHandler(Interrupting())
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(raised):
            SafeLogger(standard).error("tea")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("stacklevel", [1, 2])
@every_call
def test_a_record_names_its_caller(
    standard: logging.Logger, caplog: pytest.LogCaptureFixture, call: Callable[[SafeLogger], object], stacklevel: int
) -> None:
    standard.setLevel(logging.DEBUG)
    if stacklevel == 1:
        call(SafeLogger(standard))
    else:
        SafeLogger(standard).log(logging.INFO, "tea %s", 1, stacklevel=2)
    (record,) = caplog.records
    expected = "<lambda>" if stacklevel == 1 else "pytest_pyfunc_call"
    assert (record.name, record.getMessage(), record.funcName) == (NAME, "tea 1", expected)


def test_the_traceback_is_the_one_that_is_handled(standard: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise OSError("cold")
    except OSError as error:
        SafeLogger(standard).exception("tea")
        handled = error
    other = OSError("stale")
    SafeLogger(standard).error("tea", exc_info=other)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [handled, other]


def test_levels_are_those_of_the_logger(standard: logging.Logger) -> None:
    standard.setLevel(logging.INFO)
    assert SafeLogger(standard).is_enabled_for(logging.INFO)
    assert not SafeLogger(standard).is_enabled_for(logging.DEBUG)


# --- the report


def test_the_first_failure_is_reported_to_standard_error(
    standard: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    standard.addHandler(RaisingHandler(LookupError("no request id")))
    for _ in range(3):
        SafeLogger(standard).error("tea")
    written = capsys.readouterr().err
    assert written.startswith("waitress: logging has failed, and a record is lost; this is reported once\n")
    assert written.count("LookupError: no request id") == 1


class Unwritable:
    def write(self, text: str) -> int:
        raise SystemExit


@pytest.mark.parametrize("stream", [None, Unwritable()], ids=["none", "unwritable"])
def test_a_failure_that_cannot_be_reported_is_not(
    standard: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: Any
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    standard.addHandler(RaisingHandler(LookupError()))
    SafeLogger(standard).error("tea")
    assert capsys.readouterr().out == ""


def test_as_a_context_it_ends_what_the_block_raises(capsys: pytest.CaptureFixture[str]) -> None:
    with contained:
        raise LookupError("no request id")
    assert "LookupError: no request id" in capsys.readouterr().err
