"""The stream that is `wsgi.errors` where there is no standard error."""

import gc
import logging

import pytest

from waitress_core.wsgi.error_stream import ErrorStream


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {("waitress.errors", logging.ERROR)}
    return caplog.messages


@pytest.mark.parametrize(
    ("writes", "logged"),
    [
        (["tea\n"], ["tea"]),
        (["te", "a", "\n"], ["tea"]),
        (["tea\nmilk\nsug", "ar\n"], ["tea", "milk", "sugar"]),
        (["tea"], []),
        (["", "\n", "\n\n"], []),
        (["100 %s\n"], ["100 %s"]),
    ],
    ids=["line", "pieces", "several", "incomplete", "empty", "percent"],
)
def test_each_complete_line_is_logged(writes: list[str], logged: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with ErrorStream() as stream:  # PyPy would log an incomplete line in the midst of another test
        assert [stream.write(text) for text in writes] == [len(text) for text in writes]
        assert lines(caplog) == logged


def test_lines_are_written_as_a_list(caplog: pytest.LogCaptureFixture) -> None:
    stream = ErrorStream()
    stream.writelines(["tea\n", "mi", "lk\n"])
    assert lines(caplog) == ["tea", "milk"]


def test_an_incomplete_line_is_logged_once_when_it_is_flushed(caplog: pytest.LogCaptureFixture) -> None:
    stream = ErrorStream()
    stream.write("tea")
    stream.flush()
    stream.flush()
    stream.write("milk\n")
    assert lines(caplog) == ["tea", "milk"]


def test_an_incomplete_line_is_logged_when_the_stream_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    stream = ErrorStream()
    stream.write("tea")
    del stream
    gc.collect()
    assert lines(caplog) == ["tea"]


def test_it_is_a_text_stream() -> None:
    stream = ErrorStream()
    assert stream.writable()
    assert not stream.readable()
    assert not stream.closed
    stream.close()
    with pytest.raises(ValueError, match="closed file"):
        stream.write("tea\n")


def test_a_log_that_raises_is_no_error_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("no disk")

    monkeypatch.setattr(logging.getLogger("waitress.errors"), "handlers", [Raising()])
    assert ErrorStream().write("tea\n") == 4
