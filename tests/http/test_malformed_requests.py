"""Every malformed request is refused by the parser in every cut, and by a server however its bytes arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.functional.applications import SECONDS, Recorder, errors_in, get
from tests.parser.helpers import Outcome, parse, parse_every_cut
from tests.support.client import Client, Response
from tests.support.malformed_requests import INCOMPLETE, LIMITS, MALFORMED, MAX_BODY_BYTES, SERVER_LIMITS, Row, post
from tests.support.rows import Rows
from tests.support.sending import WAYS_TO_SEND, Send, send_byte_by_byte, send_in_thirds, send_whole
from tests.support.servers import Running, running
from tests.support.times import shorten_ticks
from waitress_parser import IncompleteRequest, ProtocolError, TlsHandshake

NEVER = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 3000  # bytes; a larger request is not cut at every place
MOST_SENT_BY_BYTE = 6500
SENDS: list[Send] = [send_whole, send_in_thirds, send_byte_by_byte]
ERRORS = sorted({row.error for row in MALFORMED}, key=lambda error: error.__name__)
BAD_LINE = b"GET / HTTP/1.1\r\nBad line\r\n\r\n"


def test_each_malformed_request_and_each_id_is_in_the_table_once() -> None:
    assert len({row.id for row in MALFORMED}) == len(MALFORMED)
    assert len({row.wire for row in MALFORMED}) == len(MALFORMED)


def rows_of(error: type[ProtocolError]) -> list[Row]:
    return [row for row in MALFORMED if row.error is error]


every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))


# --- the parser


def parse_in_cuts(wire: bytes) -> Outcome:
    """Parse whole, byte by byte, and cut in two at many places: a large request is the same at most of them."""
    outcome = parse([wire], LIMITS)
    assert parse([wire[at : at + 1] for at in range(len(wire))], LIMITS) == outcome
    for at in [*range(1, 300), *range(300, len(wire) - 300, 23), *range(len(wire) - 300, len(wire))]:
        assert parse([wire[:at], wire[at:]], LIMITS) == outcome, at
    return outcome


@every_error
def test_the_parser_refuses_it_in_every_cut(error: type[ProtocolError]) -> None:
    with Rows() as rows:
        for row in rows_of(error):
            with rows.row(row.id):
                outcome = parse_every_cut(row.wire, LIMITS) if len(row.wire) < LARGE else parse_in_cuts(row.wire)
                assert outcome.refusal is not None
                assert (outcome.refusal.kind, outcome.refusal.status) == (error, error.status)
                assert all(message.trailers is None for message in outcome.messages), "a request was read to its end"


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in INCOMPLETE.items()])
def test_the_parser_refuses_an_incomplete_request_at_the_end_of_input(data: bytes) -> None:
    outcome = parse_every_cut(data, LIMITS, has_end=True)
    assert outcome.refusal is not None
    assert outcome.refusal.kind is IncompleteRequest


# --- a server


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def server(recorder: Recorder) -> Iterator[Running]:
    """One server for the whole table: no row does it any harm."""
    with running(recorder, threads=1, **SERVER_LIMITS) as server:
        yield server


def refusal(client: Client, data: bytes, send: Send) -> Response:
    """Send it, and read the one answer up to the end of the connection."""
    send(client, data)
    response = client.response("HEAD" if data.startswith(b"HEAD ") else "GET")
    assert client.rest() == b"", "there is more than one answer"
    return response


@pytest.mark.promise("S47", "S49", "S50", "S51", "S52", "S54", "S85", "S87")
@every_error
def test_a_server_refuses_it_and_reads_nothing_more(
    error: type[ProtocolError], server: Running, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with Rows() as rows:
        for row in rows_of(error):
            caplog.clear()
            with rows.row(row.id):
                assert_is_refused(row, server, recorder, caplog)


def assert_is_refused(row: Row, server: Running, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    expected = parse([row.wire], LIMITS).refusal
    assert expected is not None
    with server.client() as other:
        for send in SENDS if len(row.wire) <= MOST_SENT_BY_BYTE else SENDS[:-1]:
            recorder.environs.clear()
            with server.client() as client:
                response = refusal(client, row.wire + NEVER, send)
            assert response.version == f"HTTP/{expected.version}", send
            assert (response.status, response.reason) == (row.error.status, row.error.reason), send
            assert_is_an_error_page(response, "" if expected.method == "HEAD" else expected.detail)
            assert other.get("/other").status == 200, send
            assert recorder.paths == ["/other"], send
    about_tls = [text for text in errors_in(caplog.records) if "has started TLS on" in text]
    about_proxy = [text for text in errors_in(caplog.records) if "has sent a PROXY protocol header" in text]
    assert errors_in(caplog.records) == about_tls + about_proxy
    assert not about_tls or row.error is TlsHandshake
    assert not about_proxy or row.id.startswith("not-http-proxy-protocol")


def assert_is_an_error_page(response: Response, detail: str) -> None:
    """Hold that the page has this detail; "" means that there is no content."""
    assert [name for name, _ in response.headers] == ["Connection", "Content-Length", "Content-Type", "Date", "Server"]
    assert response.header("Connection") == "close"
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    page = f"{response.reason}\r\n\r\n{detail}\r\n\r\n(generated by waitress)" if detail else ""
    assert response.body.decode() == page


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in INCOMPLETE.items()])
@pytest.mark.promise("S51", "S52")
def test_a_server_does_not_run_an_incomplete_request(data: bytes, server: Running, recorder: Recorder) -> None:
    """At the end of input it is refused, or the connection is just closed."""
    recorder.environs.clear()
    with server.client() as client:
        client.send(data)
        client.end_output()
        answer = client.rest()
    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    with server.client() as other:
        assert other.get("/other").status == 200
    assert recorder.paths == ["/other"]


@pytest.mark.promise("S50")
@pytest.mark.parametrize("send", WAYS_TO_SEND)
def test_answers_that_are_due_come_before_the_refusal(send: Send, server: Running, recorder: Recorder) -> None:
    recorder.environs.clear()
    with server.client() as client:
        send(client, get(target="/first") + get(target="/second") + BAD_LINE + NEVER)
        assert [client.response().status for _ in range(3)] == [200, 200, 400]
        assert client.rest() == b""
    assert recorder.paths == ["/first", "/second"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(BAD_LINE, 400, id="refused"),
        pytest.param(post(b"Content-Length: %d" % (MAX_BODY_BYTES + 1)), 413, id="body-too-large"),
        pytest.param(get("Connection: close"), 200, id="answered"),
    ],
)
def test_the_last_answer_can_be_read_while_more_is_on_its_way(request_: bytes, status: int, server: Running) -> None:
    """It comes without a reset, which would overtake it, and the end comes with it: the best of a few attempts."""
    times: list[float] = []
    while not times or (min(times) > 1 and len(times) < 5):
        with server.client() as client:
            client.send(request_ + b"x" * 30_000)
            assert client.response().status == status
            started = time.monotonic()
            assert client.socket.recv(1) == b""
            times.append(time.monotonic() - started)
            # The server still reads and discards what the client has not yet stopped sending.
            client.send(b"x" * 20_000)
            time.sleep(0.05)
            client.send(b"x")
    assert min(times) < 1


def test_a_client_that_sends_on_after_its_last_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `linger_timeout`, however much or little it sends."""
    shorten_ticks(monkeypatch)

    def send_on(client: Client) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            client.send(b"x" * 1000)
            time.sleep(0.001)

    with running(Recorder(), linger_timeout=0.1) as server, server.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.response().status == 400
        with pytest.raises(ConnectionError):
            send_on(client)
