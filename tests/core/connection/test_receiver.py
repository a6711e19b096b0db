"""The receiving side: what each byte belongs to, what is to be done about it, and the deadline of each state."""

import errno
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.connecting import CheckedReceiver, NotingParser, refuse_to_store, storage_errors
from tests.support.fake_poller import FakePoller
from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from tests.support.manual_clock import ManualClock
from waitress_buffers import OverflowBuffer
from waitress_core import Adjustments
from waitress_core.connection import receiver as module
from waitress_core.connection.context import BODY_READ_BYTES, ServerContext, State
from waitress_core.connection.receiver import (
    CHUNKED_READ_BYTES,
    CLOSE,
    CONTINUE,
    PAUSE,
    Outcome,
    Receiver,
)
from waitress_core.connection.states import AHEAD, BODY, ENDED, HEAD, IDLE, LINGER, ReceiveState
from waitress_core.http.error_responses import ErrorResponse
from waitress_core.http.request import Request
from waitress_core.net.transport import Disconnected, SocketTransport
from waitress_core.reactor.reactor import Reactor
from waitress_parser import RequestParser

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
POST_CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
END = b""


class Source(SocketTransport):
    """Gives what a test has put into it; remembers how much it was asked for."""

    def __init__(self) -> None:
        super().__init__(as_socket(FakeSocket()))
        self.pieces: deque[bytes | Disconnected] = deque()
        self.asked: list[int] = []

    def receive(self, size: int) -> bytes | None:
        self.asked.append(size)
        if not self.pieces:
            return None
        piece = self.pieces.popleft()
        if isinstance(piece, Disconnected):
            raise piece
        assert len(piece) <= size
        return piece

    def receive_into(self, buffer: memoryview, size: int) -> int | None:
        piece = self.receive(size)
        if piece is None:
            return None
        buffer[: len(piece)] = piece
        return len(piece)


class Receiving:
    """A receiver and what its client sends."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(poller=FakePoller(), clock=self.clock)
        self.context = ServerContext(
            Adjustments(listen="127.0.0.1:0", **settings),
            self.reactor,
            submit=lambda task: None,
            yield_leadership=lambda: None,
            resume_leadership=lambda: False,
        )
        self.source = Source()
        self.receiver = CheckedReceiver(self.source, self.context)
        self.receiver.enter(IDLE, self.reactor.now)

    def send(self, data: bytes | Disconnected) -> Outcome:
        """Let the receiver read this at once; return what is to be done."""
        self.source.pieces.append(data)
        return self.receiver.receive()

    def send_request(self, data: bytes) -> Request:
        outcome = self.send(data)
        assert type(outcome) is Request
        return outcome

    def next_request(self) -> Request:
        outcome = self.receiver.go_on()
        assert type(outcome) is Request
        return outcome

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.reactor.now = self.clock()

    def deadline(self) -> tuple[float, float] | None:
        """Return the length of the deadline that is armed, and since when it is; no two are."""
        armed = [queue for queue in self.reactor._deadlines if len(queue)]
        if not armed:
            return None
        (queue,) = armed
        since = queue.armed_at(DESCRIPTOR)
        assert since is not None
        return queue.seconds, since


def state_of(receiver: Receiver) -> ReceiveState:
    return receiver.state


@pytest.fixture
def make() -> Iterator[Any]:
    """Make receivers with settings; their transitions and deadlines are checked at the end."""
    made = []

    def make_one(**settings: Any) -> Receiving:
        made.append(Receiving(**settings))
        return made[-1]

    yield make_one
    for receiving in made:
        receiving.reactor.close()
        assert receiving.receiver.illegal == []


@pytest.fixture
def receiving(make: Any) -> Receiving:
    one: Receiving = make()
    return one


def status_of(outcome: Outcome) -> int:
    assert isinstance(outcome, ErrorResponse)
    return int(outcome.status.split()[0])


# --- requests


def test_nothing_to_read_changes_nothing(receiving: Receiving) -> None:
    assert receiving.receiver.receive() is None
    assert receiving.receiver.state is IDLE
    assert receiving.context.counters.bytes_in == 0


def test_a_complete_request_is_returned(receiving: Receiving) -> None:
    request = receiving.send_request(GET % b"path")
    assert request.head.path == "/path"
    assert (receiving.receiver.state, receiving.receiver.request, receiving.receiver.ahead_bytes) == (AHEAD, None, 0)
    assert receiving.context.counters.bytes_in == len(GET % b"path")


def test_a_request_with_a_body_is_returned_when_the_body_is_complete(receiving: Receiving) -> None:
    assert receiving.send(POST % 5) is None
    assert state_of(receiving.receiver) is BODY
    assert receiving.receiver.request is not None
    assert receiving.send(b"123") is None
    assert receiving.receiver.request.body_bytes == 3
    request = receiving.send_request(b"45")
    assert request.open_body().read() == b"12345"
    assert state_of(receiving.receiver) is AHEAD
    assert receiving.receiver.request is None


def test_a_request_and_its_body_in_one_read_are_returned_at_once(receiving: Receiving) -> None:
    assert receiving.send_request(POST % 5 + b"12345").open_body().read() == b"12345"
    assert receiving.receiver.transitions == [(IDLE, BODY), (BODY, AHEAD)]


def test_pieces_of_a_body_are_kept_although_they_share_a_buffer(receiving: Receiving) -> None:
    receiving.send(POST % 6)
    for piece in (b"12", b"34"):
        assert receiving.send(piece) is None
    assert receiving.send_request(b"56").open_body().read() == b"123456"


def test_an_empty_line_before_a_request_does_not_end_the_idle_time(receiving: Receiving) -> None:
    since = receiving.reactor.now
    receiving.pass_seconds(5)
    assert receiving.send(b"\r\n") is None
    assert receiving.receiver.state is IDLE
    assert receiving.deadline() == (receiving.context.adj.channel_timeout, since)


def test_a_client_that_fails_is_reported(receiving: Receiving) -> None:
    with pytest.raises(Disconnected):
        receiving.send(Disconnected(OSError(errno.ECONNRESET, "text")))


def test_a_parser_can_be_replaced(receiving: Receiving) -> None:
    parser = NotingParser()
    receiving.receiver.use_parser(parser)
    receiving.send_request(GET % b"")
    assert parser.noted == GET % b""


# --- the parser


def test_a_parser_serves_the_next_connection_when_its_request_is_complete(receiving: Receiving) -> None:
    receiving.send(b"GET / HTTP/1.1\r\n")
    parser = receiving.receiver._parser
    assert parser is not None
    receiving.send_request(b"Host: x\r\n\r\n")
    assert receiving.receiver._parser is None
    assert receiving.context.take_parser() is parser
    assert receiving.context.take_parser() is not parser


@pytest.mark.parametrize("ahead", [b"G", b"\r", b"\r\n"], ids=["request", "half-line", "line"])
def test_a_parser_that_has_read_ahead_stays_with_its_connection(receiving: Receiving, ahead: bytes) -> None:
    receiving.send_request(GET % b"" + ahead)
    assert receiving.receiver._parser is not None
    assert receiving.context.shared_parser is None


def test_a_parser_that_was_left_half_way_serves_no_other_connection(
    receiving: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(parser: RequestParser) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(RequestParser, "next_event", fail)
        with pytest.raises(MemoryError):
            receiving.send(GET % b"")
    assert receiving.receiver._parser is not None
    assert receiving.context.shared_parser is None


def test_a_parser_that_was_given_stays_with_its_connection(receiving: Receiving) -> None:
    parser = NotingParser()
    receiving.receiver.use_parser(parser)
    receiving.send_request(GET % b"")
    assert receiving.receiver._parser is parser
    assert receiving.context.shared_parser is None


# --- how much is read


def test_a_head_is_read_in_pieces_of_recv_bytes(make: Any) -> None:
    receiving = make(recv_bytes=100)
    receiving.send(b"GET / HT")
    receiving.send(b"TP/1.1\r\n")
    receiving.send_request(b"Host: x\r\n\r\n")
    receiving.send(b"GET")  # ahead
    assert receiving.source.asked == [100] * 4


@pytest.mark.parametrize(
    ("head", "size"),
    [
        pytest.param(POST % 5, BODY_READ_BYTES, id="length"),
        pytest.param(POST_CHUNKED, CHUNKED_READ_BYTES, id="chunked"),
    ],
)
def test_a_body_is_read_in_pieces_that_cost_a_moment_each(receiving: Receiving, head: bytes, size: int) -> None:
    receiving.send(head)
    receiving.source.asked.clear()
    receiving.send(b"1")
    assert receiving.source.asked == [size]


# --- requests that follow


def test_what_comes_with_a_request_is_counted_as_read_ahead(receiving: Receiving) -> None:
    receiving.send_request(GET % b"1" + GET % b"2" + b"GET")
    assert receiving.receiver.ahead_bytes == len(GET % b"2" + b"GET")
    assert receiving.next_request().head.path == "/2"
    assert receiving.receiver.ahead_bytes == 3
    assert receiving.receiver.go_on() is None
    assert state_of(receiving.receiver) is HEAD


def test_what_comes_after_a_request_is_not_parsed_before_it_is_asked_for(receiving: Receiving) -> None:
    receiving.send_request(GET % b"1")
    assert receiving.send(GET % b"2") is None
    assert receiving.send(b"no request\r\n\r\n") is None
    assert receiving.receiver.state is AHEAD
    assert receiving.next_request().head.path == "/2"
    assert status_of(receiving.receiver.go_on()) == 400


WHOLE = {
    "request": [GET % b"2"],
    "request-in-two-pieces": [b"GET /2 HTTP/1.1\r\nHo", b"st: x\r\n\r\n"],
    "after-an-empty-line": [b"\r\n" + GET % b"2"],
    "two": [GET % b"2" + GET % b"3"],
    "one-and-a-part": [GET % b"2" + b"GET"],
    "body": [POST % 3 + b"123"],
    "chunked": [POST_CHUNKED + b"1\r\nx\r\n", b"0\r\n\r\n"],
}
PARTS = {
    "nothing": [],
    "byte": [b"G"],
    "empty-line": [b"\r\n"],
    "head-without-its-end": [(GET % b"2")[:-1]],
    "head-whose-body-is-to-come": [POST % 3],
    "part-of-a-body": [POST % 3 + b"1", b"2"],
    "part-of-a-chunked-body": [POST_CHUNKED + b"1\r\nx\r\n"],
    "chunked-without-its-end": [POST_CHUNKED + b"1\r\nx\r\n0\r\n"],
    "nonsense": [b"nonsense\r\n\r\n"],
    "part-before-nonsense": [POST_CHUNKED + b"1\r\nx\r\n", b"nonsense\r\n"],
}


@pytest.mark.parametrize("is_together", [True, False], ids=["with-the-first", "after-it"])
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        *(pytest.param(pieces, True, id=name) for name, pieces in WHOLE.items()),
        *(pytest.param(pieces, False, id=name) for name, pieces in PARTS.items()),
    ],
)
def test_a_further_request_is_held_when_it_is_complete(
    receiving: Receiving, pieces: list[bytes], expected: bool, is_together: bool
) -> None:
    first, *others = pieces or [b""]
    if is_together:
        receiving.send_request(GET % b"1" + first)
    else:
        receiving.send_request(GET % b"1")
        others = pieces
    for piece in others:
        assert receiving.send(piece) is None
    for _ in range(2):  # looking changes nothing
        assert receiving.receiver.holds_request() is expected
    if expected:
        assert receiving.next_request().head.path == ("/" if b"POST" in pieces[0] else "/2")


def test_a_request_that_is_held_after_the_end_of_input_is_complete(receiving: Receiving) -> None:
    receiving.send_request(GET % b"1")
    receiving.send(GET % b"2")
    assert receiving.send(b"") is PAUSE
    assert receiving.receiver.holds_request()


def test_reading_ahead_pauses_at_recv_bytes(make: Any) -> None:
    receiving = make(recv_bytes=100)
    receiving.send_request(GET % b"")
    assert receiving.send(b"x" * 99) is None
    assert receiving.receiver.may_read_ahead()
    assert receiving.send(b"x") is PAUSE
    assert not receiving.receiver.may_read_ahead()


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.SERVING, None), (State.LEAVING, None), (State.DRAINING, PAUSE), (State.CLOSING, PAUSE)],
    ids=lambda value: getattr(value, "name", "on"),
)
def test_reading_ahead_pauses_while_the_server_drains(receiving: Receiving, state: State, expected: Outcome) -> None:
    receiving.send_request(GET % b"")
    receiving.context.state = state
    assert receiving.send(b"x") is expected
    assert receiving.receiver.may_read_ahead() is (expected is None)


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(b"\r\n", IDLE), (b"GET / HT", HEAD), (POST % 5 + b"12", BODY)],
    ids=["empty-line", "head", "body"],
)
def test_half_a_request_read_ahead_has_its_own_deadline(
    receiving: Receiving, ahead: bytes, state: ReceiveState
) -> None:
    receiving.send_request(GET % b"" + ahead)
    receiving.pass_seconds(1000)
    assert receiving.deadline() is None
    assert receiving.receiver.go_on() is None
    assert state_of(receiving.receiver) is state
    armed = receiving.deadline()
    assert armed is not None
    assert armed[1] == receiving.reactor.now


# --- 100 (Continue)


def test_a_client_that_waits_for_continue_gets_it_once(receiving: Receiving) -> None:
    assert receiving.send(EXPECT) is CONTINUE
    assert receiving.receiver.state is BODY
    assert receiving.send(b"1") is None
    assert receiving.send_request(b"2").open_body().read() == b"12"


@pytest.mark.parametrize(
    "data",
    [
        EXPECT + b"12",
        EXPECT.replace(b"/1.1", b"/1.0") + b"12",
        EXPECT.replace(b"h: 2", b"h: 0"),
        EXPECT.replace(b"Content-Length: 2\r\n", b""),
    ],
    ids=["the-body-has-started", "HTTP/1.0", "an-empty-body", "no-body"],
)
def test_a_client_that_does_not_wait_gets_no_continue(receiving: Receiving, data: bytes) -> None:
    receiving.send_request(data)


def test_a_client_that_has_ended_its_output_gets_no_continue(receiving: Receiving) -> None:
    receiving.send_request(GET % b"" + EXPECT)
    assert receiving.send(END) is PAUSE
    assert status_of(receiving.receiver.go_on()) == 400


# --- requests that are refused


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"no request\r\n\r\n", 400, id="start-line"),
        pytest.param(POST % 101, 413, id="body-too-large"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300, 431, id="head-too-large"),
        pytest.param(POST_CHUNKED + b"zz\r\n", 400, id="chunk"),
    ],
)
def test_a_broken_rule_is_answered_with_its_status(make: Any, data: bytes, status: int) -> None:
    receiving = make(max_request_body_size=100, max_request_header_size=256)
    assert status_of(receiving.send(data)) == status


@storage_errors
def test_a_body_that_cannot_be_stored_is_refused_with_its_fault(
    receiving: Receiving,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    status: int,
) -> None:
    refuse_to_store(monkeypatch, error)
    outcome = receiving.send(POST % 5 + b"12345")
    assert isinstance(outcome, ErrorResponse)
    assert status_of(outcome) == status
    assert outcome.fault == str(error)
    assert receiving.receiver.request is not None  # the log still needs it


@pytest.mark.parametrize(
    ("data", "state"), [(b"", IDLE), (b"GET / HT", HEAD), (POST % 5 + b"12", BODY)], ids=["idle", "head", "body"]
)
def test_after_an_answer_of_the_server_nothing_more_is_parsed(
    receiving: Receiving, data: bytes, state: ReceiveState
) -> None:
    if data:
        assert receiving.send(data) is None
    assert state_of(receiving.receiver) is state
    receiving.receiver.stop()
    assert (state_of(receiving.receiver), receiving.receiver.request) == (AHEAD, None)
    assert receiving.deadline() is None
    assert receiving.send(GET % b"") is None


def test_a_late_request_is_answered_by_its_method_and_version(receiving: Receiving) -> None:
    receiving.send(POST % 5 + b"12")
    answer = receiving.receiver.late_response()
    assert (answer.status, answer.method, answer.version) == ("408 Request Timeout", "POST", "1.1")


def test_what_comes_after_a_late_request_is_only_counted(make: Any) -> None:
    receiving = make(recv_bytes=100)
    receiving.send(b"GET / HT")
    receiving.receiver.late_response()
    receiving.receiver.stop()
    assert receiving.send(b"TP/1.1\r\n") is None
    assert receiving.send(b"x" * 92) is PAUSE


# --- the end of input


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", None), (b"\r\n", None), (b"GET / HT", 400), (POST % 5 + b"1234", 400)],
    ids=["idle", "empty-line", "head", "body"],
)
def test_half_a_request_is_refused_and_an_idle_connection_closed(
    receiving: Receiving, data: bytes, status: int | None
) -> None:
    if data:
        assert receiving.send(data) is None
    outcome = receiving.send(END)
    assert receiving.receiver.state is ENDED
    assert receiving.deadline() is None
    if status is None:
        assert outcome is CLOSE
    else:
        assert status_of(outcome) == status


def test_an_end_behind_a_request_is_not_watched_for(receiving: Receiving) -> None:
    receiving.send_request(GET % b"")
    assert receiving.send(END) is PAUSE
    assert receiving.receiver.state is ENDED


def test_the_end_of_input_is_reported_once_however_often_it_is_read(receiving: Receiving) -> None:
    receiving.send(b"GET / HT")
    assert status_of(receiving.send(END)) == 400
    receiving.receiver.stop()
    assert receiving.send(END) is PAUSE
    assert receiving.receiver.state is ENDED


def test_complete_requests_are_answered_after_the_end_of_input(receiving: Receiving) -> None:
    receiving.send_request(GET % b"1" + GET % b"2" + POST % 2 + b"12" + b"GET")
    assert receiving.send(END) is PAUSE
    assert receiving.next_request().head.path == "/2"
    assert receiving.next_request().open_body().read() == b"12"
    assert receiving.receiver.state is ENDED
    assert receiving.deadline() is None
    assert status_of(receiving.receiver.go_on()) == 400


def test_an_empty_line_before_the_end_of_input_is_no_request(receiving: Receiving) -> None:
    receiving.send_request(GET % b"" + b"\r\n")
    assert receiving.send(END) is PAUSE
    assert receiving.receiver.go_on() is CLOSE


def test_half_a_body_read_ahead_has_no_deadline_after_the_end_of_input(receiving: Receiving) -> None:
    receiving.send_request(GET % b"" + POST % 5 + b"123")
    assert receiving.send(END) is PAUSE
    assert status_of(receiving.receiver.go_on()) == 400
    assert receiving.receiver.state is ENDED
    assert receiving.deadline() is None


# --- lingering


def test_what_comes_while_lingering_is_discarded_up_to_a_bound(
    receiving: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiving.send_request(GET % b"")
    receiving.receiver.enter(LINGER, receiving.reactor.now)
    monkeypatch.setattr(module, "LINGER_BYTES", 1000)
    assert receiving.send(bytes(1000)) is None
    assert receiving.receiver._parser is None
    assert receiving.send(b"x") is CLOSE


def test_lingering_ends_with_the_clients_output(receiving: Receiving) -> None:
    receiving.send_request(GET % b"")
    receiving.receiver.enter(LINGER, receiving.reactor.now)
    assert receiving.send(END) is CLOSE
    assert receiving.receiver.state is ENDED


# --- deadlines


def test_each_state_arms_its_deadline_and_disarms_the_one_before(make: Any) -> None:
    receiving = make(channel_timeout=11, request_head_timeout=12, linger_timeout=13)
    receiver, now = receiving.receiver, receiving.reactor.now
    assert receiving.deadline() == (11, now)
    expected = {HEAD: (12, 5.0), BODY: (1.0, 5.0), AHEAD: None, LINGER: (13, 5.0), ENDED: None}
    for state, deadline in expected.items():
        receiver.enter(state, 5.0)
        assert (receiver.state, receiving.deadline()) == (state, deadline)


def test_a_head_that_drips_keeps_the_deadline_of_its_first_byte(make: Any) -> None:
    receiving = make(request_head_timeout=12)
    since = receiving.reactor.now
    for byte in b"GET / HT":
        assert receiving.send(bytes([byte])) is None
        receiving.pass_seconds(1)
    assert receiving.deadline() == (12, since)


def test_the_rate_of_a_body_is_that_of_the_settings(make: Any) -> None:
    receiving = make(request_body_timeout=5, request_body_rate=10)
    receiving.pass_seconds(100)
    receiving.send(POST % 100_000)
    for _ in range(20):
        receiving.pass_seconds(1)
        assert receiving.send(b"x" * 10) is None
        assert not receiving.receiver.is_too_slow()
    for _ in range(4):
        receiving.pass_seconds(1)
        assert not receiving.receiver.is_too_slow()
    receiving.pass_seconds(1)
    assert receiving.receiver.is_too_slow()


def test_each_body_has_its_own_rate(make: Any) -> None:
    receiving = make(request_body_timeout=5, request_body_rate=10)
    receiving.send(POST % 2)
    receiving.pass_seconds(4)
    assert not receiving.receiver.is_too_slow()
    receiving.send_request(b"12" + POST % 5)
    receiving.pass_seconds(100)
    assert receiving.receiver.go_on() is None
    for _ in range(4):
        receiving.pass_seconds(1)
        assert not receiving.receiver.is_too_slow()
    receiving.pass_seconds(1)
    assert receiving.receiver.is_too_slow()


# --- the end of the connection


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HT", POST % 5 + b"12", GET % b"", GET % b"" + GET % b""],
    ids=["idle", "head", "body", "ahead", "pipelined"],
)
def test_the_end_of_the_connection_drops_what_is_arriving(
    receiving: Receiving, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[OverflowBuffer] = []
    monkeypatch.setattr(OverflowBuffer, "close", lambda buffer: closed.append(buffer))
    if data:
        receiving.send(data)
    request = receiving.receiver.request
    for _ in range(2):  # any number of times
        receiving.receiver.end()
        assert (receiving.receiver.state, receiving.receiver.request) == (ENDED, None)
        assert receiving.deadline() is None
    assert len(closed) == (0 if request is None else 1)
