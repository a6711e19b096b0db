"""Who makes room: tables of the choice, from states, instants, rates and addresses to an order."""

import pytest

from waitress_core.connection.data_rate import QUICK
from waitress_core.connection.room import (
    BEHIND_SECONDS,
    LEAST_BEHIND_SECONDS,
    PATIENCE,
    Waiting,
    network_of,
    order_for_room,
    order_for_threads,
)

NOW = 1000.0
LINGER, HANDSHAKE, HEAD, FLUSH, BODY = PATIENCE
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"

Row = tuple[str, float, float, str]  # state, seconds in it, bytes per second, address


def order(*rows: Row) -> list[int]:
    """Return the order in which connections make room, by their number."""
    waiting = [
        Waiting(number, address, state, NOW - seconds, rate)
        for number, (state, seconds, rate, address) in enumerate(rows)
    ]
    return [one.descriptor for one in order_for_room(waiting, NOW)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], [], id="nobody"),
        pytest.param([(HEAD, 5, 0, A), (HEAD, 9, 0, A), (HEAD, 7, 0, A)], [1, 2, 0], id="the-longest-head-first"),
        pytest.param([(LINGER, 1, 0, A), (LINGER, 1.5, 0, A)], [1, 0], id="the-longest-linger-first"),
        pytest.param([(FLUSH, 5, 9, A), (FLUSH, 9, 500, A)], [1, 0], id="the-longest-flush-first-whatever-its-rate"),
        pytest.param([(BODY, 9, 500, A), (BODY, 5, 9, A)], [1, 0], id="the-slowest-body-first-whatever-its-time"),
        pytest.param([(HANDSHAKE, 5, 0, A), (HANDSHAKE, 9, 0, A)], [1, 0], id="the-longest-handshake-first"),
        pytest.param([(FLUSH, 5, 0, A), (HEAD, 9, 0, A), (FLUSH, 7, 0, A)], [1, 2, 0], id="head-and-flush-by-time"),
        pytest.param(
            [(BODY, 99, 0, A), (FLUSH, 9, 0, A), (HEAD, 8, 0, A), (LINGER, 1, 0, A)], [3, 1, 2, 0], id="by-state"
        ),
    ],
)
def test_connections_make_room_in_the_order_of_their_states(rows: list[Row], expected: list[int]) -> None:
    assert order(*rows) == expected


@pytest.mark.parametrize("state", PATIENCE)
def test_a_client_has_some_time_before_it_makes_room(state: str) -> None:
    assert order((state, PATIENCE[state] - 0.01, 0, A)) == []
    assert order((state, PATIENCE[state], 0, A)) == [0]


@pytest.mark.parametrize("state", [FLUSH, BODY])
@pytest.mark.parametrize("rate", [QUICK, 10 * QUICK, float("inf")])
def test_a_client_that_moves_bytes_is_not_closed(state: str, rate: float) -> None:
    assert order((state, 3600, rate, A), (state, 5, QUICK - 1, A)) == [1]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(HEAD, 9, 0, B), (HEAD, 5, 0, A), (HEAD, 6, 0, A)], [2], id="then-the-longest-of-equals"),
        pytest.param([(HEAD, 9, 0, B), (HEAD, 5, 0, A), (HEAD, 6, 0, C)], [0, 2, 1], id="all-of-equals"),
        pytest.param([(LINGER, 9, 0, B), (BODY, 5, 1, A), (BODY, 6, 2, A)], [1], id="whatever-their-states"),
        pytest.param(
            [(HEAD, 9, 0, B), (HEAD, 8, 0, C), *[(HEAD, 3 + n / 10, 0, A) for n in range(4)]],
            [5, 4, 3],
            id="down-to-the-next-address",
        ),
        pytest.param([(HEAD, 9, 0, B), *[(HEAD, 1, 0, A)] * 5, (HEAD, 3, 0, A)], [6], id="those-in-time-count-too"),
        pytest.param([(BODY, 9, QUICK, A)] * 5 + [(HEAD, 9, 0, B)], [5], id="the-quick-of-an-address-stay"),
    ],
)
def test_the_address_with_most_connections_gives_one_first(rows: list[Row], expected: list[int]) -> None:
    assert order(*rows) == expected


def test_all_addresses_of_an_ipv6_network_count_as_one() -> None:
    rows: list[Row] = [
        (HEAD, 9, 0, "2001:db8:1:1::9"),
        (HEAD, 8, 0, "2001:db8:2:2::1"),
        (HEAD, 7, 0, "2001:db8:2:2:3::9"),
    ]
    assert order(*rows) == [1]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("localhost", "localhost", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::1", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, is_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is is_same


def test_ten_thousand_connections_are_ordered_in_a_moment() -> None:
    rows: list[Row] = [(HEAD, 3 + number / 1e4, 0, f"192.0.2.{number % 200}") for number in range(10_000)]
    assert len(order(*rows)) == 10_000


@pytest.mark.parametrize(("requests", "expected"), [(0, []), (1, [3]), (2, [3, 1]), (5, [3, 1, 4])])
def test_those_that_are_furthest_behind_free_their_threads_first(requests: int, expected: list[int]) -> None:
    behind = {1: BEHIND_SECONDS, 2: 0.0, 3: 20.0, 4: BEHIND_SECONDS / 2}
    assert order_for_threads(behind, requests=requests, threads=4) == expected


@pytest.mark.parametrize(
    ("requests", "seconds"),
    [(1, 0.8 * BEHIND_SECONDS), (4, 0.5 * BEHIND_SECONDS), (12, 0.25 * BEHIND_SECONDS), (1000, LEAST_BEHIND_SECONDS)],
)
def test_the_more_requests_wait_the_sooner_a_client_frees_its_thread(requests: int, seconds: float) -> None:
    late, early = 1, 2
    assert order_for_threads({early: seconds - 0.01, late: seconds}, requests=requests, threads=4) == [late]
