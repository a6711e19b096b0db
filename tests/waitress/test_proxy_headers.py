"""The proxy middleware by its old names."""

import logging
from typing import Any

import pytest

from waitress.proxy_headers import (
    PROXY_HEADERS,
    MalformedProxyHeader,
    clear_untrusted_headers,
    parse_proxy_headers,
    proxy_headers_middleware,
    strip_brackets,
)

own_logger = logging.getLogger("tests.proxy")


def ask(environ: dict[str, str], **arguments: Any) -> tuple[list[Any], dict[str, Any] | None, bytes]:
    """Call the middleware; return what it answered, and what the application saw, if it was called."""
    said: list[Any] = []
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(dict(environ))
        start_response("200 OK", [])
        return [b"tea"]

    middleware = proxy_headers_middleware(application, **arguments)
    body = b"".join(middleware({"REMOTE_ADDR": "10.0.0.1", **environ}, lambda *words: said.append(words)))  # type: ignore[arg-type]  # no write callable
    return said, seen[0] if seen else None, body


def test_by_default_nothing_is_trusted_and_all_is_cleared() -> None:
    assert ask({"HTTP_X_FORWARDED_FOR": "1.1.1.1"})[1] == {"REMOTE_ADDR": "10.0.0.1"}
    kept = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1"}
    assert ask({"HTTP_X_FORWARDED_FOR": "1.1.1.1"}, clear_untrusted=False)[1] == kept


def test_a_trusted_proxy_is_believed() -> None:
    environ = {"HTTP_X_FORWARDED_FOR": "1.1.1.1, 2.2.2.2", "HTTP_FORWARDED": "for=3.3.3.3"}
    seen = ask(environ, trusted_proxy="10.0.0.1", trusted_proxy_count=2, trusted_proxy_headers={"x-forwarded-for"})[1]
    assert seen is not None
    assert seen["REMOTE_ADDR"] == "1.1.1.1"
    assert "HTTP_FORWARDED" not in seen


def test_a_malformed_header_is_answered_400_and_told_to_the_given_logger(caplog: pytest.LogCaptureFixture) -> None:
    said, seen, body = ask(
        {"HTTP_X_FORWARDED_PROTO": "ftp"},
        trusted_proxy="*",
        trusted_proxy_headers={"x-forwarded-proto"},
        logger=own_logger,
    )
    assert said[0][0] == "400 Bad Request"
    assert seen is None
    assert b'Header "X-Forwarded-Proto" malformed.' in body
    assert [record.name for record in caplog.records] == [own_logger.name]


def test_what_is_not_trusted_is_given() -> None:
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_HOST": "h:81", "wsgi.url_scheme": "http"}
    assert parse_proxy_headers(environ, 1, {"x-forwarded-host"}) == PROXY_HEADERS - {"X_FORWARDED_HOST"}
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("h", "81")


def test_a_malformed_header_is_raised() -> None:
    with pytest.raises(MalformedProxyHeader) as raised:
        parse_proxy_headers({"HTTP_FORWARDED": "for"}, 1, {"forwarded"})
    assert (raised.value.header, raised.value.value) == ("Forwarded", "for")


def test_headers_are_cleared_by_their_names(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"HTTP_FORWARDED": "for=a", "HTTP_X_FORWARDED_FOR": "b"}
    clear_untrusted_headers(environ, {"FORWARDED"}, log_warning=True, logger=own_logger)
    assert environ == {"HTTP_X_FORWARDED_FOR": "b"}
    assert "Removed untrusted headers (Forwarded)" in caplog.text


@pytest.mark.parametrize(("address", "plain"), [("[::1]", "::1"), ("::1", "::1"), ("1.2.3.4", "1.2.3.4")])
def test_brackets_are_taken_off(address: str, plain: str) -> None:
    assert strip_brackets(address) == plain
