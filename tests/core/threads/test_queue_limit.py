"""Tasks that find too many before them are refused, but internal ones."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from waitress_core import Dispatcher, Task
from waitress_core.threads.queue_limit import QueueLimit
from waitress_core.threads.tasks import InternalTask


class Internal(InternalTask):
    ended = ""

    def service(self) -> None:
        self.ended = "service"

    def cancel(self) -> None:
        self.ended = "cancel"


def test_what_waits_for_the_leader_and_for_a_thread_counts() -> None:
    refused: list[Any] = []
    dispatcher = SimpleNamespace(ready=[], waiting_count=0)
    limit = QueueLimit(3, cast(Dispatcher, dispatcher), refused.append)
    tasks = [cast(Task, SimpleNamespace(name=index)) for index in range(6)]
    limit.submit(tasks[0])
    dispatcher.waiting_count = 1
    limit.submit(tasks[1])
    limit.submit(tasks[2])
    assert (dispatcher.ready, refused) == (tasks[:2], [tasks[2]])
    dispatcher.waiting_count = 0
    dispatcher.ready.clear()
    limit.submit(tasks[3])
    assert dispatcher.ready == [tasks[3]]


@pytest.mark.parametrize("end", ["service", "cancel"])
def test_internal_tasks_take_no_place_and_find_one(end: str) -> None:
    refused: list[Any] = []
    dispatcher = SimpleNamespace(ready=[], waiting_count=0)
    limit = QueueLimit(2, cast(Dispatcher, dispatcher), refused.append)
    tasks = [cast(Task, SimpleNamespace(name=index)) for index in range(5)]
    internals = [Internal() for _ in range(3)]
    for internal in internals:
        limit.submit(internal)
    for task in tasks[:3]:
        limit.submit(task)
    assert refused == [tasks[2]]
    waiting = dispatcher.ready[:3]
    assert [repr(task) for task in waiting] == [repr(internal) for internal in internals]
    assert all(isinstance(task, InternalTask) for task in waiting)
    for task in waiting:
        getattr(task, end)()
    del dispatcher.ready[:3]
    assert [internal.ended for internal in internals] == [end] * 3
    limit.submit(tasks[3])
    assert refused == [tasks[2], tasks[3]]
    del dispatcher.ready[0]
    limit.submit(tasks[4])
    assert dispatcher.ready == [tasks[1], tasks[4]]
