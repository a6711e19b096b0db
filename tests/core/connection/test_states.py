"""The two tables of transitions: closed, connected, and explained at the head of their file."""

import enum
from collections.abc import Mapping
from typing import Any

import pytest

from waitress_core.connection import states
from waitress_core.connection.states import (
    AHEAD,
    CLOSED,
    ENDED,
    GONE,
    HANDSHAKE,
    IDLE,
    READY,
    RECEIVE_TRANSITIONS,
    SEND_TRANSITIONS,
    STATE_NAMES,
    Ending,
    ReceiveState,
    SendState,
)

Table = Mapping[Any, frozenset[Any]]


def reachable(table: Table, start: enum.IntEnum) -> set[Any]:
    reached: set[Any] = set()
    new: set[Any] = {start}
    while new:
        reached |= new
        new = {target for state in new for target in table[state]} - reached
    return reached


both_tables = pytest.mark.parametrize(
    ("table", "kind", "first", "last"),
    [
        pytest.param(RECEIVE_TRANSITIONS, ReceiveState, HANDSHAKE, ENDED, id="receiving"),
        pytest.param(SEND_TRANSITIONS, SendState, READY, CLOSED, id="sending"),
    ],
)


@both_tables
def test_every_state_has_a_row(table: Table, kind: type[enum.IntEnum], first: Any, last: Any) -> None:
    assert set(table) == set(kind)
    assert all(type(state) is kind for state in table)
    assert all(type(target) is kind for targets in table.values() for target in targets)


@both_tables
def test_no_state_moves_to_itself(table: Table, kind: type[enum.IntEnum], first: Any, last: Any) -> None:
    assert all(state not in targets for state, targets in table.items())


@both_tables
def test_every_state_is_reached_from_the_first_and_leads_to_the_last(
    table: Table, kind: type[enum.IntEnum], first: Any, last: Any
) -> None:
    assert reachable(table, first) == set(kind)
    assert all(last in reachable(table, state) for state in kind)


@both_tables
def test_the_last_state_is_the_only_end(table: Table, kind: type[enum.IntEnum], first: Any, last: Any) -> None:
    assert {state for state, targets in table.items() if not targets} == {last}


def test_input_can_end_in_every_state() -> None:
    assert {state for state, targets in RECEIVE_TRANSITIONS.items() if ENDED in targets} == set(ReceiveState) - {ENDED}


def test_a_connection_can_end_in_every_state_and_only_then_is_its_descriptor_closed() -> None:
    assert {state for state, targets in SEND_TRANSITIONS.items() if GONE in targets} == set(SendState) - {GONE, CLOSED}
    assert {state for state, targets in SEND_TRANSITIONS.items() if CLOSED in targets} == {GONE}


def test_only_a_request_that_has_been_answered_or_a_handshake_leads_to_idle() -> None:
    assert {state for state, targets in RECEIVE_TRANSITIONS.items() if IDLE in targets} == {AHEAD, HANDSHAKE}


def test_the_connection_has_ended_from_gone_on() -> None:
    assert [state for state in SendState if state >= GONE] == [GONE, CLOSED]


@pytest.mark.parametrize("state", [*ReceiveState, *SendState], ids=lambda state: state.name)
def test_every_state_is_explained(state: enum.IntEnum) -> None:
    assert f"    {state.name} " in (states.__doc__ or "")


def test_outsiders_know_seven_states() -> None:
    assert STATE_NAMES == ("handshake", "idle", "head", "body", "task", "flush", "linger")


def test_the_endings_are_four() -> None:
    assert {ending.name for ending in Ending} == {"PERSIST", "CLOSE", "LINGER", "RESET"}
