"""Each decision of the page holds for a real server, whole and byte by byte, and for the parser in every cut.

Requests that are refused are tested by `test_malformed_requests`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.http.decisions import BEGIN, DECISIONS, END, PAGE, Decision, as_markdown
from tests.parser.helpers import parse_every_cut
from tests.support.rows import each_row
from tests.support.sending import WAYS_TO_SEND, Send
from tests.support.servers import Running, running
from waitress_parser.fields import IF_REPEATED

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
SERVED = [
    pytest.param(decision, decision.answer, id=re.sub(r"\W+", "-", decision.name.lower()).strip("-"))
    for decision in DECISIONS
    if isinstance(decision.answer, dict)
]
environs: list[dict[str, Any]] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environs.append({**environ, "body": environ["wsgi.input"].read().decode("latin-1")})
    start_response("200 OK", [("Content-Length", "0")])
    return []


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(application) as server:
        yield server


@each_row("send", WAYS_TO_SEND)
@each_row(("decision", "answer"), SERVED)
def test_a_request_is_served_as_decided(
    decision: Decision, answer: dict[str, str], send: Send, server: Running
) -> None:
    environs.clear()
    with server.client() as client:
        send(client, decision.wire + NEXT)
        response = client.response()
        if b"100-continue" in decision.wire and response.status == 100:
            response = client.response()  # the server saw the head before the body
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


@each_row(("decision", "answer"), SERVED)
def test_a_served_request_is_parsed_in_every_cut(decision: Decision, answer: dict[str, str]) -> None:
    assert parse_every_cut(decision.wire).refusal is None


def test_the_page_shows_the_decisions() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, end, _ = rest.partition(END)
    assert end
    assert shown == as_markdown(), "to write it again: python -m tests.http.decisions"


def test_the_page_shows_what_becomes_of_each_repeated_field() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- repeated -->\n")
    shown: dict[str, str | None] = {}
    for row in rest.partition("<!-- end of repeated -->")[0].strip().splitlines()[2:]:
        names, answer = row.strip("| ").split(" | ")
        separator = None if answer.startswith("refused with 400") else answer.split("`")[1]
        shown |= dict.fromkeys(names.lower().split(", "), separator)
    assert shown == IF_REPEATED
