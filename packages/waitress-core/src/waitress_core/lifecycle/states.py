"""The states of a server, as a table, and what asks for a move.

    READY     it listens, nothing is accepted            run, start
    SERVING   everything                                 shutdown (SIGTERM, SIGINT), close
    LEAVING   new clients are still answered, and their  shutdown_delay, shutdown_timeout, close
              connections end: load balancers notice.
              A worker that retires accepts none: others do  RETIRE_SECONDS, its last connection's end
    DRAINING  nothing new; what has started is answered  the last connection's end, shutdown_timeout, close
    CLOSING   what runs, or is being sent, may end       its end, close_seconds
    CLOSED    nothing is left

A request to stop comes from any thread or a signal handler, and is only recorded; the leader acts on it. So no signal
handler ever waits for a lock. `run.ServerRun` is the only one that writes a state.
"""

from typing import NamedTuple

from ..connection.context import State

# Straight to CLOSED: a run that could not start, one that has no connection left, and that of a forked child.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.READY: frozenset({State.SERVING, State.CLOSED}),
    State.SERVING: frozenset({State.LEAVING, State.CLOSING, State.CLOSED}),
    State.LEAVING: frozenset({State.DRAINING, State.CLOSING, State.CLOSED}),
    State.DRAINING: frozenset({State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}

# Seconds in which a worker that retires lets idle clients send once more: their responses say that the connection
# ends, so no client sends just when it is closed. Doubled: more processes for longer at each reload. Halved: more
# clients find a connection closed that they have just used.
RETIRE_SECONDS = 5.0
CLOSE_SECONDS = 5.0  # for running applications, and responses being sent, after `close`; waitress 3.0 waits as long


class StopRequest(NamedTuple):
    """A request to end the server before an instant of `time.monotonic`: LEAVING in order, CLOSING at once."""

    state: State
    until: float
    is_signal: bool = False
    retires: bool = False  # another worker serves in its place: accept nothing, let idle clients send once more
    ends_now: str = ""  # what the sender of the signal can do to end the server at once: a noun, for the log
