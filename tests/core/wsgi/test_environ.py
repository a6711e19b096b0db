"""The environ of a request: each key, as a string, and nothing that a client may not set."""

import io
import logging
import platform
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref import validate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.heads import head, parsed
from tests.parser.helpers import GET, HOST, processor_seconds, seconds
from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core import Adjustments
from waitress_core.http.request import Request
from waitress_core.wsgi import environ as module
from waitress_core.wsgi.environ import EnvironBuilder, new_environ_key, percent_decoded
from waitress_parser import Limits, RequestHead


def make(request_head: RequestHead, body: bytes = b"", /, **settings: Any) -> dict[str, Any]:
    request = Request(request_head)
    if body:
        request.append(body, 1 << 20)
    builder = EnvironBuilder(Adjustments(listen="127.0.0.1:0", **settings), "8080", settings.get("url_scheme", "http"))
    return builder.build(request, "192.0.2.1", "54321", lambda: False)


def environ(target: str = "/", /, *fields: str, **settings: Any) -> dict[str, Any]:
    return make(head(target, *fields), **settings)


@pytest.mark.promise("S43")
def test_the_environ_of_a_plain_request() -> None:
    made = environ("/a/b?c=d")
    body, errors, file_wrapper, disconnected = (
        made.pop(key) for key in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "waitress.client_disconnected")
    )
    assert made == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d",
        "REQUEST_URI": "/a/b?c=d",
        "SERVER_NAME": "waitress.invalid",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "waitress",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_HOST": "192.0.2.1",
        "REMOTE_PORT": "54321",
        "HTTP_HOST": "example.org",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert body.read() == b""
    assert errors is sys.stderr
    assert file_wrapper is ReadOnlyFileBuffer
    assert disconnected() is False


@each_row("version", ["1.0", "1.1"])
@each_row("method", ["GET", "POST", "HEAD", "PATCH"])
@each_row("ident", ["waitress", ""])
def test_the_checker_of_the_standard_library_accepts_it(version: str, method: str, ident: str) -> None:
    made = make(head("/a%20b?c", "X-Y: z", "Content-Length: 2", method=method, version=version), b"ab", ident=ident)
    validate.check_environ(made)  # type: ignore[attr-defined]
    assert made["REQUEST_METHOD"] == method
    assert all(type(value) is str for key, value in made.items() if "." not in key)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X-One: 1"], {"HTTP_X_ONE": "1"}),
        (["x-one:  1 \t"], {"HTTP_X_ONE": "1"}),
        (["X-One: 1", "x-ONE: 2", "X-One: 3"], {"HTTP_X_ONE": "1, 2, 3"}),
        (["X_One: 1"], {}),
        (["X-One: 1", "X_One: 2"], {"HTTP_X_ONE": "1"}),
        (["Content_Length: 5", "Transfer_Encoding: x"], {}),
        (["X-One: \xe4\xff"], {"HTTP_X_ONE": "\xe4\xff"}),
        (["X-One:"], {"HTTP_X_ONE": ""}),
        (["Connection: close"], {"HTTP_CONNECTION": "close"}),
        (["Content-Type: text/plain"], {"CONTENT_TYPE": "text/plain"}),
        (["Cookie: a=b", "Cookie: c=d"], {"HTTP_COOKIE": "a=b; c=d"}),
        (["Proxy: evil"], {"HTTP_PROXY": "evil"}),
        (["Wsgi.Input: x"], {"HTTP_WSGI.INPUT": "x"}),
        (["Remote-Addr: x"], {"HTTP_REMOTE_ADDR": "x"}),
    ],
    ids=short_id,
)
@pytest.mark.promise("S45", "S46", "S47")
def test_fields_become_keys(fields: list[str], expected: dict[str, str]) -> None:
    without = environ()
    for _ in range(2):  # the second time from the cache
        made = environ("/", *fields)
        assert {key: value for key, value in made.items() if key not in without} == expected
        assert made["REMOTE_ADDR"] == without["REMOTE_ADDR"]


@pytest.mark.promise("S22")
@pytest.mark.parametrize(
    ("target", "expected"), [("/", "example.org"), ("http://other.example:81/x", "other.example:81")]
)
def test_the_authority_of_the_target_replaces_the_host_field(target: str, expected: str) -> None:
    assert environ(target)["HTTP_HOST"] == expected


def test_a_request_without_host_has_no_http_host() -> None:
    assert "HTTP_HOST" not in make(parsed(b"GET / HTTP/1.0\r\n\r\n"))


@pytest.mark.promise("S51", "S52")
def test_a_chunked_body_has_its_decoded_length_and_no_coding() -> None:
    made = make(head("/", "Transfer-Encoding: chunked", method="POST"), b"12345")
    assert made["CONTENT_LENGTH"] == "5"
    assert made["wsgi.input"].read() == b"12345"
    assert not [key for key in made if "TRANSFER_ENCODING" in key]


def test_a_body_with_a_length_keeps_the_length_as_sent() -> None:
    made = make(head("/", "Content-Length: 05", method="POST"), b"12345")
    assert made["CONTENT_LENGTH"] == "05"
    assert "HTTP_CONTENT_LENGTH" not in made


@pytest.mark.promise("S25", "S28", "S29", "S44")
@each_row(
    ("prefix", "target", "path_info"),
    [
        ("", "/", "/"),
        ("", "/a//b/../c;d+e", "/a//b/../c;d+e"),
        ("", "//a", "/a"),
        ("", "////a//b", "/a//b"),
        ("", "/%2f%2fa", "/a"),
        ("", "/%E2%99%A5", "/\xe2\x99\xa5"),
        ("", "/%2541", "/%41"),
        ("", "/%c3%A9", "/\xc3\xa9"),
        ("", "/%/%4/%zz/%%41", "/%/%4/%zz/%A"),
        ("", "/%zz%4", "/%zz%4"),
        ("", "/a%00b", "/a\x00b"),
        ("", "/a#frag", "/a"),
        ("", "http://x", "/"),
        ("", "http://x/y", "/y"),
        ("/foo", "/foo", ""),
        ("/foo", "/foo/", "/"),
        ("/foo", "/foo/bar", "/bar"),
        ("/foo", "/%66oo/bar", "/bar"),
        ("/foo", "//foo/bar", "/bar"),
        ("/foo", "/foobar", "/foobar"),
        ("/foo", "/other", "/other"),
        ("/", "/foo", "/foo"),
        ("/a b", "/a%20b/c", "/c"),
        ("/a+b", "/a+b/c", "/c"),
        ("/100%", "/100%25/c", "/c"),
    ],
)
def test_the_path_is_decoded_once_and_the_prefix_taken_off(prefix: str, target: str, path_info: str) -> None:
    made = environ(target, url_prefix=prefix)
    assert made["PATH_INFO"] == path_info
    assert made["SCRIPT_NAME"] == prefix.rstrip("/")
    assert made["REQUEST_URI"] == target


@given(st.text(st.sampled_from("%%%%4aFg=_ \n\r\\\xe9") | st.characters(max_codepoint=255), max_size=30))
def test_a_path_is_decoded_as_urllib_decodes_it(path: str) -> None:
    assert percent_decoded(path) == unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


@pytest.mark.skipif(platform.python_implementation() != "CPython", reason="a compiler decides what costs how much")
@pytest.mark.parametrize("start", ["/", "/%"], ids=["", "stray"])
@pytest.mark.parametrize("unit", ["%41", "a%41", "=%41", "%", "%4", "%zz%41"])
def test_decoding_a_path_costs_no_more_than_three_times_parsing_an_ordinary_head(start: str, unit: str) -> None:
    path = start + unit * (Limits().max_request_line_bytes // len(unit))
    ordinary = GET + HOST + b"".join(b"X-Ordinary-%03d: %b\r\n" % (i, b"v" * 240) for i in range(999)) + b"\r\n"

    def is_cheap(runs: int) -> bool:
        decoding = processor_seconds(lambda: percent_decoded(path), runs=runs)
        return decoding <= 3 * seconds(ordinary, 8192, Limits(), runs=runs)

    assert any(is_cheap(runs) for runs in (3, 9, 27, 81))


@pytest.mark.parametrize(
    ("prefix", "target", "script_name", "path_info"),
    [
        ("/caf\xe9", "/caf%C3%A9/menu", "/caf\xc3\xa9", "/menu"),
        ("/caf\xe9", "/caf%c3%a9", "/caf\xc3\xa9", ""),
        ("/caf\xe9", "/caf%C3%A9s", "/caf\xc3\xa9", "/caf\xc3\xa9s"),
        ("/caf\xe9", "/caf%E9/menu", "/caf\xc3\xa9", "/caf\xe9/menu"),  # latin-1: another path
        (" caf\xe9/ ", "//caf%C3%A9/", "/caf\xc3\xa9", "/"),
        (
            "/\u65e5\u672c/\U0001f375",
            "/%E6%97%A5%E6%9C%AC/%F0%9F%8D%B5/x",
            "/\xe6\x97\xa5\xe6\x9c\xac/\xf0\x9f\x8d\xb5",
            "/x",
        ),
        ("/caf\udce9", "/caf%E9/menu", "/caf\xe9", "/menu"),  # a byte of the command line that is not UTF-8
    ],
    ids=ascii,
)
def test_a_prefix_is_text_and_script_name_its_utf_8_bytes_as_latin_1(
    prefix: str, target: str, script_name: str, path_info: str
) -> None:
    made = environ(target, url_prefix=prefix)
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == (script_name, path_info)
    validate.check_environ(made)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("prefix", "script_name"), [("", ""), ("/shop", "/shop")])
def test_options_of_the_whole_server_has_an_empty_path(prefix: str, script_name: str) -> None:
    made = make(head("*", method="OPTIONS"), url_prefix=prefix)
    assert (made["SCRIPT_NAME"], made["PATH_INFO"], made["REQUEST_URI"]) == (script_name, "", "*")
    validate.check_environ(made)  # type: ignore[attr-defined]
    assert environ("/*")["PATH_INFO"] == "/*"


@pytest.mark.parametrize(("target", "query"), [("/?", ""), ("/", ""), ("/?a=%20b?c", "a=%20b?c"), ("/?a#b", "a")])
def test_the_query_is_as_sent(target: str, query: str) -> None:
    assert environ(target)["QUERY_STRING"] == query


@pytest.mark.promise("S23", "S65")
@pytest.mark.parametrize(
    ("setting", "value", "key", "expected"),
    [
        ("url_scheme", "https", "wsgi.url_scheme", "https"),
        ("server_name", "www.example", "SERVER_NAME", "www.example"),
        ("ident", "x/1", "SERVER_SOFTWARE", "x/1"),
        ("ident", "", "SERVER_SOFTWARE", ""),
        ("ident", None, "SERVER_SOFTWARE", ""),
    ],
)
def test_settings_are_in_the_environ(setting: str, value: str | None, key: str, expected: str) -> None:
    assert make(head(), **{setting: value})[key] == expected


@pytest.mark.parametrize(("version", "expected"), [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("1.9", "HTTP/1.1")])
def test_the_protocol_is_one_of_two(version: str, expected: str) -> None:
    assert make(head(version=version))["SERVER_PROTOCOL"] == expected


def test_every_request_has_its_own_environ() -> None:
    builder = EnvironBuilder(Adjustments(listen="127.0.0.1:0"), "80", "http")
    first, second = (builder.build(Request(head()), "a", "1", lambda: False) for _ in range(2))
    first["SERVER_NAME"] = "changed"
    assert second["SERVER_NAME"] == "waitress.invalid"


def test_the_error_stream_is_the_current_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert environ()["wsgi.errors"] is stream


class Plain:
    """What PEP 3333 asks of such a stream, and no more."""

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...

    def writelines(self, lines: list[str]) -> None: ...


def test_any_open_stream_of_the_program_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Plain()
    monkeypatch.setattr(sys, "stderr", stream)
    assert environ()["wsgi.errors"] is stream


@pytest.mark.parametrize("is_closed", [False, True], ids=["none", "closed"])
def test_without_a_standard_error_what_is_written_is_logged(
    is_closed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if is_closed else None)
    errors = environ()["wsgi.errors"]
    print("no tea", file=errors)
    print("left", file=errors, end="", flush=True)
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("waitress.errors", "ERROR", "no tea"),
        ("waitress.errors", "ERROR", "left"),
    ]
    assert environ()["wsgi.errors"] is not errors  # requests that run at once do not mix their lines


def test_the_cache_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEYS", dict(module._KEYS))
    for name, is_kept in (("x-kept", True), ("y" * 64, True), ("y" * 65, False)):
        assert new_environ_key(name) == "HTTP_" + name.upper().replace("-", "_")
        assert (name in module._KEYS) is is_kept
    for number in range(3000):
        assert new_environ_key(f"x-{number}") == f"HTTP_X_{number}"
    assert len(module._KEYS) <= 1024


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the records about dropped fields, as of a new process."""
    monkeypatch.setattr(module, "_dropped_names", set())
    caplog.set_level(logging.INFO, "waitress")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_a_field_that_is_dropped_for_its_underscore_is_logged_once_a_name(dropped: Callable[[], list[str]]) -> None:
    for _ in range(3):
        environ("/", "X_Real_IP: 1", "x_real_ip: 2", "X-Real_IP: 1", "Transfer-Encoding: chunked", "X-Real-IP: 1")
    tail = "was dropped, as it could pose as x-real-ip: send it with hyphens. This is logged once for each name."
    assert dropped() == [f"INFO Field x_real_ip {tail}", f"INFO Field x-real_ip {tail}"]


def test_the_names_of_dropped_fields_that_are_logged_are_bounded(dropped: Callable[[], list[str]]) -> None:
    for number in range(1000):
        assert new_environ_key(f"x_{number}") is None
        assert new_environ_key(f"x_{'y' * 5000}{number}") is None
    records = dropped()
    assert len(records) == module._MAX_DROPPED_NAMES
    assert max(map(len, records)) < 400
    assert sum(map(len, module._dropped_names)) < 5000


def test_a_key_that_is_set_is_in_every_later_environ() -> None:
    builder = EnvironBuilder(Adjustments(listen="127.0.0.1:0"), "8080", "http")
    builder.offer("wsgi.file_wrapper", bytes)
    for _ in range(2):
        environ = builder.build(Request(head("/")), "192.0.2.1", "54321", lambda: False)
        assert environ["wsgi.file_wrapper"] is bytes
