"""Proxy headers: tables of what a trusted peer changes, of hidden headers and of malformed ones."""

import logging
import threading
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.heads import head
from tests.support.ids import input_ids, short_id
from tests.support.rows import each_row
from waitress_core import Adjustments
from waitress_core.http.request import Request
from waitress_core.wsgi import proxy_headers as module
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.proxy_errors import MalformedProxyHeader
from waitress_core.wsgi.proxy_headers import ProxyPolicy

PEER = "10.0.0.9"
BASE = {
    "REMOTE_ADDR": PEER,
    "REMOTE_HOST": PEER,
    "REMOTE_PORT": "54321",
    "SERVER_NAME": "waitress.invalid",
    "SERVER_PORT": "8080",
    "HTTP_HOST": "origin:8080",
    "wsgi.url_scheme": "http",
}
X_ALL = "x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-by"
KEYS = {
    "For": "HTTP_X_FORWARDED_FOR",
    "Host": "HTTP_X_FORWARDED_HOST",
    "Proto": "HTTP_X_FORWARDED_PROTO",
    "Port": "HTTP_X_FORWARDED_PORT",
    "By": "HTTP_X_FORWARDED_BY",
    "Forwarded": "HTTP_FORWARDED",
}


def policy(**settings: Any) -> ProxyPolicy:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ProxyPolicy(Adjustments(listen="127.0.0.1:0", **settings))


def apply(given: dict[str, str], count: int = 1, headers: str = X_ALL, **settings: Any) -> dict[str, Any]:
    """Return what a trusted peer's headers change; a key that is gone is None."""
    before: dict[str, Any] = {**BASE, **{KEYS.get(name, name): value for name, value in given.items()}}
    environ = dict(before)
    settings = {"trusted_proxy": PEER, "trusted_proxy_count": count, "trusted_proxy_headers": headers, **settings}
    policy(**settings).apply(environ)
    changed = {key: value for key, value in environ.items() if before.get(key) != value}
    return {**changed, **dict.fromkeys(before.keys() - environ.keys())}


def client(address: str, port: str | None = None) -> dict[str, str]:
    """Return the keys that name a client."""
    keys = {"REMOTE_ADDR": address, "REMOTE_HOST": address}
    return keys if port is None else {**keys, "REMOTE_PORT": port}


def host(name: str, port: str | None = None) -> dict[str, str]:
    """Return the keys that name a host."""
    keys = {"SERVER_NAME": name, "HTTP_HOST": name}
    return keys if port is None else {"SERVER_NAME": name, "HTTP_HOST": f"{name}:{port}", "SERVER_PORT": port}


# --- X-Forwarded-*

ONE_HOP: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    # the client
    ({"For": "1.2.3.4"}, client("1.2.3.4")),
    ({"For": " 1.2.3.4\t"}, {**client("1.2.3.4"), "HTTP_X_FORWARDED_FOR": "1.2.3.4"}),
    ({"For": "1.2.3.4:55"}, client("1.2.3.4", "55")),
    ({"For": '"1.2.3.4:55"'}, client("1.2.3.4", "55")),
    ({"For": "2001:db8::1"}, client("2001:db8::1")),
    ({"For": "[2001:db8::1]"}, client("2001:db8::1")),
    ({"For": '"[2001:db8::1]"'}, client("2001:db8::1")),
    ({"For": "[2001:db8::1]:77"}, client("2001:db8::1", "77")),
    ({"For": '"[2001:db8::1]:77"'}, client("2001:db8::1", "77")),
    ({"For": "::ffff:1.2.3.4"}, client("::ffff:1.2.3.4")),
    ({"For": "unknown"}, client("unknown")),
    ({"For": "_hidden"}, client("_hidden")),
    ({"For": ""}, {}),
    ({"For": "9.9.9.9, 1.2.3.4"}, {**client("1.2.3.4"), "HTTP_X_FORWARDED_FOR": "1.2.3.4"}),
    # the scheme
    ({"Proto": "https"}, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ({"Proto": "HTTPS"}, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ({"Proto": "http"}, {"SERVER_PORT": "80"}),
    ({"Proto": '"https"'}, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ({"Proto": ""}, {}),
    ({"Proto": "wss"}, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ({"Proto": '"WSS"'}, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ({"Proto": "ws"}, {"SERVER_PORT": "80"}),
    ({"Proto": "https, ws"}, {"SERVER_PORT": "80", "HTTP_X_FORWARDED_PROTO": "ws"}),
    ({"Proto": "wss", "Port": "444"}, {"wsgi.url_scheme": "https", "SERVER_PORT": "444"}),
    (
        {"Host": "example.org", "Port": "443", "Proto": "wss"},
        {**host("example.org"), "SERVER_PORT": "443", "wsgi.url_scheme": "https"},
    ),
    (
        {"Proto": "http, https"},
        {"wsgi.url_scheme": "https", "SERVER_PORT": "443", "HTTP_X_FORWARDED_PROTO": "https"},
    ),
    # the port
    ({"Port": "81"}, {"SERVER_PORT": "81"}),
    ({"Port": '"81"'}, {"SERVER_PORT": "81"}),
    ({"Port": "65535"}, {"SERVER_PORT": "65535"}),
    ({"Port": ""}, {}),
    ({"Port": "80, 81"}, {"SERVER_PORT": "81", "HTTP_X_FORWARDED_PORT": "81"}),
    ({"Port": "81", "Proto": "https"}, {"wsgi.url_scheme": "https", "SERVER_PORT": "81"}),
    # the host
    ({"Host": "example.org"}, host("example.org")),
    ({"Host": "Example.ORG"}, host("Example.ORG")),
    ({"Host": "example.org:81"}, host("example.org", "81")),
    ({"Host": "[2001:db8::1]"}, host("[2001:db8::1]")),
    ({"Host": "[2001:db8::1]:81"}, host("[2001:db8::1]", "81")),
    ({"Host": ""}, {}),
    ({"Host": "inner, example.org"}, {**host("example.org"), "HTTP_X_FORWARDED_HOST": "example.org"}),
    ({"Host": "example.org:81", "Port": "82"}, host("example.org", "81")),
    (
        {"Host": "example.org:81", "Proto": "https"},
        {**host("example.org", "81"), "wsgi.url_scheme": "https"},
    ),
    ({"Host": "example.org", "Port": "81"}, host("example.org", "81")),
    ({"Host": "example.org", "Port": "80"}, {**host("example.org"), "SERVER_PORT": "80"}),
    (
        {"Host": "example.org", "Port": "443", "Proto": "https"},
        {**host("example.org"), "SERVER_PORT": "443", "wsgi.url_scheme": "https"},
    ),
    (
        {"Host": "example.org", "Proto": "https"},
        {**host("example.org"), "SERVER_PORT": "443", "wsgi.url_scheme": "https"},
    ),
    ({"Host": "example.org", "Port": "443"}, host("example.org", "443")),
    # who forwarded
    ({"By": "proxy"}, {}),
]


@pytest.mark.promise("S24")
@each_row(("given", "expected"), ONE_HOP, ids=input_ids(ONE_HOP))
def test_x_forwarded_of_one_trusted_proxy(given: dict[str, str], expected: dict[str, Any]) -> None:
    assert apply(given) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {**client("4.4.4.4"), "HTTP_X_FORWARDED_FOR": "4.4.4.4"}),
        (2, {**client("3.3.3.3"), "HTTP_X_FORWARDED_FOR": "3.3.3.3, 4.4.4.4"}),
        (3, {**client("2.2.2.2"), "HTTP_X_FORWARDED_FOR": "2.2.2.2, 3.3.3.3, 4.4.4.4"}),
        (4, client("1.1.1.1")),
        (9, client("1.1.1.1")),
    ],
)
def test_the_client_is_the_first_of_the_trusted_hops(count: int, expected: dict[str, Any]) -> None:
    assert apply({"For": "1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4"}, count) == expected


def test_every_list_is_read_by_the_hop_count() -> None:
    given = {"For": "1.1.1.1,2.2.2.2,3.3.3.3", "Host": "a,b,c", "Proto": "https,http,https", "Port": "1,2,3"}
    assert apply(given, 2) == {
        **client("2.2.2.2"),
        **host("b", "2"),
        "HTTP_X_FORWARDED_FOR": "2.2.2.2, 3.3.3.3",
        "HTTP_X_FORWARDED_HOST": "b, c",
        "HTTP_X_FORWARDED_PROTO": "http, https",
        "HTTP_X_FORWARDED_PORT": "2, 3",
    }


@pytest.mark.parametrize("name", ["For", "Host", "Proto", "Port", "By"])
def test_a_header_that_is_not_trusted_changes_nothing_and_is_hidden(name: str) -> None:
    given = {"For": "1.2.3.4", "Host": "a", "Proto": "https", "Port": "81", "By": "x"}
    trusted = " ".join(f"x-forwarded-{other.lower()}" for other in given if other != name)
    both = apply(given, headers=trusted)
    without = apply({other: value for other, value in given.items() if other != name}, headers=trusted)
    assert both == {**without, KEYS[name]: None}


# --- Forwarded

FORWARDED: list[tuple[str, int, dict[str, Any]]] = [
    ("", 1, {}),
    ("for=1.2.3.4", 1, client("1.2.3.4")),
    ("For=1.2.3.4", 1, client("1.2.3.4")),
    ('for="1.2.3.4:55"', 1, client("1.2.3.4", "55")),
    ('for="[2001:db8::1]"', 1, client("2001:db8::1")),
    ('for="[2001:db8::1]:77"', 1, client("2001:db8::1", "77")),
    ("for=_hidden", 1, client("_hidden")),
    ("for=Unknown", 1, client("unknown")),
    ("host=Example.ORG", 1, host("example.org")),
    ('host="example.org:81"', 1, host("example.org", "81")),
    ("proto=HTTPS", 1, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ("proto=ws", 1, {"SERVER_PORT": "80"}),
    ("proto=Wss", 1, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ("proto=wss, proto=http", 2, {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}),
    ("by=10.0.0.9", 1, {}),
    (
        "for=1.2.3.4;host=example.org;proto=https;by=x",
        1,
        {**client("1.2.3.4"), **host("example.org"), "wsgi.url_scheme": "https", "SERVER_PORT": "443"},
    ),
    ("for=1.2.3.4;", 1, client("1.2.3.4")),
    (";for=1.2.3.4", 1, client("1.2.3.4")),
    ("for=1.1.1.1, for=2.2.2.2", 1, {**client("2.2.2.2"), "HTTP_FORWARDED": "for=2.2.2.2"}),
    ("for=1.1.1.1, for=2.2.2.2", 2, client("1.1.1.1")),
    ("for=1.1.1.1,\tfor=2.2.2.2", 2, {**client("1.1.1.1"), "HTTP_FORWARDED": "for=1.1.1.1, for=2.2.2.2"}),
    ("for=1.1.1.1, for=2.2.2.2, for=3.3.3.3", 2, {**client("2.2.2.2"), "HTTP_FORWARDED": "for=2.2.2.2, for=3.3.3.3"}),
    ("for=1.1.1.1, for=2.2.2.2;host=inner", 2, {**client("1.1.1.1"), **host("inner")}),
    ("for=1.1.1.1;host=outer, for=2.2.2.2;host=inner", 2, {**client("1.1.1.1"), **host("outer")}),
    ('for=1.1.1.1;host="", for=2.2.2.2;host=inner', 2, {**client("1.1.1.1"), **host("inner")}),
    ('for=a;by="x,y", for=b;by="x;y"', 1, {**client("b"), "HTTP_FORWARDED": 'for=b;by="x;y"'}),
    ('for=a;by="x,y", for=b;by="x;y"', 2, client("a")),
    (r'for=a;by="x\"y,z"', 1, client("a")),
    (r'for=a;by="x\\", for=b', 1, {**client("b"), "HTTP_FORWARDED": "for=b"}),
    (r'for="\a\_"', 1, client("a_")),
    ('for="fe80::1%eth0"', 1, client("fe80::1%eth0")),
    ('for="192.0.2.1:_secret"', 1, client("192.0.2.1", "_secret")),
    # RFC 9110 5.6.1.2, RFC 7239 4: an element may be empty. It counts, or a client's would take the place of a proxy's.
    ("for=evil, , for=2.2.2.2", 2, {**client("2.2.2.2"), "HTTP_FORWARDED": ", for=2.2.2.2"}),
    ("for=evil,", 1, {"HTTP_FORWARDED": ""}),
    (f"for=1.1.1.1;x={'b' * 8178}", 1, client("1.1.1.1")),
    (" ,;,for=2.2.2.2;; ", 1, {**client("2.2.2.2"), "HTTP_FORWARDED": "for=2.2.2.2;;"}),
]


@each_row(("value", "count", "expected"), FORWARDED, ids=input_ids(FORWARDED, 2))
def test_forwarded(value: str, count: int, expected: dict[str, Any]) -> None:
    assert apply({"Forwarded": value}, count, "forwarded") == expected


def test_an_unknown_token_of_forwarded_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert apply({"Forwarded": 'for=1.2.3.4;secret="\xe4";Other=1'}, 1, "forwarded") == client("1.2.3.4")
    assert [record.getMessage() for record in caplog.records] == ["Unknown Forwarded token: other, secret"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("Forwarded", "for=1.2.3.4" + "".join(f";x{n}=1" for n in range(900)), id="unknown-tokens"),
        pytest.param("Forwarded", "a=" + "b" * 8000 + "\xe4", id="pair"),
        pytest.param("Forwarded", "host=" + "\xe4" * 50_000, id="value"),
        pytest.param("Port", "\xe4" * 50_000, id="port"),
    ],
)
def test_a_long_header_makes_one_short_record(caplog: pytest.LogCaptureFixture, name: str, value: str) -> None:
    try:
        apply({name: value}, headers="forwarded" if name == "Forwarded" else X_ALL)
    except MalformedProxyHeader:
        pass
    (record,) = caplog.records
    assert len(record.getMessage()) < 500


# --- malformed

QUOTING = "Invalid quoting in value"
MALFORMED: list[tuple[str, str, str, str]] = [
    ("For", '"1.2.3.4', "X-Forwarded-For", QUOTING),
    ("For", '1.2.3.4"', "X-Forwarded-For", QUOTING),
    ("For", '"', "X-Forwarded-For", QUOTING),
    ("For", r'"a\"', "X-Forwarded-For", QUOTING),
    ("For", '"a"b"', "X-Forwarded-For", QUOTING),
    ("Host", '"example.org', "X-Forwarded-Host", QUOTING),
    ("Host", "example.org/path", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "user@example.org", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "example.org:", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "example.org:http", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "a b", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "[::1", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "\xe4", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "example.org:65536", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", "example.org:0", "X-Forwarded-Host", "not a host with an optional port"),
    ("Host", 'example.org"a"', "X-Forwarded-Host", QUOTING),
    ("Proto", "gopher", "X-Forwarded-Proto", "unsupported proto value"),
    ("Proto", "wsss", "X-Forwarded-Proto", "unsupported proto value"),
    ("Proto", "https://", "X-Forwarded-Proto", "unsupported proto value"),
    ("Proto", '"https', "X-Forwarded-Proto", QUOTING),
    ("For", ":80", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "192.0.2.1:abc", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "192.0.2.1:", "X-Forwarded-For", "not an address with an optional port"),
    ("For", '1.2"3.4', "X-Forwarded-For", QUOTING),
    ("For", "1.2.3.4 evil", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "<script>", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "\xe4", "X-Forwarded-For", "not an address with an optional port"),
    ("For", '"a,b"', "X-Forwarded-For", QUOTING),
    ("For", "192.0.2.1:_", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[1.2.3.4]", "X-Forwarded-For", "not an address with an optional port"),
    ("By", '"', "X-Forwarded-By", QUOTING),
    ("For", "[]", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[::1]80", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[::1]:65536", "X-Forwarded-For", "not an address with an optional port"),
    ("Port", "abc", "X-Forwarded-Port", "not a port number"),
    ("Port", "-1", "X-Forwarded-Port", "not a port number"),
    ("Port", "0", "X-Forwarded-Port", "not a port number"),
    ("Port", "00000", "X-Forwarded-Port", "not a port number"),
    ("Port", "65536", "X-Forwarded-Port", "not a port number"),
    ("Port", "000080", "X-Forwarded-Port", "not a port number"),
    ("Port", "8\xb2", "X-Forwarded-Port", "not a port number"),
    ("Forwarded", "for", "Forwarded", 'Invalid forwarded-pair missing "="'),
    ("Forwarded", "for=a; host=b", "Forwarded", "Token may not be surrounded by whitespace"),
    ("Forwarded", "for =a", "Forwarded", "Token may not be surrounded by whitespace"),
    ("Forwarded", "for= a", "Forwarded", "Value may not be surrounded by whitespace"),
    ("Forwarded", "for=a ;host=b", "Forwarded", "Value may not be surrounded by whitespace"),
    ("Forwarded", 'for="a', "Forwarded", QUOTING),
    ("Forwarded", 'for=a;x="', "Forwarded", QUOTING),
    ("Forwarded", 'for=a;x="\\"', "Forwarded", QUOTING),
    ("Forwarded", 'for=a;x=b"c"', "Forwarded", QUOTING),
    ("Forwarded", 'for=a;x="b"c', "Forwarded", QUOTING),
    ("Forwarded", 'for=a;x="b" ;y=c', "Forwarded", QUOTING),
    ("Forwarded", "for=a\\", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "=a", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for==a", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=1.2.3.4:55", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=[::1]", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=a;x=\xe4", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=a;\xe4=x", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=a;x=b c", "Forwarded", "neither a token nor a quoted-string"),
    ("Forwarded", "for=a;For=b", "Forwarded", "Token given twice in one element"),
    ("Forwarded", "x=1;x=2, for=a", "Forwarded", "Token given twice in one element"),
    ("Forwarded", "," * 8193, "Forwarded", "longer than 8192 characters"),
    ("Forwarded", "for=a;x=" + "b" * 8185, "Forwarded", "longer than 8192 characters"),
    ("Proto", "a" * 8193, "X-Forwarded-Proto", "longer than 8192 characters"),
    ("Forwarded", 'for="a,b"', "Forwarded For=", "not an address with an optional port"),
    ("Forwarded", 'for="a b"', "Forwarded For=", "not an address with an optional port"),
    ("Forwarded", "proto=gopher", "Forwarded Proto=", "unsupported proto value"),
    ("Forwarded", 'host="a/b"', "Forwarded Host=", "not a host with an optional port"),
]


@pytest.mark.parametrize(("name", "value", "header", "reason"), MALFORMED, ids=input_ids(MALFORMED, 2))
def test_a_malformed_header_is_logged_and_refused(
    caplog: pytest.LogCaptureFixture, name: str, value: str, header: str, reason: str
) -> None:
    with pytest.raises(MalformedProxyHeader) as caught:
        apply({name: value}, headers="forwarded" if name == "Forwarded" else X_ALL)
    assert str(caught.value) == f'Header "{header}" malformed.'
    assert (caught.value.header, caught.value.reason) == (header, reason)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f'Malformed proxy header "{header}" from "{PEER}": {reason} value: ')
    assert record.getMessage().isascii()


@each_row(("name", "value"), [(name, value) for name, value, _, _ in MALFORMED], ids=short_id)
def test_a_malformed_header_of_an_untrusted_peer_is_only_hidden(name: str, value: str) -> None:
    assert apply({name: value}, trusted_proxy="192.0.2.1") == {KEYS[name]: None}


@pytest.mark.parametrize("element", ['"broken', 'a"b', '"\\', "," * 9000, "a" * 9000])
def test_a_malformed_element_of_x_forwarded_before_the_trusted_ones_is_ignored(element: str) -> None:
    assert apply({"For": f"{element}, 1.2.3.4"}) == {**client("1.2.3.4"), "HTTP_X_FORWARDED_FOR": "1.2.3.4"}


@each_row("element", ["broken", 'x="', 'x=a"b', 'x="\\', "x=[::1]", "for=a; by=b", "x=1;x=2"])
@each_row("template", ["{}, for=1.2.3.4", "for=1.2.3.4, {}", "{}", "for=1.1.1.1, {}, for=1.2.3.4"])
@each_row("count", [1, 2, 9])
def test_a_malformed_element_of_forwarded_is_refused_wherever_it_is(element: str, template: str, count: int) -> None:
    with pytest.raises(MalformedProxyHeader):
        apply({"Forwarded": template.format(element)}, count, "forwarded")


# --- field lines: what a client sends in front of the elements of the trusted proxies


def after(*lines: str, count: int = 1, headers: str = "forwarded") -> dict[str, Any]:
    """Return the environ of a request with these field lines, as a server of these settings makes it."""
    request = Request(head("/", *lines))
    settings = {"trusted_proxy": PEER, "trusted_proxy_count": count, "trusted_proxy_headers": headers}
    adj = Adjustments(listen="127.0.0.1:0", **settings)
    environ = EnvironBuilder(adj, "8080", "http").build(request, PEER, "54321", lambda: False)
    ProxyPolicy(adj).apply(environ, request)
    return {key: value for key, value in environ.items() if not key.startswith(("wsgi.i", "wsgi.e", "waitress."))}


HONEST = "for=198.51.100.7;proto=http"


@pytest.mark.parametrize(
    "client_line",
    [
        'for=10.0.0.1;proto=https;host=internal.example;x="',
        'for=10.0.0.1;x=a"b',
        'for=10.0.0.1;x="\\',
        'for=10.0.0.1;x="a\\"',
        '"',
        'for="10.0.0.1',
    ],
)
@pytest.mark.parametrize("honest", [HONEST, 'for="[2001:db8::7]:80";host="shop.example:81"'], ids=["plain", "quoted"])
def test_what_a_client_leaves_open_swallows_nothing_of_the_proxy(client_line: str, honest: str) -> None:
    for lines in [(client_line, honest), (f"{client_line}, {honest}",), (f"{client_line},{honest}",)]:
        with pytest.raises(MalformedProxyHeader):
            after(*(f"Forwarded: {line}" for line in lines))


def test_each_field_line_of_forwarded_is_read_by_itself() -> None:
    """Joined these would be a quoted-string; RFC 9110 5.3 lets nobody split one."""
    assert after('Forwarded: for=a;by="x, y";proto=http')["REMOTE_ADDR"] == "a"
    with pytest.raises(MalformedProxyHeader):
        after('Forwarded: for=a;by="x', 'Forwarded: y";proto=http')


def test_field_lines_are_read_in_their_order() -> None:
    lines = ("Forwarded: for=6.6.6.6, for=1.1.1.1", "X-Other: a", "Forwarded:", f"forwarded: {HONEST}")
    assert after(*lines)["REMOTE_ADDR"] == "198.51.100.7"
    assert after(*lines)["HTTP_FORWARDED"] == HONEST
    assert after(*lines, count=3)["REMOTE_ADDR"] == "1.1.1.1"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_more_and_fewer_elements_than_trusted_proxies(count: int) -> None:
    sent = ["for=1.1.1.1", "for=2.2.2.2", "for=3.3.3.3"]
    for number in range(1, 4):
        lines = sent[:number]
        expected = lines[-count:][0].removeprefix("for=")
        assert after(*(f"Forwarded: {line}" for line in lines), count=count)["REMOTE_ADDR"] == expected


def test_an_environ_that_was_changed_counts_and_not_the_field_lines() -> None:
    request = Request(head("/", "Forwarded: for=1.1.1.1"))
    environ: dict[str, Any] = {**BASE, "HTTP_FORWARDED": "for=2.2.2.2"}
    policy(trusted_proxy=PEER, trusted_proxy_headers="forwarded").apply(environ, request)
    assert environ["REMOTE_ADDR"] == "2.2.2.2"


# Fragments of the grammar, right and wrong: random characters alone would hardly ever make a pair.
FRAGMENTS = st.sampled_from(
    [*'"\\,;= \t', "for", "host", "proto", "x", "evil", "https", '="', '";', '",', '\\"', "a=b", "\xe4", "[::1]:5"]
)
CLIENT_LINES = st.lists(st.lists(FRAGMENTS, max_size=12).map("".join), max_size=3)
TOKENS = st.text("abcxyz019!#$%&'*+-.^_`|~", min_size=1, max_size=6)
QUOTED = st.text(st.sampled_from('abc,;= \t"\\\xe4[]:'), max_size=8).map(
    lambda text: '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
)
VALUES = {
    "for": st.sampled_from(["1.2.3.4", '"[2001:db8::1]:77"', "_hidden", "unknown", '"1.2.3.4:_x"']),
    "host": st.sampled_from(["shop.example", '"shop.example:81"', '",for=evil;x="']),
    "proto": st.sampled_from(["http", "https", '"http"']),
}
UNKNOWN = TOKENS.filter(lambda name: name not in VALUES)


@st.composite
def elements(draw: st.DrawFn) -> str:
    """An element that a proxy may write, by the grammar; its host may be what the client has sent as Host."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)) | UNKNOWN, min_size=1, max_size=4, unique=True))
    return ";".join(f"{name}={draw(VALUES.get(name, TOKENS | QUOTED))}" for name in names)


def outcome(*lines: str, **settings: Any) -> dict[str, Any] | None:
    """Return the environ, or None for a refused request."""
    try:
        return after(*lines, **settings)
    except MalformedProxyHeader:
        return None


@settings(max_examples=300, deadline=None)
@given(CLIENT_LINES, st.lists(elements(), min_size=1, max_size=3), st.sampled_from(["", ", ", ",", " , "]))
def test_forwarded_what_the_last_trusted_elements_say_cannot_be_influenced(
    client_lines: list[str], honest: list[str], joint: str
) -> None:
    """Whether the proxy appends a line, or appends to the last one: refused, or as if the client had sent none."""
    alone = outcome(f"Forwarded: {', '.join(honest)}", count=len(honest))
    lines = [*client_lines, ", ".join(honest)]
    if joint and client_lines:
        lines[-2:] = [joint.join(lines[-2:])]
    seen = outcome(*(f"Forwarded: {line}" for line in lines), count=len(honest))
    assert seen is None or seen == alone


X_VALUES = {
    "For": st.sampled_from(["1.2.3.4", '"[2001:db8::1]:77"', "2001:db8::1", "_hidden", ""]),
    "Host": st.sampled_from(["shop.example", '"shop.example:81"', "[::1]:81", ""]),
    "Proto": st.sampled_from(["http", "HTTPS", ""]),
    "Port": st.sampled_from(["81", '"443"', "1", ""]),
    "By": st.sampled_from(["a", "b"]),
}


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from(["", ", ", ","]))
def test_x_forwarded_what_the_last_trusted_elements_say_cannot_be_influenced(
    data: st.DataObject, count: int, joint: str
) -> None:
    alone, lines = [], []
    for name, values in X_VALUES.items():
        honest = ", ".join(data.draw(st.lists(values, min_size=count, max_size=count)))
        sent = [*data.draw(CLIENT_LINES), honest]
        if joint and len(sent) > 1:
            sent[-2:] = [joint.join(sent[-2:])]
        alone.append(f"X-Forwarded-{name}: {honest}")
        lines += [f"X-Forwarded-{name}: {line}" for line in sent]
    expected = outcome(*alone, count=count, headers=X_ALL)
    assert expected is not None
    assert outcome(*lines, count=count, headers=X_ALL) == expected


# --- who is trusted

TRUST: list[tuple[str | list[str] | None, str, bool]] = [
    (None, "127.0.0.1", False),
    ("*", "127.0.0.1", True),
    ("*", "::1", True),
    ("*", "localhost", True),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False),
    ("127.0.0.1", "localhost", False),
    ("127.0.0.1", "", False),
    ("0.0.0.0/0", "unknown", False),
    ("localhost", "localhost", True),
    ("localhost", "127.0.0.1", True),
    ("localhost", "127.9.9.9", True),
    ("localhost", "::1", True),
    ("localhost", "::ffff:127.0.0.1", True),
    ("localhost", "128.0.0.1", False),
    ("localhost", "::2", False),
    ("localhost", "", False),
    ("10.0.0.1 localhost", "10.0.0.1", True),
    ("10.0.0.1, localhost", "127.0.0.1", True),
    ("10.0.0.1 10.0.0.2", "10.0.0.2", True),
    ("10.0.0.1,10.0.0.2", "10.0.0.2", True),
    (["10.0.0.1", "10.0.0.2"], "10.0.0.2", True),
    ("10.0.0.1 10.0.0.2", "10.0.0.3", False),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("10.0.0.0/8", "11.0.0.0", False),
    ("10.1.2.3/8", "10.9.9.9", True),
    ("0.0.0.0/0", "8.8.8.8", True),
    ("0.0.0.0/0", "::1", False),
    ("::1", "::1", True),
    ("::1", "0:0:0:0:0:0:0:1", True),
    ("::1", "::2", False),
    ("2001:db8::/32", "2001:db8:ffff::1", True),
    ("2001:db8::/32", "2001:db9::1", False),
    ("fe80::/10", "fe80::1%eth0", True),
    ("fe80::1", "fe80::1%eth0", True),
    ("127.0.0.1", "::ffff:127.0.0.1", True),
    ("10.0.0.0/8", "::ffff:10.1.1.1", True),
    ("10.0.0.0/8", "::ffff:11.1.1.1", False),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1", True),
    ("::ffff:10.0.0.1", "10.0.0.1", True),
    ("::ffff:10.0.0.1", "10.0.0.2", False),
    ("::ffff:10.0.0.0/104", "10.9.9.9", True),
    ("::ffff:10.0.0.0/104", "::ffff:10.9.9.9", True),
    ("::ffff:10.0.0.0/104", "11.0.0.1", False),
    ("::/0", "::ffff:10.0.0.1", True),
    ("::/0", "10.0.0.1", False),
    ("fe80::/10", "::1", False),
    ("10.0.0.0/8 2001:db8::/32 localhost", "10.0.0.1", True),
    ("10.0.0.0/8 2001:db8::/32 localhost", "2001:db8::1", True),
    ("10.0.0.0/8 2001:db8::/32 localhost", "localhost", True),
    ("10.0.0.0/8 2001:db8::/32 localhost", "192.0.2.1", False),
    ("10.0.0.0/8, 192.0.2.0/24", "192.0.2.1", True),
]


@each_row(("trusted_proxy", "peer", "expected"), TRUST, ids=short_id)
def test_a_peer_is_trusted_by_address_network_or_word(trusted_proxy: Any, peer: str, expected: bool) -> None:
    settings = {} if trusted_proxy is None else {"trusted_proxy": trusted_proxy}
    assert policy(**settings).trusts(peer) is expected


# --- what is hidden

EVERYTHING = {
    "HTTP_X_FORWARDED_FOR": "1.2.3.4",
    "HTTP_X_FORWARDED_HOST": "a",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_PORT": "81",
    "HTTP_X_FORWARDED_BY": "b",
    "HTTP_FORWARDED": "for=1.2.3.4",
}


@pytest.mark.parametrize(
    ("settings", "is_needed", "left"),
    [
        ({}, True, set()),
        ({"clear_untrusted_proxy_headers": False}, False, set(EVERYTHING)),
        ({"trusted_proxy": "192.0.2.1", "trusted_proxy_headers": X_ALL}, True, set()),
        ({"trusted_proxy": "192.0.2.1", "clear_untrusted_proxy_headers": False}, True, set(EVERYTHING)),
        ({"trusted_proxy": PEER}, True, {"HTTP_X_FORWARDED_PROTO"}),
        ({"trusted_proxy": PEER, "trusted_proxy_headers": "forwarded"}, True, {"HTTP_FORWARDED"}),
        ({"trusted_proxy": PEER, "trusted_proxy_headers": X_ALL}, True, set(EVERYTHING) - {"HTTP_FORWARDED"}),
        ({"trusted_proxy": PEER, "clear_untrusted_proxy_headers": False}, True, set(EVERYTHING)),
    ],
)
def test_untrusted_headers_are_hidden(settings: dict[str, Any], is_needed: bool, left: set[str]) -> None:
    environ: dict[str, Any] = {**BASE, **EVERYTHING, "HTTP_X_FORWARDED_PREFIX": "/x", "HTTP_X_FORWARDED_SERVER": "s"}
    made = policy(**settings)
    assert made.is_needed is is_needed
    made.apply(environ)
    assert environ.keys() & EVERYTHING.keys() == left
    assert environ["HTTP_X_FORWARDED_PREFIX"] == "/x"
    assert environ["HTTP_X_FORWARDED_SERVER"] == "s"


def test_no_header_of_an_untrusted_peer_changes_anything() -> None:
    environ: dict[str, Any] = {**BASE, **EVERYTHING}
    policy(trusted_proxy="192.0.2.1", trusted_proxy_headers=X_ALL).apply(environ)
    assert environ == BASE


@pytest.mark.parametrize(
    ("logs", "given", "expected"),
    [
        (True, EVERYTHING, "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Port, X-Forwarded-By, "),
        (True, {"HTTP_FORWARDED": "x"}, "Forwarded"),
        (True, {}, None),
        (False, EVERYTHING, None),
    ],
    ids=["all", "one", "none", "silent"],
)
def test_hiding_is_logged_if_the_settings_ask_for_it(
    caplog: pytest.LogCaptureFixture, logs: bool, given: dict[str, str], expected: str | None
) -> None:
    policy(log_untrusted_proxy_headers=logs).apply({**BASE, **given})
    messages = [record.getMessage() for record in caplog.records]
    if expected is None:
        assert messages == []
    else:
        (message,) = messages
        assert message.startswith(f"Removed untrusted headers ({expected}")
        assert message.endswith("Forwarded). Waitress recommends these be removed upstream.")


def test_a_header_that_stays_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    environ: dict[str, Any] = {**BASE, "HTTP_X_FORWARDED_FOR": "1.2.3.4"}
    policy(trusted_proxy="*", trusted_proxy_headers=X_ALL, log_untrusted_proxy_headers=True).apply(environ)
    assert caplog.records == []


def test_an_environ_without_proxy_headers_is_unchanged() -> None:
    environ: dict[str, Any] = dict(BASE)
    policy(trusted_proxy="*", trusted_proxy_headers=X_ALL, log_untrusted_proxy_headers=True).apply(environ)
    assert environ == BASE


@pytest.fixture
def no_hint_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hint_is_given", threading.Lock())


@pytest.mark.usefixtures("no_hint_yet")
@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-By", "Forwarded"])
def test_proxy_headers_without_a_trusted_proxy_are_logged_once_a_process(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    key = "HTTP_" + name.upper().replace("-", "_")
    for made in (policy(), policy()):
        for peer in ("192.0.2.1", "192.0.2.2"):
            made.apply({**BASE, "REMOTE_ADDR": peer})
            made.apply({**BASE, "REMOTE_ADDR": peer, key: "x"})
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == (
        f"{name} from 192.0.2.1 is not believed, because trusted_proxy is not set. If 192.0.2.1 is your proxy, set "
        "trusted_proxy and trusted_proxy_headers. This is logged once."
    )


@pytest.mark.usefixtures("no_hint_yet")
def test_with_a_trusted_proxy_there_is_no_such_hint(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    policy(trusted_proxy="192.0.2.9", trusted_proxy_headers=X_ALL).apply({**BASE, **EVERYTHING})
    assert caplog.records == []


def test_records_go_to_the_given_logger(caplog: pytest.LogCaptureFixture) -> None:
    own = logging.getLogger("tests.own")
    policy = ProxyPolicy(Adjustments(listen="127.0.0.1:0", log_untrusted_proxy_headers=True), own)
    policy.apply({"REMOTE_ADDR": "192.0.2.1", "HTTP_FORWARDED": "for=a"})
    assert [record.name for record in caplog.records] == ["tests.own"]
