"""Requests that run for long are told once each, with their stacks."""

import logging
import threading
from collections.abc import Iterator

import pytest

from waitress_core.observability.slow_requests import SlowRequests
from waitress_core.threads.running import RunningTask

SECONDS = 20.0


class Task:
    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Task GET {self.path}>"


@pytest.fixture
def thread_id() -> Iterator[int]:
    """A thread in a function with a name that is looked for."""
    entered, released = threading.Event(), threading.Event()

    def wait_for_the_database() -> None:
        entered.set()
        released.wait(SECONDS)

    thread = threading.Thread(target=wait_for_the_database, name="waitress-7")
    thread.start()
    assert entered.wait(SECONDS)
    assert thread.ident is not None
    yield thread.ident
    released.set()
    thread.join(SECONDS)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition("\n")[0] for record in caplog.records]


def test_a_slow_request_is_told_once_with_its_path_and_its_stack(
    thread_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[RunningTask] = []
    slow = SlowRequests(5, lambda: runs)
    task = Task("/report")
    for seconds in (0.5, 4.9, 5.4, 6.4, 7.4):
        runs[:] = [RunningTask(thread_id, task, seconds)]
        slow.tick()
    assert told(caplog) == ["<Task GET /report> has been running for 5.4 seconds, in thread waitress-7:"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("waitress", logging.WARNING)
    assert "in wait_for_the_database" in record.getMessage()


def test_each_slow_request_is_reported(thread_id: int, caplog: pytest.LogCaptureFixture) -> None:
    runs = [RunningTask(thread_id, Task(path), 9) for path in ("/a", "/b")]
    slow = SlowRequests(5, lambda: runs)
    slow.tick()
    runs[0] = RunningTask(thread_id, Task("/a"), 6)  # another, of the same thread
    slow.tick()
    assert [line.split()[2].rstrip(">") for line in told(caplog)] == ["/a", "/b", "/a"]


def test_a_request_that_has_ended_is_let_go(thread_id: int) -> None:
    runs = [RunningTask(thread_id, Task("/a"), 9)]
    slow = SlowRequests(5, lambda: runs)
    slow.tick()
    runs.clear()
    slow.tick()
    assert slow._reported == []


def test_a_thread_that_has_ended_meanwhile_has_no_stack(caplog: pytest.LogCaptureFixture) -> None:
    SlowRequests(5, lambda: [RunningTask(0, Task("/a"), 9)]).tick()
    assert [record.getMessage() for record in caplog.records] == [
        "<Task GET /a> has been running for 9.0 seconds, in thread 0:\n(no stack: it has just ended, or is a greenlet)"
    ]
