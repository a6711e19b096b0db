"""The file with the process id."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.platforms import make_fifo
from waitress_cli.pid_file import PidFile
from waitress_core.net.listener import HANDOVER_VARIABLE

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell whether a process runs")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.pid"


@pytest.fixture
def other() -> Iterator[int]:
    """Another process, which runs."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_it_is_there_from_its_writing_to_the_end_and_is_all_there_is(path: Path) -> None:
    with PidFile(str(path)) as pid_file:
        assert not path.exists()
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"
        assert os.listdir(path.parent) == ["shop.pid"]
    assert os.listdir(path.parent) == []


@needs_signals
def test_that_of_a_running_process_is_refused_with_its_id_and_stays(path: Path, other: int) -> None:
    path.write_text(f"{other}\n")
    expected = f"the pid file {path} is that of the running process {other}; if that is no server, remove the file"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"), PidFile(str(path)):
        pass
    assert path.read_text() == f"{other}\n"


@needs_signals
def test_a_process_of_another_user_runs_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process_id: int, number: int) -> None:
        raise PermissionError

    path.write_text("4711")
    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(ValueError, match="running process 4711"), PidFile(str(path)):
        pass


STALE: dict[str, Callable[[], object]] = {
    "ended": ended_process,
    "this-process": os.getpid,
    "empty": lambda: "",
    "no-number": lambda: "shop",
    "negative": lambda: "-1",
    "huge": lambda: "9" * 30,
    "binary": lambda: "\xff",
}


@pytest.mark.parametrize("kind", STALE)
def test_one_that_was_left_behind_is_replaced(kind: str, path: Path) -> None:
    path.write_text(str(STALE[kind]()))
    with PidFile(str(path)) as pid_file:
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_that_of_the_predecessor_is_replaced(path: Path, other: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HANDOVER_VARIABLE, "[0, []]")
    path.write_text(f"{other}\n")
    with PidFile(str(path)) as pid_file:
        pid_file.write()
        assert path.read_text() == f"{os.getpid()}\n"


def test_what_a_successor_has_written_stays(path: Path) -> None:
    with PidFile(str(path)) as pid_file:
        pid_file.write()
        path.write_text("4711\n")
    assert path.read_text() == "4711\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_remove_it(path: Path) -> None:
    if sys.platform == "win32":
        return
    with PidFile(str(path)) as pid_file:
        pid_file.write()
        child = os.fork()
        if child == 0:
            pid_file.__exit__()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert path.exists()


def test_it_is_found_again_after_a_change_of_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with PidFile("shop.pid") as pid_file:
        monkeypatch.chdir("/")
        pid_file.write()
        assert path.exists()
    assert not path.exists()


def test_one_that_cannot_be_written_is_named_with_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "shop.pid"
    path.parent.mkdir()
    with PidFile(str(path)) as pid_file:
        path.parent.rmdir()
        with pytest.raises(ValueError) as caught:
            pid_file.write()
    assert str(caught.value) == f"Cannot write the pid file {path}: No such file or directory"
    with pytest.raises(ValueError, match=r"^Cannot write the pid file .*: No such file"), PidFile(str(path)):
        raise AssertionError("it is refused before anything listens")


def test_a_folder_or_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("application = None  # what a mistyped --pid-file may name\n" * 2)
    for name, reason in (
        ("shop.py", "there is another file, which is longer than a process id"),
        (".", "Is a directory"),
    ):
        path = os.path.join(tmp_path, name)
        expected = f"Cannot write the pid file {path}: {reason}"
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"), PidFile(path):
            pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    make_fifo(tmp_path / "pipe")
    for path in (os.devnull, str(tmp_path / "pipe")):
        expected = f"Cannot write the pid file {path}: there is a device or a pipe"
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"), PidFile(path):
            pass
