"""Response heads from cached templates. test_response has the tests of the content of a head."""

import pytest

from waitress_core.http import response_fields
from waitress_core.http import response_head as module
from waitress_core.http.response import Response
from waitress_core.http.response_head import HeaderTemplate


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "current_date", lambda: "now")
    module.TEMPLATES.clear()


def head(*headers: tuple[str, str], status: str = "200 OK", version: str = "1.1", ident: str | None = "x") -> bytes:
    response = Response(version, "GET", True, ident)
    response.start(status, headers)
    return response.make_head()


def test_the_next_head_of_the_same_names_has_its_own_values() -> None:
    names = ("Z", "Content-Length", "A", "a")
    for value in "12":
        sent = head(*[(name, value) for name in names])
        v = value.encode()
        assert sent == (
            b"HTTP/1.1 200 OK\r\nA: %b\r\nA: %b\r\nContent-Length: %b\r\nDate: now\r\nServer: x\r\nZ: %b\r\n\r\n"
            % (v, v, v, v)
        )
    assert list(module.TEMPLATES) == [names]


def test_a_template_does_not_keep_version_status_or_ident() -> None:
    assert head() == b"HTTP/1.1 200 OK\r\nDate: now\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert head(status="404 No") == b"HTTP/1.1 404 No\r\nDate: now\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert head(version="1.0") == b"HTTP/1.0 200 OK\r\nConnection: close\r\nDate: now\r\nServer: x\r\n\r\n"
    assert head(status="204 None") == b"HTTP/1.1 204 None\r\nDate: now\r\nServer: x\r\n\r\n"
    assert head(ident="y") == b"HTTP/1.1 200 OK\r\nDate: now\r\nServer: y\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert head() == b"HTTP/1.1 200 OK\r\nDate: now\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_names_in_another_order_have_another_template() -> None:
    assert head(("A", "1"), ("B", "2")) == head(("B", "2"), ("A", "1"))
    assert len(module.TEMPLATES) == 2


def test_names_that_are_refused_are_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(AssertionError, match="hop-by-hop"):
            head(("Connection", "close"))
    assert not module.TEMPLATES


def test_the_caches_are_bounded_and_full_ones_still_serve() -> None:
    for number in range(module.MAX_TEMPLATES + 10):
        assert f"X-{number}: 1\r\n".encode() in head((f"x-{number}", "1"))
    assert len(module.TEMPLATES) == module.MAX_TEMPLATES
    for number in range(module.MAX_PLANS + 10):
        assert f"Server: {number}\r\n".encode() in head(("x-1", "1"), ident=str(number))
    assert len(module.TEMPLATES[("x-1",)]._plans) == module.MAX_PLANS


def test_a_str_subclass_with_another_str_is_sent_as_it_was_checked() -> None:
    class Sly(str):
        def __str__(self) -> str:
            return "a\r\nX-Forged: 1"

        def __format__(self, _: str) -> str:
            return str(self)

    assert b"\r\nX: a\r\n" in head(("X", Sly("a")))


def test_a_template_knows_the_index_of_the_content_length() -> None:
    assert HeaderTemplate(("A", "content-length")).content_length_index == 1
    assert HeaderTemplate(("A",)).content_length_index == -1


def test_the_fields_that_applications_may_not_send_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_fields, "HOP_BY_HOP", response_fields.HOP_BY_HOP)  # given back afterwards
    head(("X-Tea", "1"))
    module.forbid(frozenset({"x-tea"}))
    with pytest.raises(AssertionError, match="hop-by-hop"):
        head(("X-Tea", "1"))
    assert b"\r\nConnection: upgrade\r\nDate" in head(("Connection", "upgrade"), version="1.0")
    names = set[str]()
    module.forbid(names)
    assert b"X-Tea" in head(("X-Tea", "1"))
    names.add("x-tea")
    with pytest.raises(AssertionError, match="hop-by-hop"):
        head(("X-Tea", "1"))
    module.TEMPLATES.clear()
