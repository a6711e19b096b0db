"""What one worker does, as JSON can express it."""

from __future__ import annotations

import json
import threading
from typing import get_type_hints

import pytest

from tests.core.status.snapshots import snapshot_of
from waitress_core.observability.snapshot import (
    MOST_BYTES,
    MOST_CHARACTERS,
    MOST_FRAMES,
    MOST_RUNNING,
    RunningRequest,
    Snapshot,
    fitting,
    make_snapshot,
)
from waitress_core.observability.stats import Counters, make_stats
from waitress_core.threads.running import RunningTask

STATES = dict.fromkeys(("idle", "head", "body", "task", "flush", "linger"), 0)


class Task:
    request_line = "GET /" + "a" * 1000


def test_a_snapshot_has_the_fields_that_its_type_has_and_json_keeps_it() -> None:
    snapshot = snapshot_of()
    assert set(snapshot) == set(get_type_hints(Snapshot))
    assert json.loads(json.dumps(snapshot)) == snapshot


def deep(depth: int, then: threading.Event, entered: threading.Event) -> None:
    if depth:
        deep(depth - 1, then, entered)
    else:
        entered.set()
        then.wait(20)


def test_running_requests_are_the_longest_first_with_the_end_of_their_stack() -> None:
    then, entered = threading.Event(), threading.Event()
    thread = threading.Thread(target=deep, args=(50, then, entered), name="waitress-0")
    thread.start()
    try:
        assert entered.wait(20)
        assert thread.ident is not None
        running = [RunningTask(0, Task(), 0.1), RunningTask(thread.ident, Task(), 9.0), RunningTask(0, "no task", 1.0)]
        counters = Counters()
        snapshot = make_snapshot(
            make_stats(counters, states=STATES, threads=4, running=running),
            state="serving",
            counters=counters,
            measures=None,
            queue_oldest_seconds=0.0,
            log_lines_dropped=0,
            running=running,
        )
    finally:
        then.set()
        thread.join()
    assert snapshot["threads"] == {"busy": 3, "idle": 1, "lost": 0}
    first, second, third = snapshot["running"]
    assert (first["thread"], first["seconds"], len(first["request"])) == ("waitress-0", 9.0, MOST_CHARACTERS)
    assert len(first["stack"]) == MOST_FRAMES
    assert first["stack"][0].endswith(" deep")
    assert first["stack"][-1].endswith(" wait")
    assert (second["request"], second["stack"]) == ("'no task'", [])
    assert third["request"].startswith("GET /aaa")


def running(count: int, frames: int) -> list[RunningRequest]:
    stack = ["/srv/shop/site-packages/shop/views.py:12 é" + "x" * 100] * frames
    return [
        {
            "thread": f"waitress-{number}",
            "request": "GET /" + "a" * 195,
            "request_id": None,
            "seconds": 1.0,
            "stack": stack,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "frames", "kept", "with_stack"),
    [(2, 5, 2, 2), (MOST_RUNNING, 0, MOST_RUNNING, 0), (MOST_RUNNING, MOST_FRAMES, MOST_RUNNING, 2), (500, 5, 85, 0)],
)
def test_what_does_not_fit_is_left_out_the_stacks_first(count: int, frames: int, kept: int, with_stack: int) -> None:
    snapshot = fitting(snapshot_of(running=running(count, frames)))
    assert len(json.dumps(snapshot)) <= MOST_BYTES
    assert len(snapshot["running"]) == pytest.approx(kept, abs=10)
    assert sum(bool(run["stack"]) for run in snapshot["running"]) == pytest.approx(with_stack, abs=2)
    assert [run["thread"] for run in snapshot["running"]] == [f"waitress-{n}" for n in range(len(snapshot["running"]))]
