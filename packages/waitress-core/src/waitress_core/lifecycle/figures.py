"""The figures of one run: what `stats()` returns, and what the status server shows of it.

Thread: any. Takes no lock but that of `RequestMeasures`, which is reentrant; takes a moment for each open
connection.
"""

from typing import TYPE_CHECKING

from ..connection.connection import Connection
from ..connection.context import ServerContext, State
from ..connection.states import STATE_NAMES
from ..observability.stats import ServerStats, make_stats
from ..threads.dispatcher import Dispatcher
from ..threads.running import RunningTask

if TYPE_CHECKING:
    from ..observability.snapshot import Snapshot


class RunFigures:
    """Reads what the parts of a run have counted."""

    def __init__(self, context: ServerContext, connections: dict[int, Connection], dispatcher: Dispatcher) -> None:
        # Set once
        self._context = context
        self._connections = connections
        self._dispatcher = dispatcher
        # Written by any thread that asks for stats: a lost update stops a counter once, nothing else
        self._most_bytes_out = 0

    def running(self) -> list[RunningTask]:
        """Return what the application threads run."""
        return self._dispatcher.running()

    def request_count(self) -> int:
        """Return how many requests have ended."""
        return sum(self._by_status().values())

    def _by_status(self) -> dict[str, int]:
        # By the first character of the status; empty without an answer
        measures = self._context.measures
        return self._context.counters.by_status.copy() if measures is None else measures.by_status()

    def stats(self) -> ServerStats:
        """Return a snapshot of the counters."""
        counters, dispatcher = self._context.counters, self._dispatcher
        # In this order a connection that ends meanwhile may be missed, which the maximum hides, but not counted twice.
        ended_bytes_out = counters.ended_bytes_out
        connections = list(self._connections.copy().values())
        sent = sum(connection.sender.sent_bytes for connection in connections)
        self._most_bytes_out = max(self._most_bytes_out, ended_bytes_out + sent)
        states = dict.fromkeys(STATE_NAMES, 0)
        for connection in connections:
            name = connection.state_name
            if name is not None:
                states[name] += 1
        return make_stats(
            counters,
            states=states,
            threads=dispatcher.thread_count,
            by_status=self._by_status(),
            bytes_out=self._most_bytes_out,
            queue_depth=dispatcher.ready_count + dispatcher.waiting_count,
            running=dispatcher.running(),
        )

    def snapshot(self) -> "Snapshot":
        """Return what the status server shows, as JSON can express it. It is small: see `observability.snapshot`."""
        from ..observability.snapshot import fitting, make_snapshot  # lazy import: few servers need it

        context, dispatcher = self._context, self._dispatcher
        return fitting(
            make_snapshot(
                self.stats(),
                state="starting" if context.state is State.READY else context.state.name.lower(),
                counters=context.counters,
                measures=context.measures,
                queue_oldest_seconds=dispatcher.oldest_waiting_seconds,
                log_lines_dropped=0 if context.access_log is None else context.access_log.dropped_lines,
                running=dispatcher.running(),
                lost_threads=dispatcher.lost_count,
                is_short_of_threads=dispatcher.is_short_of_threads,
                is_refusing=context.refusals is not None and context.refusals.is_in_episode,
            )
        )
