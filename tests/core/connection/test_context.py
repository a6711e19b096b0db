"""What all connections share: the deadline of each state and the method it calls, and the states of a server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fake_poller import FakePoller
from tests.support.fake_socket import DESCRIPTOR
from tests.support.manual_clock import ManualClock
from waitress_core import Adjustments
from waitress_core.connection.context import (
    BODY_READ_BYTES,
    CLOSING,
    DRAINING,
    LEAVING,
    RATE_SECONDS,
    HasDeadlines,
    ServerContext,
    State,
    parser_limits,
)
from waitress_core.connection.states import BODY, FLUSH, HANDSHAKE, HEAD, IDLE, LINGER, PENDING, ReceiveState, SendState
from waitress_core.reactor.deadlines import DeadlineQueue
from waitress_core.reactor.reactor import Reactor

SETTINGS = {"channel_timeout": 40, "request_head_timeout": 20, "linger_timeout": 10, "tls_handshake_timeout": 5}
RECEIVING: list[tuple[ReceiveState, float, str]] = [
    (IDLE, 40, "on_receiving_overdue"),
    (HEAD, 20, "on_receiving_overdue"),
    (BODY, RATE_SECONDS, "on_receiving_overdue"),
    (LINGER, 10, "on_receiving_overdue"),
    (HANDSHAKE, 5, "on_receiving_overdue"),
]
SENDING: list[tuple[SendState, float, str]] = [
    (PENDING, RATE_SECONDS, "on_sending_overdue"),
    (FLUSH, RATE_SECONDS, "on_sending_overdue"),
]


class Noting:
    """Remembers which of its methods the reactor has called."""

    descriptor = DESCRIPTOR
    interest = 0

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.called.append(name)


class Sharing:
    """A context with a reactor that is turned by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(poller=FakePoller(), clock=self.clock)
        self.context = ServerContext(
            Adjustments(listen="127.0.0.1:0", **SETTINGS),
            self.reactor,
            submit=lambda task: None,
            yield_leadership=lambda: None,
            resume_leadership=lambda: False,
        )
        self.reactor.turn(0)  # the first turn has a tick; the next tick comes after a second

    def deadline(self, state: ReceiveState | SendState) -> DeadlineQueue[HasDeadlines] | None:
        context = self.context
        return context.receive_deadlines[state] if isinstance(state, ReceiveState) else context.send_deadlines[state]

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.reactor.turn(0)


@pytest.fixture
def sharing() -> Iterator[Sharing]:
    sharing = Sharing()
    yield sharing
    sharing.reactor.close()


def name_of(value: object) -> str:
    return str(getattr(value, "name", value))


@pytest.mark.parametrize(("state", "seconds", "method"), [*RECEIVING, *SENDING], ids=name_of)
def test_the_deadline_of_a_state_is_that_of_its_setting_and_calls_its_method(
    sharing: Sharing, state: ReceiveState | SendState, seconds: float, method: str
) -> None:
    deadline, connection = sharing.deadline(state), Noting()
    assert deadline is not None
    assert deadline.seconds == seconds
    sharing.reactor.handlers[DESCRIPTOR] = connection
    deadline.arm(DESCRIPTOR, sharing.clock())
    sharing.pass_seconds(seconds - 0.01)
    assert connection.called == []
    sharing.pass_seconds(1.01)
    assert connection.called == [method]
    assert len(deadline) == 0


def test_the_other_states_have_no_deadline(sharing: Sharing) -> None:
    receiving = [state for state in ReceiveState if sharing.deadline(state) is not None]
    sending = [state for state in SendState if sharing.deadline(state) is not None]
    assert receiving == [state for state, *_ in RECEIVING]
    assert sending == [state for state, *_ in SENDING]


def test_both_states_in_which_the_reactor_sends_share_a_deadline(sharing: Sharing) -> None:
    assert sharing.deadline(PENDING) is sharing.deadline(FLUSH)


def test_the_idle_ones_are_those_of_the_idle_state(sharing: Sharing) -> None:
    assert sharing.context.idle is sharing.deadline(IDLE)


def test_a_deadline_of_a_descriptor_that_has_been_closed_calls_nothing(sharing: Sharing) -> None:
    deadline = sharing.deadline(HEAD)
    assert deadline is not None
    deadline.arm(DESCRIPTOR, sharing.clock())
    sharing.pass_seconds(100)
    assert len(deadline) == 0


def test_all_connections_read_bodies_into_one_buffer(sharing: Sharing) -> None:
    assert len(sharing.context.read_buffer) == BODY_READ_BYTES


def test_a_server_starts_ready_and_with_room(sharing: Sharing) -> None:
    assert sharing.context.state is State.READY
    assert not sharing.context.is_full


def test_a_server_only_moves_to_a_higher_state() -> None:
    assert [state.name for state in sorted(State)] == ["READY", "SERVING", "LEAVING", "DRAINING", "CLOSING", "CLOSED"]
    assert (LEAVING, DRAINING, CLOSING) == (State.LEAVING, State.DRAINING, State.CLOSING)


def test_the_limits_of_the_parser_are_those_of_the_settings() -> None:
    limits = parser_limits(Adjustments(max_request_header_size=1000, max_request_body_size=2000))
    assert (limits.max_head_bytes, limits.max_body_bytes) == (1000, 2000)
