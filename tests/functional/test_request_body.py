"""Request bodies: what the application reads, in any framing, and what is refused before the application is called."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Recorder, get, post, set_at_end
from tests.support.rows import each_row
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHUNKED = "Transfer-Encoding: chunked"
LARGE = bytes(range(256)) * 8192  # 2 MiB: beyond inbuf_overflow, and every buffer on the way


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


BODIES = [
    pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="S51-one-chunk"),
    pytest.param(b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world", id="S51-three-chunks"),
    pytest.param(b"0\r\n\r\n", b"", id="S51-empty"),
    pytest.param(b"b\r\nhello world\r\n0\r\n\r\n", b"hello world", id="S51-small-hex-digit"),
    pytest.param(b"B\r\nhello world\r\n0\r\n\r\n", b"hello world", id="S51-capital-hex-digit"),
    pytest.param(b"0000005\r\nhello\r\n000\r\n\r\n", b"hello", id="S51-leading-zeros"),
    pytest.param(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", id="S51-data-like-the-framing"),
    pytest.param(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", id="S51-data-like-the-end"),
    pytest.param(b"5;a\r\nhello\r\n0\r\n\r\n", b"hello", id="S51-extension"),
    pytest.param(b'5;a=b;c="d;\\"e"\r\nhello\r\n0;f\r\n\r\n', b"hello", id="S51-extensions-with-values"),
    pytest.param(b"5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n", b"hello", id="S51-trailer"),
    pytest.param(b"5\r\nhello\r\n0\r\nX: a\r\nY: b\r\n\r\n", b"hello", id="S51-trailers"),
    pytest.param(chunked(*[bytes([byte]) for byte in range(256)]), bytes(range(256)), id="S51-byte-chunks"),
    pytest.param(chunked(LARGE), LARGE, id="S51-large-chunk"),
    pytest.param(chunked(*[LARGE[at : at + 5000] for at in range(0, len(LARGE), 5000)]), LARGE, id="S51-many-chunks"),
]


@pytest.mark.parametrize(("sent", "body"), BODIES)
def test_a_chunked_body_is_read_decoded(sent: bytes, body: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(post(CHUNKED, body=sent) + get(target="/next"))
        assert [client.response().status for _ in range(2)] == [200, 200]
    assert recorder.bodies == [body, b""]
    assert recorder.paths == ["/", "/next"]
    environ = recorder.environs[0]
    assert environ["CONTENT_LENGTH"] == str(len(body))
    assert environ["wsgi.input_terminated"] is True
    assert "TRANSFER_ENCODING" not in environ
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert "HTTP_X_TRAILER" not in environ
    assert "CONTENT_LENGTH" not in recorder.environs[1]


@pytest.mark.promise("S51", "S52")
@pytest.mark.parametrize(
    ("sent", "body"), [parameter.values for parameter in BODIES[:-3]], ids=[str(p.id) for p in BODIES[:-3]]
)
def test_a_chunked_body_that_comes_byte_by_byte_is_read_the_same(sent: bytes, body: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        for byte in post(CHUNKED, body=sent):
            client.send(bytes([byte]))
        assert client.response().status == 200
        assert client.get("/next").status == 200
    assert recorder.bodies == [body, b""]
    assert recorder.environs[0]["CONTENT_LENGTH"] == str(len(body))


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 524_287, 524_288, 524_289, 2_000_000])
@pytest.mark.parametrize(
    "framing", [pytest.param("chunked", id="S52-chunked"), pytest.param("length", id="S52-content-length")]
)
def test_content_length_is_the_size_of_what_can_be_read(size: int, framing: str) -> None:
    body = LARGE[:size]
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        for _ in range(2):
            if framing == "chunked":
                client.send(post(CHUNKED, body=chunked(*([body] if body else []))))
            else:
                client.send(post(f"Content-Length: {size}", body=body))
            assert client.response().status == 200
    assert recorder.bodies == [body, body]
    assert [environ["CONTENT_LENGTH"] for environ in recorder.environs] == [str(size), str(size)]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "X-OWN"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.promise("S52")
def test_a_body_of_any_method_belongs_to_its_request(method: str, version: str) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        fields = "Host: localhost\r\nConnection: keep-alive\r\nContent-Length: 18"
        client.send(f"{method} / HTTP/{version}\r\n{fields}\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode())
        assert client.response(method).status == 200
        assert client.get("/next").status == 200
    assert recorder.bodies == [b"GET / HTTP/1.1\r\n\r\n", b""]


@pytest.mark.parametrize(
    "field",
    [
        pytest.param("Transfer-Encoding: ChUnKeD", id="S53-mixed"),
        pytest.param("Transfer-Encoding: CHUNKED", id="S53-capitals"),
        pytest.param("TRANSFER-ENCODING: chunked", id="S53-name-in-capitals"),
        pytest.param("transfer-encoding:Chunked", id="S53-name-in-small-letters"),
        pytest.param("Transfer-Encoding: \t chunked \t", id="S53-blanks"),
    ],
)
def test_the_coding_s_name_is_read_in_any_case(field: str) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(post(field, body=b"5\r\nhello\r\n0\r\n\r\n"))
        assert client.response().status == 200
    assert recorder.bodies == [b"hello"]
    assert "HTTP_TRANSFER_ENCODING" not in recorder.environs[0]


@pytest.mark.promise("S51", "S52")
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_the_application_is_called_when_the_whole_body_is_there(framing: str) -> None:
    """A client that sends slowly costs no thread: the only one serves others meanwhile."""
    recorder = Recorder()
    with running(recorder, threads=1) as server, server.client() as slow, server.client() as quick:
        if framing == "chunked":
            slow.send(post(CHUNKED, body=b"5\r\nhel"))
            rest = b"lo\r\n0\r\n\r\n"
        else:
            slow.send(post("Content-Length: 5", body=b"hel"))
            rest = b"lo"
        for _ in range(20):
            assert quick.get("/quick").status == 200
        slow.send(rest)
        assert slow.response().status == 200
    assert recorder.paths == ["/quick"] * 20 + ["/"]
    assert recorder.bodies[-1] == b"hello"


READS: list[Any] = [
    pytest.param(lambda file: [file.read()], [b"ab\ncd\n\nef"], id="read"),
    pytest.param(lambda file: [file.read(-1)], [b"ab\ncd\n\nef"], id="read-minus-1"),
    pytest.param(
        lambda file: [file.read(4), file.read(100), file.read(1)], [b"ab\nc", b"d\n\nef", b""], id="read-size"
    ),
    pytest.param(
        lambda file: [file.readline() for _ in range(5)], [b"ab\n", b"cd\n", b"\n", b"ef", b""], id="readline"
    ),
    pytest.param(lambda file: [file.readline(2), file.readline()], [b"ab", b"\n"], id="readline-size"),
    pytest.param(lambda file: file.readlines(), [b"ab\n", b"cd\n", b"\n", b"ef"], id="readlines"),
    pytest.param(lambda file: list(file), [b"ab\n", b"cd\n", b"\n", b"ef"], id="iteration"),
    pytest.param(lambda file: [file.seek(3), file.read(2), file.tell()], [3, b"cd", 5], id="seek"),
]


@pytest.mark.promise("S51")
@each_row(("read", "expected"), READS)
@each_row("framing", ["chunked", "length"])
@each_row("inbuf_overflow", [1, 524_288], ids=["on-disk", "in-memory"])
def test_the_input_is_a_file(
    read: Callable[[Any], list[Any]], expected: list[Any], framing: str, inbuf_overflow: int
) -> None:
    """It ends where the body ends, and never waits for more; the next request is behind it on the connection."""
    body = b"ab\ncd\n\nef"
    results: list[Any] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            results.append(read(environ["wsgi.input"]))
        else:
            results.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"ok"]

    with running(application, inbuf_overflow=inbuf_overflow) as server, server.client() as client:
        if framing == "chunked":
            client.send(post(CHUNKED, body=chunked(body)) + get())
        else:
            client.send(post(f"Content-Length: {len(body)}", body=body) + get())
        assert [client.response().status for _ in range(2)] == [200, 200]
    assert results == [expected, b""]


@pytest.mark.promise("S51")
def test_a_body_that_is_not_read_does_not_become_the_next_request() -> None:
    called: list[str] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        environ["wsgi.input"].read(3)
        start_response("200 OK", [])
        return [b"ok"]

    with running(application) as server, server.client() as client:
        client.send(post(CHUNKED, body=chunked(get(target="/smuggled"))))
        client.send(post(f"Content-Length: {len(LARGE)}", body=LARGE))
        client.send(get(target="/next"))
        assert [client.response().status for _ in range(3)] == [200, 200, 200]
    assert called == ["/", "/", "/next"]


@pytest.mark.promise("S51", "S52")
def test_uploads_at_one_time_do_not_mix() -> None:
    """Bodies that arrive in turns, one in memory, one in a file."""
    digests: dict[str, str] = {}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        digests[environ["PATH_INFO"]] = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
        start_response("200 OK", [])
        return [b"ok"]

    bodies = {f"/{number}": os.urandom(size) for number, size in enumerate([10, 300_000, 700_000, 1_500_000])}
    with running(application) as server:
        clients = {path: server.client() for path in bodies}
        for path, client in clients.items():
            client.send(f"PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(bodies[path])}\r\n\r\n".encode())
        for at in range(0, 1_500_000, 40_000):
            for path, client in clients.items():
                client.send(bodies[path][at : at + 40_000])
        for client in clients.values():
            assert client.response().status == 200
            client.close()
    assert digests == {path: hashlib.sha256(body).hexdigest() for path, body in bodies.items()}


EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param([EXPECT, "Content-Length: 5"], b"hello", id="S55-content-length"),
        pytest.param([EXPECT, CHUNKED], b"5\r\nhello\r\n0\r\n\r\n", id="S55-chunked"),
        pytest.param(["Expect: 100-CONTINUE", "Content-Length: 5"], b"hello", id="S55-in-capitals"),
        pytest.param(["expect:100-Continue ", "Content-Length: 5"], b"hello", id="S55-blanks"),
    ],
)
def test_a_client_that_waits_is_told_to_continue(fields: list[str], body: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        for _ in range(3):
            client.send(post(*fields))
            interim = client.response()
            assert interim.raw == CONTINUE
            client.send(body)
            final = client.response()
            assert (final.status, final.body) == (200, b"ok")
        client.send(post(*fields, "Connection: close"))
        assert client.response().raw == CONTINUE
        client.send(body)
        final = client.response()
        assert (final.status, final.header("Connection")) == (200, "close")
        assert client.rest() == b""
    assert recorder.bodies == [b"hello"] * 4


@pytest.mark.promise("S55")
def test_the_application_is_not_called_before_the_body_that_is_waited_for() -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(post(EXPECT, "Content-Length: 5"))
        assert client.response().status == 100
        assert recorder.paths == []
        client.send(b"hel")
        with server.client() as other:
            assert other.get("/other").status == 200
        assert recorder.paths == ["/other"]
        client.send(b"lo")
        assert client.response().status == 200


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post(EXPECT, "Content-Length: 5", body=b"hello"), id="S55-body-is-there"),
        pytest.param(post(EXPECT, CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"), id="S55-chunked-body-is-there"),
        pytest.param(get(EXPECT), id="S55-no-body"),
        pytest.param(post(EXPECT, "Content-Length: 0"), id="S55-empty-body"),
        pytest.param(post(EXPECT, "Content-Length: 5", body=b"hello", version="1.0"), id="S55-http-1.0"),
    ],
)
def test_a_client_that_need_not_wait_is_answered_at_once(request_: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(request_)
        assert client.response().status == 200
        if b"HTTP/1.1" in request_:
            assert client.get("/next").status == 200
            assert "HTTP_EXPECT" not in recorder.environs[1]
        else:
            assert client.rest() == b""


@pytest.mark.promise("S55")
def test_an_http10_client_that_waits_for_nothing_is_sent_nothing() -> None:
    """RFC 9110 10.1.1: the expectation of HTTP/1.0 is ignored."""
    with running(Recorder()) as server, server.client() as client:
        client.send(post(EXPECT, "Content-Length: 5", version="1.0"))
        with server.client() as other:  # once this is answered, the head before it has been read
            assert other.get("/other").status == 200
        client.send(b"hello")
        assert client.rest().startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.mark.promise("S55")
def test_a_body_that_has_started_needs_no_continue() -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(post(EXPECT, "Content-Length: 5", body=b"he"))
        with server.client() as other:
            assert other.get("/other").status == 200
        client.send(b"llo")
        assert client.response().status == 200
    assert recorder.bodies[-1] == b"hello"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(post(EXPECT, "Content-Length: 2000"), 413, id="S55-too-large"),
        pytest.param(post(EXPECT, "Content-Length: x"), 400, id="S55-bad-length"),
        pytest.param(post(EXPECT, "Transfer-Encoding: gzip"), 501, id="S55-unknown-coding"),
        pytest.param(post(EXPECT, CHUNKED, "Content-Length: 5"), 400, id="S55-two-lengths"),
        pytest.param(post("Expect: something", "Content-Length: 5"), 417, id="S55-unknown-expectation"),
        pytest.param(get("Expect: something"), 417, id="S55-unknown-expectation-without-body"),
        pytest.param(post("Expect: 100-continue, x", "Content-Length: 5"), 417, id="S55-one-of-two-unknown"),
    ],
)
def test_what_will_not_be_served_is_refused_before_its_body(request_: bytes, status: int) -> None:
    recorder = Recorder()
    with running(recorder, max_request_body_size=1000) as server, server.client() as client:
        client.send(request_)
        response = client.response()
        assert response.status == status
        assert response.header("Connection") == "close"
        assert client.rest() == b""
    assert recorder.paths == []


@pytest.mark.promise("S55", "S42")
def test_continue_waits_for_the_response_before_it() -> None:
    may_end = threading.Event()
    recorder = Recorder()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            assert may_end.wait(SECONDS)
        return recorder(environ, start_response)

    with running(application) as server, set_at_end(may_end), server.client() as client:
        client.send(get(target="/slow") + post(EXPECT, "Content-Length: 5"))
        with server.client() as other:
            assert other.get("/other").status == 200
        may_end.set()
        assert client.response().status == 200
        assert client.response().raw == CONTINUE
        client.send(b"hello")
        assert client.response().status == 200
    assert recorder.bodies[-1] == b"hello"


def head_of(size: int) -> bytes:
    """Write a request with a head, empty line included, of that size."""
    return get("X: " + "a" * (size - len(get("X: "))))


@pytest.mark.parametrize("limit", [200, 8192, 20_000, 262_144])
@pytest.mark.promise("S85")
def test_a_head_of_exactly_the_limit_is_read_and_one_byte_more_is_431(limit: int) -> None:
    recorder = Recorder()
    with running(recorder, max_request_header_size=limit) as server, server.client() as client:
        for _ in range(2):
            client.send(head_of(limit))
            assert client.response().status == 200
        client.send(head_of(limit + 1))
        response = client.response()
        assert (response.status, response.reason) == (431, "Request Header Fields Too Large")
        assert response.header("Connection") == "close"
        assert client.rest() == b""
    assert len(recorder.paths) == 2


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", id="S85-one-value"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n", id="S85-one-name"),
    ],
)
def test_a_head_without_end_is_cut_off_at_the_limit(start: bytes) -> None:
    recorder = Recorder()
    with running(recorder, max_request_header_size=10_000) as server, server.client() as client:
        client.send(start + b"a" * 10_000)
        assert client.response().status == 431
        assert client.rest() == b""
    assert recorder.paths == []


@pytest.mark.promise("S85")
def test_fields_without_end_are_cut_off_at_the_limit() -> None:
    with running(Recorder(), max_request_header_size=10_000) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 2000)
        assert client.response().status == 431


@pytest.mark.promise("S85")
def test_a_target_without_end_is_cut_off_at_the_limit() -> None:
    with running(Recorder(), max_request_header_size=10_000) as server, server.client() as client:
        client.send(b"GET /" + b"a" * 20_000)
        assert client.response().status in (414, 431)


@pytest.mark.promise("S85")
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_of_exactly_the_limit_is_read(framing: str) -> None:
    recorder = Recorder()
    body = bytes(1000)
    with running(recorder, max_request_body_size=1000) as server, server.client() as client:
        for _ in range(2):
            if framing == "chunked":
                client.send(post(CHUNKED, body=chunked(*[b"\0"] * 1000)))  # the framing does not count
            else:
                client.send(post("Content-Length: 1000", body=body))
            assert client.response().status == 200
    assert recorder.bodies == [body, body]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post("Content-Length: 1001"), id="S85-said"),
        pytest.param(post("Content-Length: 1001", body=bytes(1001)), id="S85-said-and-sent"),
        pytest.param(post(f"Content-Length: {'9' * 100}"), id="S85-100-digits"),
        pytest.param(post(f"Content-Length: {'9' * 5000}"), id="S85-5000-digits"),
        pytest.param(post(CHUNKED, body=b"3e9\r\n"), id="S85-chunk-said"),
        pytest.param(post(CHUNKED, body=b"3e8\r\n" + bytes(1000) + b"\r\n1\r\n"), id="S85-second-chunk-said"),
        pytest.param(post(CHUNKED, body=b"3e8\r\n" + bytes(1000) + b"\r\n1\r\n\0\r\n"), id="S85-second-chunk"),
        pytest.param(get("Content-Length: 1001"), id="S85-of-get"),
    ],
)
def test_a_body_beyond_the_limit_is_413(request_: bytes) -> None:
    recorder = Recorder()
    with running(recorder, max_request_body_size=1000) as server, server.client() as client:
        client.send(request_)
        response = client.response()
        assert (response.status, response.reason) == (413, "Request Entity Too Large")
        assert response.header("Connection") == "close"
        assert client.rest() == b""
    assert recorder.paths == []


@pytest.mark.promise("S85")
def test_a_client_that_sends_all_of_a_refused_body_can_read_the_answer() -> None:
    """Closing with unread input would reset the connection, and take the answer with it."""
    with running(Recorder(), max_request_body_size=1000) as server:
        for _ in range(10):
            with server.client() as client:
                client.send(post("Content-Length: 50000", body=bytes(50_000)))
                assert client.response().status == 413
                client.end_output()
                assert client.rest() == b""


@pytest.mark.promise("S85")
def test_the_limit_of_the_body_is_1_gib_by_default() -> None:
    with running(Recorder()) as server, server.client() as client:
        client.send(post(EXPECT, f"Content-Length: {1 << 30}"))
        assert client.response().status == 100
        with server.client() as other:
            other.send(post(EXPECT, f"Content-Length: {(1 << 30) + 1}"))
            assert other.response().status == 413


@pytest.mark.promise("S85")
def test_trailers_are_limited_like_a_head() -> None:
    recorder = Recorder()
    with running(recorder, max_request_header_size=1000) as server, server.client() as client:
        client.send(post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 1000))
        assert client.response().status in (400, 431)
        assert client.rest() == b""
    assert recorder.paths == []
