"""Tasks that find too many before them are refused, but internal ones."""

from types import SimpleNamespace
from typing import Any, cast

from waitress_core import Dispatcher, Task
from waitress_core.threads.queue_limit import QueueLimit
from waitress_core.threads.tasks import InternalTask


class Internal(InternalTask):
    def service(self) -> None:
        """Do nothing."""

    cancel = service


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
    internal = Internal()
    limit.submit(internal)
    assert dispatcher.ready == [*tasks[:2], internal]
    dispatcher.waiting_count = 0
    dispatcher.ready.clear()
    limit.submit(tasks[3])
    assert dispatcher.ready == [tasks[3]]
