"""The environ that an application gets: what it has of the request, of the settings and of the server."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest

from tests.functional.applications import Recorder, answering, environ_of, get
from tests.support.rows import each_row
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@pytest.mark.parametrize(
    ("field", "host"),
    [
        pytest.param("Host: ext.example", "ext.example", id="S22-name"),
        pytest.param("Host: ext.example:8443", "ext.example:8443", id="S22-port"),
        pytest.param("Host: EXT.Example", "EXT.Example", id="S22-case"),
        pytest.param("host:ext.example", "ext.example", id="S22-no-blank"),
        pytest.param("Host: \t ext.example \t", "ext.example", id="S22-blanks"),
        pytest.param("Host: 192.0.2.7:81", "192.0.2.7:81", id="S22-ipv4"),
        pytest.param("Host: [2001:db8::7]:81", "[2001:db8::7]:81", id="S22-ipv6"),
    ],
)
def test_host_is_passed_through(field: str, host: str) -> None:
    environ = environ_of(f"GET / HTTP/1.1\r\n{field}\r\n\r\n".encode())
    assert environ["HTTP_HOST"] == host
    assert environ["SERVER_NAME"] == "waitress.invalid"


@pytest.mark.promise("S22")
def test_the_authority_of_an_absolute_target_replaces_host() -> None:
    environ = environ_of(b"GET http://ext.example:8000/a?b HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert environ["HTTP_HOST"] == "ext.example:8000"
    assert environ["PATH_INFO"] == "/a"
    assert environ["QUERY_STRING"] == "b"


@pytest.mark.promise("S22")
def test_without_host_in_http10_there_is_none_in_environ() -> None:
    assert "HTTP_HOST" not in environ_of(b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.promise("S22")
def test_server_name_is_the_setting_and_server_port_the_listener() -> None:
    recorder = Recorder()
    with running(recorder, server_name="www.example") as server, server.client() as client:
        client.get("/")
        client_port = client.socket.getsockname()[1]
    environ = recorder.environs[0]
    assert environ["SERVER_NAME"] == "www.example"
    assert environ["SERVER_PORT"] == str(server.address[1])
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_HOST"] == "127.0.0.1"
    assert environ["REMOTE_PORT"] == str(client_port)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        pytest.param({}, "http", id="S23-default"),
        pytest.param({"url_scheme": "https"}, "https", id="S23-https"),
        pytest.param({"url_scheme": "http"}, "http", id="S23-http"),
    ],
)
@pytest.mark.parametrize("target", ["/", "http://localhost/", "https://localhost/"])
def test_url_scheme_is_what_the_setting_says(settings: dict[str, Any], scheme: str, target: str) -> None:
    assert environ_of(get(target=target), **settings)["wsgi.url_scheme"] == scheme


TRUSTED = {"trusted_proxy_headers": "x-forwarded-proto"}


@pytest.mark.plain
@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        pytest.param({"trusted_proxy": "127.0.0.1", **TRUSTED}, "https", id="S24-trusted"),
        pytest.param({"trusted_proxy": "*", **TRUSTED}, "https", id="S24-any"),
        pytest.param({"trusted_proxy": "10.0.0.1 127.0.0.1", **TRUSTED}, "https", id="S24-list"),
        pytest.param({"trusted_proxy": "127.0.0.0/8", **TRUSTED}, "https", id="S24-network"),
        pytest.param({"trusted_proxy": "10.0.0.1", **TRUSTED}, "http", id="S24-another"),
        pytest.param({"trusted_proxy": "10.0.0.0/8", **TRUSTED}, "http", id="S24-another-network"),
        pytest.param({"trusted_proxy": "127.0.0.10", **TRUSTED}, "http", id="S24-another-with-same-beginning"),
        pytest.param(
            {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for"}, "http", id="S24-another-header"
        ),
        pytest.param({}, "http", id="S24-no-proxy"),
        pytest.param({"clear_untrusted_proxy_headers": False}, "http", id="S24-no-proxy-not-cleared"),
    ],
)
def test_only_a_trusted_proxy_sets_the_scheme(settings: dict[str, Any], scheme: str) -> None:
    assert environ_of(get("X-Forwarded-Proto: https"), **settings)["wsgi.url_scheme"] == scheme


@pytest.mark.plain
@pytest.mark.parametrize(
    ("trusted_proxy", "scheme"),
    [
        pytest.param("127.0.0.1", "https", id="S24-implicitly-trusted"),
        pytest.param("10.0.0.1", "http", id="S24-implicitly-another"),
    ],
)
def test_without_named_headers_the_scheme_is_trusted_with_a_warning(trusted_proxy: str, scheme: str) -> None:
    with pytest.warns(DeprecationWarning, match="Implicitly trusting X-Forwarded-Proto"):
        environ = environ_of(get("X-Forwarded-Proto: https"), trusted_proxy=trusted_proxy)
    assert environ["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize(
    ("value", "count", "scheme", "port"),
    [
        pytest.param("https", 1, "https", "443", id="S24-https"),
        pytest.param("HTTPS", 1, "https", "443", id="S24-case"),
        pytest.param("http", 1, "http", "80", id="S24-http"),
        pytest.param("https, http", 1, "http", "80", id="S24-last-of-two"),
        pytest.param("https, http", 2, "https", "443", id="S24-first-of-two"),
    ],
)
def test_the_scheme_of_the_proxy_comes_with_its_port(value: str, count: int, scheme: str, port: str) -> None:
    environ = environ_of(
        get(f"X-Forwarded-Proto: {value}"), trusted_proxy="127.0.0.1", trusted_proxy_count=count, **TRUSTED
    )
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["SERVER_PORT"] == port


@pytest.mark.promise("S24")
def test_a_scheme_of_the_proxy_that_is_neither_http_nor_https_is_refused() -> None:
    recorder = Recorder()
    with running(recorder, trusted_proxy="127.0.0.1", **TRUSTED) as server, server.client() as client:
        assert client.get("/", "X-Forwarded-Proto: gopher").status == 400
    assert recorder.paths == []


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        pytest.param({}, None, id="S24-cleared"),
        pytest.param({"clear_untrusted_proxy_headers": False}, "https", id="S24-kept"),
        pytest.param({"trusted_proxy": "10.0.0.1", **TRUSTED}, None, id="S24-another-cleared"),
        pytest.param({"trusted_proxy": "127.0.0.1", **TRUSTED}, "https", id="S24-trusted-kept"),
    ],
)
def test_an_untrusted_proxy_header_is_removed(settings: dict[str, Any], value: str | None) -> None:
    assert environ_of(get("X-Forwarded-Proto: https"), **settings).get("HTTP_X_FORWARDED_PROTO") == value


@each_row(
    ("prefix", "target", "script_name", "path_info"),
    [
        pytest.param("/foo", "/foo/bar", "/foo", "/bar", id="S25-stripped"),
        pytest.param("/foo", "/foo/bar/baz?a=/foo/b", "/foo", "/bar/baz", id="S25-stripped-once"),
        pytest.param("/foo", "/foo/foo/bar", "/foo", "/foo/bar", id="S25-twice-in-path"),
        pytest.param("/foo", "/foo/", "/foo", "/", id="S25-slash-left"),
        pytest.param("/foo", "/foo//bar", "/foo", "//bar", id="S25-inner-slashes"),
        pytest.param("/foo", "/other", "/foo", "/other", id="S25-other"),
        pytest.param("/foo", "/foobar", "/foo", "/foobar", id="S25-same-beginning"),
        pytest.param("/foo", "/a/foo/bar", "/foo", "/a/foo/bar", id="S25-not-at-beginning"),
        pytest.param("/foo", "/FOO/bar", "/foo", "/FOO/bar", id="S25-other-case"),
        pytest.param("/foo", "/%66oo/bar", "/foo", "/bar", id="S25-percent-encoded"),
        pytest.param("/foo", "//foo/bar", "/foo", "/bar", id="S25-leading-slashes-collapsed"),
        pytest.param("/foo", "http://localhost/foo/bar", "/foo", "/bar", id="S25-absolute-target"),
        pytest.param("/foo/bar", "/foo/bar/baz", "/foo/bar", "/baz", id="S25-two-segments"),
        pytest.param("/foo/bar", "/foo/baz", "/foo/bar", "/foo/baz", id="S25-half-of-two-segments"),
        pytest.param("foo", "/foo/bar", "/foo", "/bar", id="S25-no-slash"),
        pytest.param(" /foo ", "/foo/bar", "/foo", "/bar", id="S25-blanks"),
        pytest.param("", "/foo/bar", "", "/foo/bar", id="S25-empty"),
        pytest.param("/", "/foo/bar", "", "/foo/bar", id="S25-only-slash"),
        pytest.param("/foo/", "/foo/bar", "/foo", "/bar", id="S26-one-trailing"),
        pytest.param("/foo///", "/foo/bar", "/foo", "/bar", id="S26-several-trailing"),
        pytest.param("/foo/", "/foo", "/foo", "", id="S26-path-is-prefix"),
        pytest.param("//foo", "/foo/bar", "/foo", "/bar", id="S27-two-leading"),
        pytest.param("////foo//", "/foo/bar", "/foo", "/bar", id="S27-several-leading-and-trailing"),
        pytest.param("//foo//bar", "/foo//bar/baz", "/foo//bar", "/baz", id="S27-inner-slashes-stay"),
        pytest.param("/foo", "/foo", "/foo", "", id="S28-path-is-prefix"),
        pytest.param("/foo", "/foo?a=b", "/foo", "", id="S28-with-query"),
        pytest.param("/foo", "/foo#a", "/foo", "", id="S28-with-fragment"),
        pytest.param("/foo/bar", "/foo/bar", "/foo/bar", "", id="S28-two-segments"),
    ],
)
def test_url_prefix_goes_from_path_info_to_script_name(
    prefix: str, target: str, script_name: str, path_info: str
) -> None:
    environ = environ_of(get(target=target), url_prefix=prefix)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["REQUEST_URI"] == target


@pytest.mark.parametrize(
    ("target", "host", "query"),
    [
        pytest.param("http://h", "h", "", id="S29-nothing"),
        pytest.param("http://h?a=b", "h", "a=b", id="S29-query"),
        pytest.param("http://h#a", "h", "", id="S29-fragment"),
        pytest.param("http://h:81", "h:81", "", id="S29-port"),
        pytest.param("HTTP://h", "h", "", id="S29-scheme-in-capitals"),
        pytest.param("https://h", "h", "", id="S29-https"),
        pytest.param("http://[::1]:81", "[::1]:81", "", id="S29-ipv6"),
        pytest.param("http://h/", "h", "", id="S29-slash"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_absolute_target_without_a_path_is_the_root(target: str, host: str, query: str, version: str) -> None:
    environ = environ_of(f"GET {target} HTTP/{version}\r\nHost: h\r\n\r\n".encode())
    assert environ["PATH_INFO"] == "/"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["HTTP_HOST"] == host
    assert environ["QUERY_STRING"] == query
    assert environ["REQUEST_URI"] == target


@pytest.mark.promise("S25")
@pytest.mark.parametrize(("target", "path_info"), [("/caf%C3%A9/men%C3%BC", "/men\xc3\xbc"), ("/caf%c3%a9", "")])
def test_a_prefix_that_is_not_ascii_is_matched_by_its_utf_8_bytes(target: str, path_info: str) -> None:
    environ = environ_of(get(target=target), url_prefix="/caf\xe9")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/caf\xc3\xa9", path_info)
    assert environ["SCRIPT_NAME"].encode("latin-1").decode() == "/caf\xe9"


@pytest.mark.promise("S29")
def test_the_asterisk_of_options_is_no_path_and_content_for_the_validator() -> None:
    request = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(validator(answering([b"ok"], ("Content-Type", "text/plain")))) as server, server.client() as client:
        client.send(request)
        assert client.response().status == 200
    environ = environ_of(request)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("", "", "*")


@pytest.mark.promise("S43")
@pytest.mark.parametrize("threads", [1, 4])
def test_the_process_model_is_many_threads_in_one_lasting_process(threads: int) -> None:
    environ = environ_of(get(), threads=threads)
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.errors"] is sys.stderr


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param("/%E2%99%A5", "/â\x99¥", id="S44-utf-8"),
        pytest.param("/%e2%99%a5", "/â\x99¥", id="S44-lower-case-digits"),
        pytest.param("/%FF%80", "/ÿ\x80", id="S44-not-utf-8"),
        pytest.param("/a%20b%3Fc%23d", "/a b?c#d", id="S44-delimiters"),
        pytest.param("/a%2Fb", "/a/b", id="S44-slash"),
        pytest.param("/%2541", "/%41", id="S44-decoded-once"),
        pytest.param("/%", "/%", id="S44-lone-percent"),
        pytest.param("/%zz%4", "/%zz%4", id="S44-invalid-escapes-stay"),
        pytest.param("/a+b;c=d,e", "/a+b;c=d,e", id="S44-plus-and-parameters"),
        pytest.param("/a/../b/./c", "/a/../b/./c", id="S44-dot-segments"),
        pytest.param("/a//b///c/", "/a//b///c/", id="S44-inner-slashes"),
        pytest.param("///a//b", "/a//b", id="S44-leading-slashes-collapsed"),
        pytest.param("//host/path", "/host/path", id="S44-no-authority-in-origin-form"),
        pytest.param("/a?b", "/a", id="S44-query-cut"),
        pytest.param("/a#b", "/a", id="S44-fragment-cut"),
        pytest.param("/a#b?c", "/a", id="S44-query-in-fragment-cut"),
        pytest.param("/a:b@c", "/a:b@c", id="S44-colon"),
    ],
)
def test_path_info_is_the_decoded_bytes_as_latin_1(target: str, path_info: str) -> None:
    environ = environ_of(get(target=target))
    assert environ["PATH_INFO"] == path_info
    assert environ["REQUEST_URI"] == target


@pytest.mark.parametrize(
    ("target", "query"),
    [
        pytest.param("/?a=%E2%99%A5&b=%2F+c", "a=%E2%99%A5&b=%2F+c", id="S44-query-not-decoded"),
        pytest.param("/", "", id="S44-no-query"),
        pytest.param("/?", "", id="S44-empty-query"),
        pytest.param("/?a?b/c", "a?b/c", id="S44-second-question-mark"),
        pytest.param("/?a#b", "a", id="S44-query-before-fragment"),
        pytest.param("/#a?b", "", id="S44-query-in-fragment"),
        pytest.param("/%3Fa", "", id="S44-encoded-question-mark"),
    ],
)
def test_query_string_is_as_sent(target: str, query: str) -> None:
    assert environ_of(get(target=target))["QUERY_STRING"] == query


@pytest.mark.parametrize(
    "version", [pytest.param("1.0", id="S03-S43-http-1.0"), pytest.param("1.1", id="S03-S43-http-1.1")]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X-OWN"])
def test_method_and_protocol_are_the_request_s(method: str, version: str) -> None:
    environ = environ_of(f"{method} / HTTP/{version}\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
    assert environ["REQUEST_METHOD"] == method
    assert environ["SERVER_PROTOCOL"] == f"HTTP/{version}"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        pytest.param("X_Foo: 1", "HTTP_X_FOO", id="S45-one"),
        pytest.param("_X: 1", "HTTP__X", id="S45-first"),
        pytest.param("X_: 1", "HTTP_X_", id="S45-last"),
        pytest.param("X-Foo_Bar: 1", "HTTP_X_FOO_BAR", id="S45-mixed"),
        pytest.param("Content_Length: 5", "CONTENT_LENGTH", id="S45-content-length"),
        pytest.param("Content_Type: a/b", "CONTENT_TYPE", id="S45-content-type"),
        pytest.param("Transfer_Encoding: chunked", "HTTP_TRANSFER_ENCODING", id="S45-transfer-encoding"),
        pytest.param("X-Forwarded_For: 192.0.2.7", "HTTP_X_FORWARDED_FOR", id="S45-forwarded"),
    ],
)
def test_a_field_with_an_underscore_is_dropped(field: str, name: str) -> None:
    recorder = Recorder()
    with running(recorder, clear_untrusted_proxy_headers=False) as server, server.client() as client:
        assert client.get("/", field).status == 200
        assert client.get("/next").status == 200
    assert name not in recorder.environs[0]
    assert recorder.paths == ["/", "/next"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["X-Foo: good", "X_Foo: evil"], id="S45-after"),
        pytest.param(["X_Foo: evil", "X-Foo: good"], id="S45-before"),
        pytest.param(["x_foo: evil", "X-Foo: good", "X_FOO: evil"], id="S45-around"),
    ],
)
def test_a_field_with_an_underscore_does_not_pose_as_the_one_with_a_hyphen(fields: list[str]) -> None:
    assert environ_of(get(*fields))["HTTP_X_FOO"] == "good"


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        pytest.param(["Connection: keep-alive"], "keep-alive", id="S46-keep-alive"),
        pytest.param(["Connection: close"], "close", id="S46-close"),
        pytest.param(["Connection: Keep-Alive, X-Foo"], "Keep-Alive, X-Foo", id="S46-list-as-sent"),
        pytest.param(["Connection: TE", "Connection: close"], "TE, close", id="S46-two-fields"),
        pytest.param([], None, id="S46-absent"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_connection_field_is_in_environ(fields: list[str], value: str | None, version: str) -> None:
    assert environ_of(get(*fields, version=version)).get("HTTP_CONNECTION") == value


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        pytest.param(["X: a", "X: b"], "a, b", id="S47-two"),
        pytest.param(["X: b", "X: a"], "b, a", id="S47-not-sorted"),
        pytest.param(["X: c", "Y: 1", "X: a", "Z: 2", "X: b"], "c, a, b", id="S47-others-between"),
        pytest.param(["X: a", "x: b"], "a, b", id="S47-case-of-names"),
        pytest.param(["X: a", "X: a"], "a, a", id="S47-equal"),
        pytest.param(["X: a, b", "X: c"], "a, b, c", id="S47-lists"),
        pytest.param([f"X: {number}" for number in range(40)], ", ".join(map(str, range(40))), id="S47-forty"),
    ],
)
def test_fields_of_one_name_are_joined_in_their_order(fields: list[str], value: str) -> None:
    assert environ_of(get(*fields))["HTTP_X"] == value


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        pytest.param(b"X-Foo: caf\xe9", "HTTP_X_FOO", "café", id="S22-latin-1"),
        pytest.param(b"X-Foo: \xe2\x99\xa5", "HTTP_X_FOO", "â\x99¥", id="S22-utf-8"),
        pytest.param(b"X-Foo:\t a \tb\t ", "HTTP_X_FOO", "a \tb", id="S22-blanks"),
        pytest.param(b"X-Foo: \xa0\x85a\x85\xa0", "HTTP_X_FOO", "\xa0\x85a\x85\xa0", id="S22-not-blanks"),
        pytest.param(b"X-Foo:", "HTTP_X_FOO", "", id="S22-empty"),
        pytest.param(b"X-Foo: a: b", "HTTP_X_FOO", "a: b", id="S22-colon"),
        pytest.param(b"!#$%&'*+.^`|~: a", "HTTP_!#$%&'*+.^`|~", "a", id="S22-every-token-mark"),
        pytest.param(b"Content-Type: text/plain; a=b", "CONTENT_TYPE", "text/plain; a=b", id="S22-content-type"),
        pytest.param(b"Content-Length: 0", "CONTENT_LENGTH", "0", id="S22-content-length"),
    ],
)
def test_a_field_value_is_its_bytes_as_latin_1(field: bytes, name: str, value: str) -> None:
    environ = environ_of(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n\r\n")
    assert environ[name] == value
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


@pytest.mark.promise("S43")
def test_environ_is_a_plain_dict_of_the_request_s_own() -> None:
    """What an application does to one environ is not seen by the next request."""
    seen: list[bool] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append("own" in environ or "SERVER_NAME" not in environ)
        assert type(environ) is dict
        environ["own"] = 1
        del environ["SERVER_NAME"]
        start_response("200 OK", [])
        return [b"ok"]

    with running(application) as server, server.client() as client:
        assert [client.get("/").status for _ in range(3)] == [200, 200, 200]
    assert seen == [False, False, False]


@pytest.mark.promise("S65", "S43")
@pytest.mark.parametrize(("ident", "software"), [("waitress", "waitress"), ("own/1.0", "own/1.0"), ("", "")])
def test_server_software_is_the_ident_and_always_a_string(ident: str, software: str) -> None:
    assert environ_of(get(), ident=ident)["SERVER_SOFTWARE"] == software
