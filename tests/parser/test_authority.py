"""Host and authority by their grammar."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parser.helpers import GET, head_of, refusal_of
from tests.support.rows import each_row
from waitress_parser import InvalidHost
from waitress_parser import authority as authority_module
from waitress_parser.authority import is_authority, is_ipv6_address
from waitress_parser.grammar import MAX_EXAMINED_CHARACTERS


@each_row(
    "value",
    [
        "a",
        "a.example",
        "A.EXAMPLE.",
        "a-b_c~d",
        "127.0.0.1",
        "999.1.1.1",  # no IPv4address, but a reg-name
        "a:0",
        "a:80",
        "a:00080",
        "a:65535",
        "a:",
        "[::1]",
        "[::1]:80",
        "[::1]:",
        "[2001:db8::ff00:42:8329]:8443",
        "[::ffff:192.0.2.1]",
        "[1:2:3:4:5:6:7:8]",
        "[1:2:3::5:6:7:8]",
        "[1:2:3:4:5:6:127.0.0.1]",
        "%41%2f",
        "a!$&'()*+;=b",
    ],
)
def test_a_host_with_or_without_port_is_valid(value: str) -> None:
    assert head_of(GET + b"Host: \t" + value.encode() + b" \t\r\n\r\n").authority == value


@each_row(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b":80", id="port-only"),
        pytest.param(b"a b", id="space"),
        pytest.param(b"a\tb", id="tab"),
        pytest.param(b"a, b", id="list"),
        pytest.param(b"a,b", id="comma"),
        pytest.param(b"a@b", id="userinfo"),
        pytest.param(b"a:b@c", id="user-and-password"),
        pytest.param(b"a/", id="slash"),
        pytest.param(b"a?b", id="query"),
        pytest.param(b"a#b", id="fragment"),
        pytest.param(b"http://a", id="uri"),
        pytest.param(b"a\\b", id="backslash"),
        pytest.param(b"a<b>", id="angle-brackets"),
        pytest.param(b'"a"', id="quotes"),
        pytest.param(b"a:b", id="port-of-letters"),
        pytest.param(b"a:-1", id="negative-port"),
        pytest.param(b"a:+1", id="signed-port"),
        pytest.param(b"a:65536", id="port-too-high"),
        pytest.param(b"a:000080", id="port-too-long"),
        pytest.param(b"a:99999999999999999999", id="port-absurd"),
        pytest.param(b"a:80:80", id="two-ports"),
        pytest.param(b"a:\xb2", id="superscript-port"),
        pytest.param(b"\xe4", id="obs-text"),
        pytest.param(b"a\xa0", id="no-break-space"),
        pytest.param(b"%", id="percent-alone"),
        pytest.param(b"%4", id="percent-and-one-digit"),
        pytest.param(b"%zz", id="percent-and-letters"),
        pytest.param(b"::1", id="ipv6-without-brackets"),
        pytest.param(b"[::1", id="bracket-not-closed"),
        pytest.param(b"::1]", id="bracket-not-opened"),
        pytest.param(b"[]", id="empty-brackets"),
        pytest.param(b"[::1]a", id="text-after-bracket"),
        pytest.param(b"[[::1]]", id="two-brackets"),
        pytest.param(b"[::1%25eth0]", id="zone-identifier"),
        pytest.param(b"[::1%eth0]", id="bare-zone-identifier"),
        pytest.param(b"[v1.a]", id="future-address"),
        pytest.param(b"[127.0.0.1]", id="ipv4-in-brackets"),
        pytest.param(b"[1:2:3:4:5:6:7]", id="seven-groups"),
        pytest.param(b"[1:2:3:4:5:6:7:8:9]", id="nine-groups"),
        pytest.param(b"[1:2:3:4::5:6:7:8]", id="eight-groups-and-a-gap"),
        pytest.param(b"[1::2::3]", id="two-gaps"),
        pytest.param(b"[:::]", id="three-colons"),
        pytest.param(b"[12345::]", id="five-digits"),
        pytest.param(b"[::1.2.3]", id="short-ipv4-tail"),
        pytest.param(b"[::1.2.3.256]", id="ipv4-tail-out-of-range"),
        pytest.param(b"[1.2.3.4::]", id="ipv4-not-at-the-end"),
        pytest.param(b"[::g]", id="no-hex-digit"),
    ],
)
def test_anything_else_in_host_is_refused(value: bytes) -> None:
    assert refusal_of(GET + b"Host: " + value + b"\r\n\r\n").kind is InvalidHost


GROUPS = st.lists(
    st.one_of(st.sampled_from(["", "0", "1", "ff", "12345", "g"]), st.from_regex("[0-9a-f]{1,4}", fullmatch=True)),
    max_size=10,
)


@settings(max_examples=300, derandomize=True)
@given(GROUPS, st.sampled_from(["", "::", ":", "1.2.3.4", ":1.2.3.4", "01.2.3.4", "1.2.3"]))
def test_ipv6_addresses_are_those_of_the_standard_library(groups: list[str], tail: str) -> None:
    text = ":".join(groups) + tail
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        assert not is_ipv6_address(text)
    else:
        assert is_ipv6_address(text)


def test_the_host_cache_is_bounded() -> None:
    for number in range(2 * authority_module.MAX_REMEMBERED):
        assert is_authority(f"host-{number}")
    assert is_authority("a" * 300)
    assert len(authority_module._known_valid) <= authority_module.MAX_REMEMBERED
    assert max(map(len, authority_module._known_valid)) <= authority_module.MAX_REMEMBERED_CHARACTERS
    assert is_authority("new.example")
    assert not is_authority("new.example/")


@pytest.mark.parametrize("unit", ["a", "%41", "a."])
def test_an_authority_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(unit: str) -> None:
    text = (unit * MAX_EXAMINED_CHARACTERS)[: MAX_EXAMINED_CHARACTERS - 4] + "x:80"
    text = text.replace("%x", "xx").replace("%4x", "xxx")
    assert is_authority(text)
    assert not is_authority("a" + text)
    assert refusal_of(GET + b"Host: a" + text.encode() + b"\r\n\r\n").kind is InvalidHost
