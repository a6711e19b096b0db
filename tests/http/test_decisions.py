"""Each decision of the table holds for a real server, whole and octet by octet, and for the parser in every cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.http.decisions import BEGIN, DECISIONS, END, MAX_BODY, MAX_HEAD, PAGE, Decision, as_markdown
from tests.parser.helpers import parse_every_cut
from tests.support.client import Client
from tests.support.servers import Running, running
from waitress_parser import Limits

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
environs: list[dict[str, Any]] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environs.append({**environ, "body": environ["wsgi.input"].read().decode("latin-1")})
    start_response("200 OK", [("Content-Length", "0")])
    return []


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(application, max_request_header_size=MAX_HEAD, max_request_body_size=MAX_BODY) as server:
        yield server


def send_whole(client: Client, data: bytes) -> None:
    client.send(data)


def send_by_octet(client: Client, data: bytes) -> None:
    try:
        for position in range(len(data)):
            client.send(data[position : position + 1])
    except ConnectionError:
        pass  # it has been refused; the answer can still be read


@pytest.mark.parametrize("send", [send_whole, send_by_octet])
@pytest.mark.parametrize("decision", [pytest.param(d, id=f"{d.topic}-{d.name}") for d in DECISIONS])
def test_a_decision(decision: Decision, send: Callable[[Client, bytes], None], server: Running) -> None:
    environs.clear()
    with server.client() as client:
        send(client, decision.wire + NEXT)
        response = client.response()
        if send is send_by_octet and b"100-continue" in decision.wire and response.status == 100:
            response = client.response()  # the body that was sent at once came later than the head
        answer = decision.answer
        if isinstance(answer, int):
            assert response.status == answer
            assert response.header("Connection") == "close"
            assert client.rest() == b""  # nothing behind it was looked at
            assert environs == []
            return
        assert response.status == 200
        first = environs[0]
        assert {key: first.get(key, "") for key in answer if key != "ends"} == {
            key: value for key, value in answer.items() if key != "ends"
        }
        ends = answer.get("ends", "yes" if first["SERVER_PROTOCOL"] == "HTTP/1.0" else "no") == "yes"
        assert (response.header("Connection") == "close") == ends
        if ends:
            assert client.rest() == b""
        else:
            assert client.response().status == 200
    assert [environ["PATH_INFO"] for environ in environs[1:]] == ([] if ends else ["/next"])


@pytest.mark.parametrize("decision", [pytest.param(d, id=f"{d.topic}-{d.name}") for d in DECISIONS])
def test_a_decision_does_not_depend_on_the_cut(decision: Decision) -> None:
    outcome = parse_every_cut(decision.wire, Limits(max_head_bytes=MAX_HEAD, max_body_bytes=MAX_BODY))
    status = None if outcome.refusal is None else outcome.refusal.status
    assert status == (decision.answer if isinstance(decision.answer, int) else None)


def test_the_page_shows_the_decisions() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, end, _ = rest.partition(END)
    assert end
    assert shown == as_markdown(), "to write it anew: python -m tests.http.decisions"
