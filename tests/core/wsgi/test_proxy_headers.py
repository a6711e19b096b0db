"""Proxy headers: tables of what a trusted peer changes, of hidden headers and of malformed ones."""

import logging
import warnings
from typing import Any

import pytest

from tests.support.ids import input_ids, short_id
from waitress_core import Adjustments
from waitress_core.wsgi.proxy_headers import MalformedProxyHeader, ProxyPolicy

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
@pytest.mark.parametrize(("given", "expected"), ONE_HOP, ids=input_ids(ONE_HOP))
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
    ("for=1.1.1.1;host=, for=2.2.2.2;host=inner", 2, {**client("1.1.1.1"), **host("inner")}),
    ('for="a,b", for="c;d"', 1, {**client("c;d"), "HTTP_FORWARDED": 'for="c;d"'}),
    ('for="a,b", for="c;d"', 2, client("a,b")),
    (r'for="a\"b,c"', 1, client('a"b,c')),
    (r'for="a\\", for=b', 1, {**client("b"), "HTTP_FORWARDED": "for=b"}),
    (r'for="\a"', 1, client("a")),
    (r"for=a\",for=b", 1, client(r"a\",for=b")),
]


@pytest.mark.parametrize(("value", "count", "expected"), FORWARDED, ids=input_ids(FORWARDED, 2))
def test_forwarded(value: str, count: int, expected: dict[str, Any]) -> None:
    assert apply({"Forwarded": value}, count, "forwarded") == expected


def test_an_unknown_token_of_forwarded_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert apply({"Forwarded": "for=1.2.3.4;secret=x;\xe4=1"}, 1, "forwarded") == client("1.2.3.4")
    assert [record.getMessage() for record in caplog.records] == [
        r"Unknown Forwarded token: secret, \xe4",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("Forwarded", "for=1.2.3.4" + ";\xe4=1" * 50_000, id="unknown-tokens"),
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
    ("Proto", "gopher", "X-Forwarded-Proto", "unsupported proto value"),
    ("Proto", "https://", "X-Forwarded-Proto", "unsupported proto value"),
    ("Proto", '"https', "X-Forwarded-Proto", QUOTING),
    ("For", ":80", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "192.0.2.1:abc", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "192.0.2.1:", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[]", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[::1]80", "X-Forwarded-For", "not an address with an optional port"),
    ("For", "[::1]:65536", "X-Forwarded-For", "not an address with an optional port"),
    ("Port", "abc", "X-Forwarded-Port", "not a port number"),
    ("Port", "-1", "X-Forwarded-Port", "not a port number"),
    ("Port", "65536", "X-Forwarded-Port", "not a port number"),
    ("Port", "000080", "X-Forwarded-Port", "not a port number"),
    ("Port", "8\xb2", "X-Forwarded-Port", "not a port number"),
    ("Forwarded", "for", "Forwarded", 'Invalid forwarded-pair missing "="'),
    ("Forwarded", "for=a; host=b", "Forwarded", "Token may not be surrounded by whitespace"),
    ("Forwarded", "for =a", "Forwarded", "Token may not be surrounded by whitespace"),
    ("Forwarded", "for= a", "Forwarded", "Value may not be surrounded by whitespace"),
    ("Forwarded", "for=a ;host=b", "Forwarded", "Value may not be surrounded by whitespace"),
    ("Forwarded", 'for="a', "Forwarded", QUOTING),
    ("Forwarded", "proto=gopher", "Forwarded Proto=", "unsupported proto value"),
    ("Forwarded", "host=a/b", "Forwarded Host=", "not a host with an optional port"),
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


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value, _, _ in MALFORMED], ids=short_id)
def test_a_malformed_header_of_an_untrusted_peer_is_only_hidden(name: str, value: str) -> None:
    assert apply({name: value}, trusted_proxy="192.0.2.1") == {KEYS[name]: None}


def test_a_malformed_hop_before_the_trusted_ones_is_ignored() -> None:
    assert apply({"For": '"broken, 1.2.3.4'}) == {**client("1.2.3.4"), "HTTP_X_FORWARDED_FOR": "1.2.3.4"}
    assert apply({"Forwarded": "broken, for=1.2.3.4"}, 1, "forwarded") == {
        **client("1.2.3.4"),
        "HTTP_FORWARDED": "for=1.2.3.4",
    }


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
    ("localhost", "127.0.0.1", False),
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


@pytest.mark.parametrize(("trusted_proxy", "peer", "expected"), TRUST, ids=short_id)
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


def test_records_go_to_the_given_logger(caplog: pytest.LogCaptureFixture) -> None:
    own = logging.getLogger("tests.own")
    policy = ProxyPolicy(Adjustments(listen="127.0.0.1:0", log_untrusted_proxy_headers=True), own)
    policy.apply({"REMOTE_ADDR": "192.0.2.1", "HTTP_FORWARDED": "for=a"})
    assert [record.name for record in caplog.records] == ["tests.own"]
