"""Where the lines of the access log go."""

import errno
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waitress_cli.access_log import AccessLogOutput, WholeLineHandler
from waitress_core.lifecycle.requested import reopen_log_files

access_logger = logging.getLogger("waitress.access")


@pytest.fixture(autouse=True)
def _access_logger_as_it_was() -> Iterator[None]:
    handlers, propagate, level = access_logger.handlers[:], access_logger.propagate, access_logger.level
    access_logger.setLevel(logging.INFO)
    yield
    for handler in access_logger.handlers:
        handler.close()
    access_logger.handlers, access_logger.propagate = handlers, propagate
    access_logger.setLevel(level)


def test_lines_go_to_the_file_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "access.log"
    path.write_text("old\n")
    AccessLogOutput(str(path)).set_up()
    access_logger.info("tea \u2615 \udcff")
    assert path.read_text(encoding="utf-8") == "old\ntea \u2615 \\udcff\n"
    assert caplog.messages == []


def test_a_hyphen_is_standard_output_alone(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    AccessLogOutput("-").set_up()
    access_logger.info("tea")
    assert (capsys.readouterr().out, caplog.messages) == ("tea\n", [])


def test_without_a_path_they_go_where_the_program_has_said(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    AccessLogOutput().set_up()  # the root logger has the handler of caplog
    access_logger.info("tea")
    assert (capsys.readouterr().out, caplog.messages) == ("", ["tea"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no file that is open")
def test_the_file_is_reopened_with_the_log_files(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    AccessLogOutput(str(path)).set_up()
    access_logger.info("one")
    moved = path.rename(tmp_path / "access.log.1")
    reopen_log_files("SIGUSR1")
    access_logger.info("two")
    assert (moved.read_text(), path.read_text()) == ("one\n", "two\n")


def test_set_up_again_it_writes_each_line_once_and_is_reopened_still(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    output = AccessLogOutput(str(path))
    output.set_up()
    first = access_logger.handlers[-1]
    output.set_up()
    access_logger.info("one")
    assert path.read_text() == "one\n"
    assert first not in access_logger.handlers


def test_a_file_that_cannot_be_written_is_named_with_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "access.log"
    with pytest.raises(ValueError) as caught:
        AccessLogOutput(str(path)).set_up()
    assert str(caught.value) == f"Cannot write the access log {path}: No such file or directory"


@pytest.mark.parametrize("size", [10, 100_000])
def test_each_line_is_one_write(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []

    class Counting(io.FileIO):
        def write(self, data: Any) -> int:
            writes.append(len(bytes(data)))
            return super().write(data)

    monkeypatch.setattr(io, "FileIO", Counting)
    handler = WholeLineHandler(tmp_path / "access.log")
    for _ in range(2):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "x" * size, None, None))
    handler.close()
    assert writes == [size + len(os.linesep)] * 2


WRITER = """
import logging, sys
from waitress_cli.access_log import WholeLineHandler
handler = WholeLineHandler(sys.argv[1])
sys.stdin.readline()
for _ in range(100):
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, sys.argv[2] * 20_000, None, None))
"""


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    words = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*words, letter], stdin=subprocess.PIPE) for letter in "ab"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    lines = path.read_text().splitlines()
    assert len(lines) == 200
    assert all(re.fullmatch("a{20000}|b{20000}", line) for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_one_record_and_no_stack(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    AccessLogOutput("/dev/full").set_up()
    for _ in range(3):
        access_logger.info("tea")
    assert caplog.messages == [f"Cannot write the access log /dev/full, lines are lost: {os.strerror(errno.ENOSPC)}"]
    assert capsys.readouterr().err == ""


def test_standard_output_that_is_closed_is_one_record_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    AccessLogOutput("-").set_up()
    access_logger.info("tea")
    access_logger.info("tea")
    assert caplog.messages == [
        "Cannot write the access log on standard output, lines are lost: I/O operation on closed file"
    ]
    assert capsys.readouterr().err == ""


def test_a_mistake_in_a_record_keeps_its_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    AccessLogOutput(str(tmp_path / "a.log")).set_up()
    access_logger.info("%d", "tea")
    assert "Traceback" in capsys.readouterr().err
