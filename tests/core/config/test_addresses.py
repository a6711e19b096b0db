"""Addresses: listen words, and what they resolve to."""

import re
import socket
import sys
from typing import Any

import pytest

from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_core.config import addresses
from waitress_core.config.addresses import ListenAddress, bracketed, parse_listen_word, resolve, split_listen_word

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")


def test_only_ipv6_addresses_get_brackets() -> None:
    assert bracketed("::1") == "[::1]"
    assert bracketed("[::1]") == "[::1]"
    assert bracketed("127.0.0.1") == "127.0.0.1"
    assert bracketed("localhost") == "localhost"


@each_row(
    ("word", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", "80"),
        ("localhost", "localhost", "8080"),
        ("[::1]:80", "::1", "80"),
        ("[::1]", "::1", "8080"),
        ("*:80", "*", "80"),
        ("*", "*", "8080"),
        ("::1:5", "::1", "5"),
        ("[::1:80", "[::1", "80"),
        ("::1]", "::1]", "8080"),
        (":80", "*", "80"),
        ("80", "*", "80"),
        (":", "*", ""),
        ("", "", "8080"),
        ("\u0668\u0660", "\u0668\u0660", "8080"),
        ("localhost:", "localhost", ""),
        ("localhost:http", "localhost", "http"),
    ],
)
def test_a_word_is_split_at_its_last_colon_outside_brackets(word: str, host: str, port: str) -> None:
    assert split_listen_word(word, "8080") == (host, port)


@pytest.mark.parametrize(
    ("text", "scheme", "has_proxy_prelude", "place"),
    [
        ("127.0.0.1:80", "", False, "127.0.0.1:80"),
        ("*", "", False, "*"),
        ("http://127.0.0.1:80", "http", False, "127.0.0.1:80"),
        ("HTTPS://[::1]:443/", "https", False, "[::1]:443"),
        ("proxy+127.0.0.1:80", "", True, "127.0.0.1:80"),
        ("proxy+https://*:443", "https", True, "*:443"),
        ("Proxy+http://a:1", "http", True, "a:1"),
    ],
)
def test_a_word_has_a_prelude_a_scheme_and_a_place(text: str, scheme: str, has_proxy_prelude: bool, place: str) -> None:
    assert parse_listen_word(text) == (text, scheme, has_proxy_prelude, "inet", place)


@pytest.mark.parametrize(
    ("text", "scheme", "has_proxy_prelude", "kind", "place"),
    [
        ("systemd", "", False, "systemd", ""),
        ("systemd:web", "", False, "systemd", "web"),
        ("systemd:shop.socket", "", False, "systemd", "shop.socket"),
        ("http://systemd", "http", False, "systemd", ""),
        ("proxy+https://systemd:web", "https", True, "systemd", "web"),
        ("fd:3", "", False, "fd", "3"),
        ("https://fd:3", "https", False, "fd", "3"),
        ("systemd:8080", "", False, "inet", "systemd:8080"),
        ("fd", "", False, "inet", "fd"),
    ],
)
def test_a_word_may_name_sockets_to_inherit(
    text: str, scheme: str, has_proxy_prelude: bool, kind: str, place: str
) -> None:
    assert parse_listen_word(text) == (text, scheme, has_proxy_prelude, kind, place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("systemd:", "'systemd:' names no socket, as systemd:web does; systemd alone is all of them"),
        ("fd:", "'fd:' names no descriptor, as fd:3 does"),
        ("fd:-1", "'fd:-1' names no descriptor, as fd:3 does"),
        ("fd:three", "'fd:three' names no descriptor, as fd:3 does"),
        ("fd:1234567890", "'fd:1234567890' names no descriptor, as fd:3 does"),
    ],
)
def test_a_word_that_names_no_socket_to_inherit_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_listen_word(text)


def test_a_socket_to_inherit_has_no_address_and_carries_its_word() -> None:
    (address,) = resolve(["http://systemd:web"], "8080", ipv4=True, ipv6=True)
    assert (address.family, address.scheme) == (socket.AF_UNSPEC, "http")
    assert address.inherited == parse_listen_word("http://systemd:web")


def test_an_address_carries_what_its_word_says_and_unpacks_to_four() -> None:
    (address,) = resolve(["http://127.0.0.1:80"], "8080", ipv4=True, ipv6=True)
    assert (address.scheme, address.has_proxy_prelude) == ("http", False)
    family, _, _, place = address
    assert (family, place) == (socket.AF_INET, ("127.0.0.1", 80))
    plain = ListenAddress(*address)
    assert (plain, plain.scheme, plain.has_proxy_prelude) == (address, "", False)


def test_a_word_without_a_scheme_has_the_default_one() -> None:
    words = ["127.0.0.1:1", "http://127.0.0.1:2", "https://127.0.0.1:3"]
    found = resolve(words, "8080", ipv4=True, ipv6=True, default_scheme="https")
    assert [address.scheme for address in found] == ["https", "http", "https"]


def test_two_words_that_contradict_each_other_are_refused() -> None:
    words = ["127.0.0.1:80", "http://127.0.0.1:80"]
    assert len(resolve(words, "8080", ipv4=True, ipv6=True)) == 1
    with pytest.raises(ValueError, match=r"'http://127\.0\.0\.1:80' contradicts an earlier word"):
        resolve(words, "8080", ipv4=True, ipv6=True, default_scheme="https")


@pytest.mark.promise("S78", "S80")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("127.0.0.1:80", [(socket.AF_INET, ("127.0.0.1", 80))]),
        ("127.0.0.1", [(socket.AF_INET, ("127.0.0.1", 8080))]),
        ("127.0.0.1:65535", [(socket.AF_INET, ("127.0.0.1", 65535))]),
        ("127.0.0.1:2 127.0.0.1:1", [(socket.AF_INET, ("127.0.0.1", 2)), (socket.AF_INET, ("127.0.0.1", 1))]),
        ("127.0.0.1:1 127.0.0.1:1", [(socket.AF_INET, ("127.0.0.1", 1))]),
        ("127.0.0.1:0 127.0.0.1:0", [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.1", 0))]),
        pytest.param("[::1]:80", [(socket.AF_INET6, ("::1", 80, 0, 0))], marks=needs_ipv6),
        pytest.param("::1:80", [(socket.AF_INET6, ("::1", 80, 0, 0))], marks=needs_ipv6),
    ],
)
def test_words_resolve_in_order_and_each_address_once(words: str, expected: list[tuple[int, object]]) -> None:
    found = resolve(words.split(), "8080", ipv4=True, ipv6=True)
    assert [(address.family, address.address) for address in found] == expected
    assert {address.type for address in found} == {socket.SOCK_STREAM}


@needs_ipv6
@pytest.mark.parametrize(
    ("ipv4", "ipv6", "families"),
    [
        (True, True, {socket.AF_INET, socket.AF_INET6}),
        (True, False, {socket.AF_INET}),
        (False, True, {socket.AF_INET6}),
        (False, False, {socket.AF_INET, socket.AF_INET6}),
    ],
)
def test_a_star_is_the_wildcard_of_each_enabled_family(ipv4: bool, ipv6: bool, families: set[int]) -> None:
    found = resolve(["*:80"], "8080", ipv4=ipv4, ipv6=ipv6)
    assert {address.family for address in found} == families
    assert {address.address[0] for address in found} <= {"0.0.0.0", "::"}


@pytest.mark.promise("S77")
def test_resolving_sets_ai_passive_and_no_other_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getaddrinfo(*arguments: object) -> list[Any]:
        asked.append(arguments)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ValueError, match="no address"):
        resolve(["*:80"], "8080", ipv4=True, ipv6=False)
    assert asked == [(None, "80", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_PASSIVE)]


def found_addresses(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, Any]) -> list[ListenAddress]:
    entries = [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for family, address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: entries)
    return resolve(["name:80"], "8080", ipv4=True, ipv6=True)


def test_a_name_resolves_to_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_addresses(
        monkeypatch, (socket.AF_INET6, ("::1", 80, 0, 0)), (socket.AF_INET, ("10.0.0.1", 80)), (9999, ("?", 80))
    )
    assert [address.address for address in found] == [("::1", 80, 0, 0), ("10.0.0.1", 80)]


def test_a_zone_index_does_not_make_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_addresses(
        monkeypatch, (socket.AF_INET6, ("fe80::1%eth0", 80, 0, 2)), (socket.AF_INET6, ("fe80::1%eth1", 80, 0, 3))
    )
    assert [address.address for address in found] == [("fe80::1%eth0", 80, 0, 2)]


@pytest.mark.parametrize(
    "word",
    [
        ":",
        "localhost:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:--1",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:8\N{SUPERSCRIPT TWO}",
        "127.0.0.1:no-such-service",
        "256.256.256.256:80",
        "a..b:80",
        "a" * 300 + ":80",
        "a\0b:80",
    ],
    ids=short_id,
)
def test_a_word_that_is_not_an_address_is_named_in_the_error(word: str) -> None:
    with pytest.raises(ValueError) as caught:
        resolve([word], "8080", ipv4=True, ipv6=False)
    is_service = sys.platform == "win32" and "service" in str(caught.value)
    assert repr(word) in str(caught.value) or is_service


def test_an_address_of_a_disabled_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:80"):
        resolve(["127.0.0.1:80"], "8080", ipv4=False, ipv6=True)


def test_an_empty_list_of_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no address"):
        resolve([], "8080", ipv4=True, ipv6=True)


@pytest.mark.promise("S78")
def test_windows_has_no_service_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ValueError, match=r"^Windows does not support service names instead of port numbers$"):
        resolve(["127.0.0.1:http"], "8080", ipv4=True, ipv6=False)


@pytest.mark.promise("S10", "S79")
def test_constants_that_a_system_lacks_are_set_to_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second module object, so that the one that others have imported does not change.
    import importlib.util

    monkeypatch.delattr(socket, "IPPROTO_IPV6", raising=False)
    monkeypatch.delattr(socket, "IPV6_V6ONLY", raising=False)
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    spec = importlib.util.find_spec("waitress_core.config.addresses")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.IPPROTO_IPV6, module.IPV6_V6ONLY, module.AF_UNIX) == (41, 27, None)
    assert addresses.AF_UNIX is None or isinstance(addresses.AF_UNIX, int)
