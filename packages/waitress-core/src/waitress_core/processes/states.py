"""The states of a worker and of the supervisor, as tables.

A worker, as the supervisor sees it:

    STARTING  forked: it imports the application                     a fork
    SERVING   it accepts                                             it has reported that it serves
    RETIRING  it accepts no more and answers what it has             another serves in its place
    STOPPING  it drains and ends (SIGTERM)                           the server's end; a reload while it starts
    ABORTED   it writes the stacks of its threads (SIGABRT)          `worker_timeout` without a tick
    KILLED    nothing more can be done (SIGKILL)                     it has not ended in time
    ENDED     the system has reported how it ended                   its end, in any state

The supervisor:

    STARTING   not all workers have served yet                       run
    SERVING    workers serve; it replaces those that end             all serve
    RELOADING  fresh workers take the place of the old ones          SIGHUP
    STOPPING   workers drain and end                                 SIGTERM, SIGINT, shutdown, close; a failed start;
                                                                     a successor that serves
    ENDED      no worker is left                                     the last worker's end
"""

import enum


class WorkerState(enum.IntEnum):
    """What a worker does, as far as the supervisor knows; it only ever moves to a higher state."""

    STARTING = 0
    SERVING = 1
    RETIRING = 2
    STOPPING = 3
    ABORTED = 4
    KILLED = 5
    ENDED = 6


class SupervisorState(enum.IntEnum):
    """What the supervisor does."""

    STARTING = 0
    SERVING = 1
    RELOADING = 2
    STOPPING = 3
    ENDED = 4


_W, _S = WorkerState, SupervisorState

WORKER_TRANSITIONS: dict[WorkerState, frozenset[WorkerState]] = {
    _W.STARTING: frozenset({_W.SERVING, _W.STOPPING, _W.ABORTED, _W.ENDED}),
    _W.SERVING: frozenset({_W.RETIRING, _W.STOPPING, _W.ABORTED, _W.ENDED}),
    _W.RETIRING: frozenset({_W.STOPPING, _W.ABORTED, _W.KILLED, _W.ENDED}),
    _W.STOPPING: frozenset({_W.KILLED, _W.ENDED}),
    _W.ABORTED: frozenset({_W.KILLED, _W.ENDED}),
    _W.KILLED: frozenset({_W.ENDED}),
    _W.ENDED: frozenset(),
}

SUPERVISOR_TRANSITIONS: dict[SupervisorState, frozenset[SupervisorState]] = {
    _S.STARTING: frozenset({_S.SERVING, _S.STOPPING}),
    _S.SERVING: frozenset({_S.RELOADING, _S.STOPPING}),
    _S.RELOADING: frozenset({_S.SERVING, _S.STOPPING}),
    _S.STOPPING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}


class Event(enum.Enum):
    """What the supervisor reports to its server."""

    STATE = "the supervisor has moved to another state"
    READY = "the first worker serves"
    TICK = "a second has passed, and all workers tick"
    RELOAD = "a signal asks for a reload: the workers that are forked from now on are fresh ones"
    REPLACED = "another supervisor serves in place of this one"
