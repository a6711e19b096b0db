"""Adjustments: settings that contradict each other, resolved addresses, warnings."""

import logging
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_core import Adjustments
from waitress_core.config.addresses import AF_UNIX

LISTEN = "127.0.0.1:0"
IMPLICIT = (
    "No proxy headers were marked as trusted, but trusted_proxy was set. Implicitly trusting X-Forwarded-Proto for "
    "backwards compatibility. This will be removed in future versions of waitress."
)
MIXED_HEADERS = (
    "The Forwarded proxy header and the X-Forwarded-{By,Host,Proto,Port,For} headers are mutually exclusive. "
    "Can't trust both!"
)
UNKNOWN_HEADERS = (
    "Received unknown trusted_proxy_headers value ({}) expected one of forwarded, x-forwarded-by, x-forwarded-for, "
    "x-forwarded-host, x-forwarded-port, x-forwarded-proto"
)

Fault = tuple[dict[str, Any], str]  # settings and the message of the error

# In the order of the checks: the first of two faults is reported.
FAULTS: list[Fault] = [
    ({"listen": LISTEN, "host": "127.0.0.1"}, "host or port may not be set if listen is set."),
    ({"listen": LISTEN, "port": 0}, "host or port may not be set if listen is set."),
    ({"listen": "", "port": ""}, "host or port may not be set if listen is set."),
    ({"listen": LISTEN, "sockets": []}, "socket may not be set if listen is set."),
    ({"sockets": [], "host": ""}, "host or port may not be set if sockets is set."),
    ({"sockets": [], "port": 80}, "host or port may not be set if sockets is set."),
    ({"sockets": [], "unix_socket": None}, "unix_socket may not be set if sockets is set"),
    ({"unix_socket": "", "host": ""}, "unix_socket may not be set if host or port is set"),
    ({"unix_socket": "/x", "port": 80}, "unix_socket may not be set if host or port is set"),
    ({"unix_socket": "/x", "listen": LISTEN}, "unix_socket may not be set if listen is set"),
    ({"foo": 1}, "Unknown adjustment 'foo'"),
    ({"thread": 1}, "Unknown adjustment 'thread'; did you mean 'threads'?"),
    ({"Unix-Socket": 1}, "Unknown adjustment 'Unix-Socket'; did you mean 'unix_socket'?"),
    (
        {"unix_socket_perms": 0o660},
        "unix_socket_perms=432: expected octal permissions between 0 and 7777, such as '660'",
    ),
    ({"threads": "x"}, "threads='x': expected a whole number of at least 1"),
    ({"listen": "nowhere.invalid:x:80:"}, "Invalid host/port specified."),
    ({"trusted_proxy_count": 2}, "trusted_proxy_count has no meaning without setting trusted_proxy"),
    ({"trusted_proxy_headers": "forwarded"}, "trusted_proxy_headers has no meaning without setting trusted_proxy"),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "b, a"}, UNKNOWN_HEADERS.format("a, b")),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "forwarded x-forwarded-for"}, MIXED_HEADERS),
]


def can_coincide(first: Fault, second: Fault) -> bool:
    """Whether the settings of both can be given together and are still two faults."""
    needs_no_proxy = "without setting trusted_proxy" in first[1]
    return not first[0].keys() & second[0].keys() and not (needs_no_proxy and "trusted_proxy" in second[0])


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    """One socket of each kind that the check distinguishes."""
    made = {"inet": socket.socket(), "datagram": socket.socket(type=socket.SOCK_DGRAM)}
    if AF_UNIX is not None:
        made["unix"] = socket.socket(AF_UNIX)
    yield made
    for sock in made.values():
        sock.close()


@each_row(("given", "message"), FAULTS, ids=short_id)
def test_each_fault_has_its_exact_message(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Adjustments(**given)
    if message == "Invalid host/port specified.":
        assert str(caught.value).startswith(message)
    else:
        assert str(caught.value) == message


@each_row(
    ("first", "second"),
    [(first, second) for at, first in enumerate(FAULTS) for second in FAULTS[at + 1 :] if can_coincide(first, second)],
    ids=lambda fault: short_id("+".join(fault[0])),
)
def test_the_first_of_two_faults_is_reported(first: Fault, second: Fault) -> None:
    given = {**first[0], **second[0]}
    exclusive = [message for fault, message in FAULTS[:10] if fault.keys() <= given.keys()]
    expected = exclusive[0] if exclusive else first[1]
    with pytest.raises(ValueError) as caught:
        Adjustments(**given)
    assert str(caught.value).startswith(expected)


def test_ipv4_cannot_be_off_without_ipv6_in_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    message = "IPv4 is disabled but IPv6 is not available. Cowardly refusing to start."
    with pytest.raises(ValueError) as caught:
        Adjustments(ipv4=False, listen=LISTEN)
    assert str(caught.value) == message


def test_without_ipv6_in_this_python_only_ipv4_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert {address.family for address in Adjustments(listen="*:80").listen} == {socket.AF_INET}


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_with_both_families_off_both_are_resolved() -> None:
    assert len(Adjustments(ipv4=False, ipv6=False, listen="*:80").listen) == 2


@pytest.mark.promise("S04", "S05", "S06", "S07", "S78", "S80")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [("0.0.0.0", 8080)]),
        ({"port": "8081"}, [("0.0.0.0", 8081)]),
        ({"host": "127.0.0.1"}, [("127.0.0.1", 8080)]),
        ({"host": "127.0.0.1", "port": 80}, [("127.0.0.1", 80)]),
        ({"host": "*", "ipv6": "no"}, [("0.0.0.0", 8080)]),
        ({"listen": "127.0.0.1:1 127.0.0.2:2"}, [("127.0.0.1", 1), ("127.0.0.2", 2)]),
        ({"listen": "127.0.0.1:1, 127.0.0.2:2,"}, [("127.0.0.1", 1), ("127.0.0.2", 2)]),
        ({"listen": "http://127.0.0.1:8081"}, [("127.0.0.1", 8081)]),
        ({"listen": "HTTP://127.0.0.1:1/ 127.0.0.2:2"}, [("127.0.0.1", 1), ("127.0.0.2", 2)]),
        ({"listen": "http://*:81", "ipv6": False}, [("0.0.0.0", 81)]),
        ({"listen": ["127.0.0.1:1", "127.0.0.2"]}, [("127.0.0.1", 1), ("127.0.0.2", 8080)]),
        pytest.param(
            {"host": "::1", "port": 80},
            [("::1", 80)],
            marks=pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6"),
        ),
        pytest.param(
            {"host": "[::1]"},
            [("::1", 8080)],
            marks=pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6"),
        ),
        ({"unix_socket": "/run/x.sock"}, []),
    ],
    ids=short_id,
)
def test_listen_is_resolved_once(given: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    assert [address.address[:2] for address in Adjustments(**given).listen] == expected


def test_a_resolved_address_is_a_plain_tuple_of_four() -> None:
    (address,) = Adjustments(listen="127.0.0.1:80").listen
    assert address == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("127.0.0.1", 80))


@pytest.mark.parametrize("listen", ["", " ", []])
def test_a_listen_without_an_address_is_refused(listen: object) -> None:
    with pytest.raises(ValueError, match=r"^Invalid host/port specified\."):
        Adjustments(listen=listen)


def test_an_empty_unix_socket_means_none() -> None:
    assert len(Adjustments(unix_socket="").listen) == 1


def test_internet_and_unix_sockets_may_not_be_mixed(sockets: dict[str, socket.socket]) -> None:
    if "unix" not in sockets:
        pytest.skip("this system has no unix sockets")
    with pytest.raises(ValueError, match=r"^Internet and UNIX sockets may not be mixed\.$"):
        Adjustments(sockets=[sockets["inet"], sockets["unix"]])


def test_only_stream_sockets_may_be_used(sockets: dict[str, socket.socket]) -> None:
    with pytest.raises(ValueError, match=r"^Only Internet or UNIX stream sockets may be used\.$"):
        Adjustments(sockets=[sockets["inet"], sockets["datagram"]])


@pytest.mark.skipif(sys.platform != "linux", reason="socket family AF_NETLINK or the like is Linux only")
def test_only_internet_and_unix_sockets_may_be_used() -> None:
    if sys.platform == "linux":
        with (
            socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM) as other,
            pytest.raises(ValueError, match=r"^Only Internet or UNIX stream sockets may be used\.$"),
        ):
            Adjustments(sockets=[other])


NO_TLS = "needs a certificate: set tls_certificate, or behind a proxy that ends TLS listen on"


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        (
            "https://[::1]:443/",
            f"'https://[::1]:443/' {NO_TLS} http://[::1]:443 with url_scheme=https",
        ),
        (
            "http://127.0.0.1:8080/shop",
            "'http://127.0.0.1:8080/shop' has a path: listen on http://127.0.0.1:8080, with url_prefix=/shop",
        ),
        (
            "http://unix:/run/x.sock",
            "'http://unix:/run/x.sock' is a unix socket: set unix_socket=/run/x.sock, and no listen",
        ),
        ("unix:/run/x.sock", "'unix:/run/x.sock' is a unix socket: set unix_socket=/run/x.sock, and no listen"),
        ("https://unix:/x", "'https://unix:/x' is a unix socket: set unix_socket=/x, and no listen"),
        ("https://a/b", "'https://a/b' has a path: listen on https://a, with url_prefix=/b"),
        ("https://a", "'https://a' names no port, as https://a:8443 does"),
        ("http://127.0.0.1", "'http://127.0.0.1' names no port, as http://127.0.0.1:8080 does"),
        ("http://[::1]/", "'http://[::1]/' names no port, as http://[::1]:8080 does"),
        ("ftp://127.0.0.1:80", "'ftp://127.0.0.1:80' is not HOST:PORT, [IPV6]:PORT or *:PORT"),
        ("http://", "'http://' is not HOST:PORT, [IPV6]:PORT or *:PORT"),
        ("/run/x.sock", "'/run/x.sock' is a unix socket: set unix_socket=/run/x.sock, and no listen"),
        ("./run:x/y", "'./run:x/y' is a unix socket: set unix_socket=./run:x/y, and no listen"),
        ("shop.sock", "'shop.sock' is a unix socket: set unix_socket=shop.sock, and no listen"),
        ("unix:///x", "'unix:///x' is a unix socket: set unix_socket=/x, and no listen"),
        ("proxy+/x", "'proxy+/x' is a unix socket: set unix_socket=/x, and no listen"),
        ("fd://3", "'fd://3' names no descriptor, as fd:3 does"),
        ("", "no address is named, as HOST:PORT, [IPV6]:PORT or *:PORT"),
    ],
)
def test_a_url_that_cannot_be_listened_on_says_what_to_do(listen: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Adjustments(listen=listen)
    assert str(caught.value) == f"Invalid host/port specified. listen={listen!r}: {message}"


@pytest.mark.parametrize(
    ("listen", "remedy"),
    [
        ("::1", "; an IPv6 address is written in brackets, as [::1]:8080"),
        ("fe80::1%lo", "; an IPv6 address is written in brackets, as [::1]:8080"),
        ("[::1", "; an IPv6 address is written in brackets, as [::1]:8080"),
        ("127.0.0.1:nope", "; 'nope' is neither a port number nor the name of a service"),
        ("127.0.0.1:\ud800", r"; '\ud800' is neither a port number nor the name of a service"),
        ("no-such-host.invalid:80", ""),
    ],
    ids=["ipv6", "zone", "one-bracket", "service", "surrogate", "host"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there no name of a service is looked up")
def test_an_address_that_cannot_be_looked_up_has_its_remedy(listen: str, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        Adjustments(listen=listen)
    assert str(caught.value).endswith(f"){remedy}")


def test_given_sockets_take_the_place_of_addresses(sockets: dict[str, socket.socket]) -> None:
    adj = Adjustments(sockets=(sockets["inet"],))
    assert adj.sockets == [sockets["inet"]]
    assert adj.listen == []


@pytest.mark.parametrize(
    "headers",
    [
        "X-Forwarded-For x-forwarded-FOR",
        "X-Forwarded-For,",
        " X-Forwarded-For, x-forwarded-for ",
        ["x-forwarded-for"],
        {"X-FORWARDED-FOR"},
    ],
)
def test_trusted_headers_are_read_in_any_case(headers: object) -> None:
    adj = Adjustments(listen=LISTEN, trusted_proxy="*", trusted_proxy_headers=headers)
    assert adj.trusted_proxy_headers == {"x-forwarded-for"}


@pytest.mark.promise("S24")
def test_a_trusted_proxy_without_headers_trusts_the_scheme_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(IMPLICIT)}$") as caught:
        adj = Adjustments(listen=LISTEN, trusted_proxy="*")
    assert caught[0].filename == __file__
    assert adj.trusted_proxy_headers == {"x-forwarded-proto"}


@pytest.mark.promise("S70")
def test_send_bytes_warns_and_is_kept() -> None:
    with pytest.warns(DeprecationWarning, match=r"^send_bytes will be removed in a future release$") as caught:
        adj = Adjustments(listen=LISTEN, send_bytes=18000)
    assert caught[0].filename == __file__
    assert adj.send_bytes == 18000


LOOPBACK = "trusted_proxy=localhost: peers at 127.0.0.0/8 and ::1 are trusted, as no listener is a unix socket"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"listen": LISTEN, "trusted_proxy": "localhost"}, [LOOPBACK]),
        ({"listen": LISTEN, "trusted_proxy": "10.0.0.1, localhost"}, [LOOPBACK]),
        ({"unix_socket": "/x", "trusted_proxy": "localhost"}, []),
        ({"listen": LISTEN, "trusted_proxy": "127.0.0.1"}, []),
    ],
    ids=["tcp", "one-of-several", "unix", "by-address"],
)
def test_localhost_without_a_unix_socket_says_what_it_means(
    given: dict[str, Any], expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    Adjustments(**given, trusted_proxy_headers="x-forwarded-for")
    assert [record.getMessage() for record in caplog.records] == expected


def test_localhost_with_a_given_socket_is_what_the_socket_is(
    sockets: dict[str, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    for kind, expected in (("inet", [LOOPBACK]), ("unix", [])):
        if kind in sockets:
            caplog.clear()
            Adjustments(sockets=[sockets[kind]], trusted_proxy="localhost", trusted_proxy_headers="forwarded")
            assert [record.getMessage() for record in caplog.records] == expected


@pytest.mark.parametrize(
    ("given", "is_on", "text"),
    [
        ({}, False, "combined"),
        ({"access_log": True}, True, "combined"),
        ({"access_log": "yes", "access_log_format": "json"}, True, "json"),
        ({"access_log": "json"}, True, "json"),
        ({"access_log": "combined"}, True, "combined"),
        ({"access_log": "{method} {target}"}, True, "{method} {target}"),
        ({"access_log": "json", "access_log_format": "json"}, True, "json"),
        ({"access_log": False, "access_log_format": "json"}, False, "json"),
    ],
    ids=short_id,
)
def test_the_name_of_a_format_turns_the_access_log_on(given: dict[str, Any], is_on: bool, text: str) -> None:
    adj = Adjustments(listen=LISTEN, **given)
    assert adj.access_log is is_on
    assert adj.access_log_format == text


def test_two_formats_of_the_access_log_are_refused() -> None:
    with pytest.raises(ValueError) as caught:
        Adjustments(listen=LISTEN, access_log="json", access_log_format="{status}")
    assert str(caught.value) == "access_log='json' and access_log_format='{status}' are two formats: give one"


def test_a_class_may_set_a_format_as_its_default() -> None:
    own = type("Own", (Adjustments,), {"access_log": "json"})(listen=LISTEN)
    assert (own.access_log, own.access_log_format) == (True, "json")


def test_nothing_warns_by_default() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Adjustments(listen=LISTEN)


def test_a_default_set_on_the_class_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Adjustments):
        ident = "kettle"

    monkeypatch.setattr(Adjustments, "threads", 7)
    assert (Own(listen=LISTEN).ident, Own(listen=LISTEN, ident="cup").ident) == ("kettle", "cup")
    assert (Own(listen=LISTEN).threads, Adjustments(listen=LISTEN).threads) == (7, 7)


@pytest.mark.parametrize(
    ("given", "port"), [({}, 81), ({"listen": "127.0.0.1:82"}, 82), ({"host": "127.0.0.1", "port": 83}, 83)]
)
def test_a_class_may_set_a_default_for_listen(given: dict[str, Any], port: int) -> None:
    own = type("Own", (Adjustments,), {"listen": ["127.0.0.1:81"]})
    assert [address.address for address in own(**given).listen] == [("127.0.0.1", port)]


def test_addresses_may_be_given_by_an_iterator() -> None:
    assert len(Adjustments(listen=(word for word in [LISTEN, LISTEN])).listen) == 2


@pytest.mark.parametrize("scheme", ["https", "coap+tcp", "a-b", "a.b1"])
def test_a_scheme_may_have_every_character_of_rfc_3986(scheme: str) -> None:
    assert Adjustments(url_scheme=scheme).url_scheme == scheme


def test_a_server_that_changes_its_lists_changes_no_default() -> None:
    adj = Adjustments(unix_socket="/x")
    adj.sockets.append(None)  # type: ignore[arg-type]
    adj.trusted_proxy_headers.add("x")
    assert Adjustments(unix_socket="/x").sockets == []
    assert Adjustments(unix_socket="/x").trusted_proxy_headers == set()


def test_accepted_connections_have_tcp_nodelay_by_default() -> None:
    assert Adjustments.socket_options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


@pytest.mark.parametrize("settings", [{"shutdown_delay": 26}, {"shutdown_delay": 5, "shutdown_timeout": 4}])
def test_a_shutdown_delay_above_the_shutdown_timeout_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^shutdown_delay=\d+: expected no more than shutdown_timeout"):
        Adjustments(listen=LISTEN, **settings)
    assert Adjustments(listen=LISTEN, shutdown_delay=26, shutdown_timeout=26).shutdown_delay == 26
