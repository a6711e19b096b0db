"""Headers of the PROXY protocol: what is said, what is refused, in every cut."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parser.proxy_headers import (
    LINE,
    SIGNATURE,
    TCP4,
    TCP6,
    block,
    outcome,
    outcome_in_every_cut,
    tlv,
    with_checksum,
)
from tests.support.rows import each_row
from waitress_parser import proxy_protocol
from waitress_parser.proxy_protocol import (
    TLV_ALPN,
    TLV_AUTHORITY,
    TLV_NOOP,
    TLV_SSL,
    TLV_UNIQUE_ID,
    ChecksumMismatch,
    InvalidProxyBlock,
    InvalidProxyLine,
    NoProxyHeader,
    ProxyHeader,
    ProxyHeaderTooLong,
    ProxyProtocolError,
    ProxyTls,
    crc32c,
)

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TLS = tlv(TLV_SSL, b"\x03\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"J\xc3\xbcrgen") + tlv(0x23, b"AES"))


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param(LINE, ("TCP4", "192.0.2.7", 50123, "198.51.100.1", 443), id="tcp4"),
        pytest.param(
            b"PROXY TCP6 2001:DB8:0::7 ::1 1 0\r\n", ("TCP6", "2001:db8::7", 1, "::1", 0), id="tcp6-in-another-form"
        ),
        pytest.param(
            b"PROXY TCP6 ::ffff:192.0.2.7 ::1 65535 1\r\n", ("TCP6", "::ffff:192.0.2.7", 65535, "::1", 1), id="mapped"
        ),
        pytest.param(b"PROXY UNKNOWN\r\n", ("UNKNOWN", "", 0, "", 0), id="unknown"),
        pytest.param(b"PROXY UNKNOWN \xff\n \r!\r\n", ("UNKNOWN", "", 0, "", 0), id="unknown-with-anything"),
        pytest.param(b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", ("UNKNOWN", "", 0, "", 0), id="unknown-with-107-bytes"),
    ],
)
def test_a_line_says_who_the_client_is(wire: bytes, expected: tuple[object, ...]) -> None:
    header = outcome_in_every_cut(wire + REQUEST)
    assert isinstance(header, ProxyHeader)
    assert (header.size, header.version, header.is_local) == (len(wire), 1, False)
    assert header[3:8] == expected
    assert (header.tlvs, header.tls, header.unique_id) == ((), None, b"")


@each_row(
    "line",
    [
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 50123\r\n", id="a-port-is-missing"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", id="a-part-too-many"),
        pytest.param(b"PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n", id="two-spaces"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n", id="space-at-the-end"),
        pytest.param(b"PROXY TCP4\t192.0.2.7 198.51.100.1 1 2\r\n", id="tab"),
        pytest.param(b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n", id="space-before-the-family"),
        pytest.param(b"PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n", id="family"),
        pytest.param(b"PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n", id="family-in-lower-case"),
        pytest.param(b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n", id="address-of-another-family"),
        pytest.param(b"PROXY TCP4 ::1 198.51.100.1 1 2\r\n", id="ipv6-in-tcp4"),
        pytest.param(b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", id="zero-before-a-number"),
        pytest.param(b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n", id="number-too-large"),
        pytest.param(b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n", id="three-numbers"),
        pytest.param(b"PROXY TCP6 ::1%1 ::1 1 2\r\n", id="zone"),
        pytest.param(b"PROXY TCP6 [::1] ::1 1 2\r\n", id="brackets"),
        pytest.param(b"PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n", id="seven-groups"),
        pytest.param(b"PROXY TCP6 1::2::3 ::1 1 2\r\n", id="two-runs-of-zeros"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", id="zero-before-a-port"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", id="port-too-large"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n", id="negative-port"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", id="sign"),
        pytest.param("PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 2\r\n".encode("latin-1"), id="superscript"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\nX\r\n", id="bare-lf"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\rX\r\n", id="bare-cr"),
        pytest.param(b"PROXY TCP4 192.0.2.7\0 198.51.100.1 1 2\r\n", id="nul"),
        pytest.param(b"PROXY UNKNOWNX\r\n", id="unknown-and-more"),
        pytest.param(b"PROXY \r\n", id="nothing"),
        pytest.param(b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n", id="108-bytes"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n" + REQUEST * 3, id="lf-in-place-of-crlf"),
    ],
)
def test_a_line_that_does_not_follow_the_grammar_is_refused(line: bytes) -> None:
    found = outcome_in_every_cut(line + REQUEST)
    assert isinstance(found, tuple)
    assert found[0] is InvalidProxyLine
    assert isinstance(found[1], str)
    assert found[1].isprintable()
    assert found[1].isascii()


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param(block(), ("TCP4", "192.0.2.7", 50123, "198.51.100.1", 443), id="tcp4"),
        pytest.param(block(TCP6, family=0x21), ("TCP6", "2001:db8::7", 50123, "2001:db8::1", 443), id="tcp6"),
        pytest.param(
            block(b"/run/a".ljust(108, b"\0") + b"\0name".ljust(108, b"\0"), family=0x31),
            ("UNIX", "/run/a", 0, "@name", 0),
            id="unix",
        ),
        pytest.param(block(bytes(216), family=0x31), ("UNIX", "", 0, "", 0), id="unix-without-names"),
        pytest.param(block(b"x" * 216, family=0x31), ("UNIX", "x" * 108, 0, "x" * 108, 0), id="unix-without-nul"),
        pytest.param(block(b"", family=0), ("UNKNOWN", "", 0, "", 0), id="unspecified"),
        pytest.param(block(b"junk", family=0), ("UNKNOWN", "", 0, "", 0), id="unspecified-with-anything"),
        pytest.param(block(family=0x12), ("UNKNOWN", "", 0, "", 0), id="udp"),
        pytest.param(block(family=0x10), ("UNKNOWN", "", 0, "", 0), id="transport-unspecified"),
    ],
)
def test_a_block_says_who_the_client_is(wire: bytes, expected: tuple[object, ...]) -> None:
    header = outcome_in_every_cut(wire + REQUEST)
    assert isinstance(header, ProxyHeader)
    assert (header.size, header.version, header.is_local) == (len(wire), 2, False)
    assert header[3:8] == expected


@pytest.mark.parametrize("rest", [b"", TCP4, b"junk"], ids=["empty", "addresses", "anything"])
@pytest.mark.parametrize("family", [0, 0x11, 0x31, 0x13, 0x41, 0xFF], ids=hex)
def test_a_local_connection_is_the_proxys_own_whatever_else_is_said(rest: bytes, family: int) -> None:
    wire = block(rest, command=0x20, family=family)
    assert outcome_in_every_cut(wire + REQUEST) == ProxyHeader(len(wire), 2, True, "UNKNOWN")


def test_every_version_command_family_and_transport_that_is_not_specified_is_refused() -> None:
    for byte in set(range(256)) - {0x20, 0x21}:
        assert outcome_in_every_cut(block(command=byte)) == (
            InvalidProxyBlock,
            f"0x{byte:02X} is not a version and command of the PROXY protocol",
        )
    for byte in set(range(256)) - {family << 4 | transport for family, transport in product(range(4), range(3))}:
        assert outcome_in_every_cut(block(family=byte)) == (
            InvalidProxyBlock,
            f"0x{byte:02X} is not a family and transport of the PROXY protocol",
        )


@pytest.mark.parametrize(
    ("wire", "detail"),
    [
        pytest.param(block(TCP4[:-1]), "11 bytes do not hold the addresses of TCP4", id="tcp4-cut-off"),
        pytest.param(block(TCP4, family=0x21), "12 bytes do not hold the addresses of TCP6", id="tcp4-as-tcp6"),
        pytest.param(block(b"/" * 215, family=0x31), "215 bytes do not hold the addresses of UNIX", id="unix"),
        pytest.param(block(TCP4 + b"\x04"), "a TLV of the PROXY protocol header is longer than the header", id="type"),
        pytest.param(
            block(TCP4 + b"\x04\0"), "a TLV of the PROXY protocol header is longer than the header", id="half-a-length"
        ),
        pytest.param(
            block(TCP4 + b"\x04\0\x02x"), "a TLV of the PROXY protocol header is longer than the header", id="value"
        ),
        pytest.param(
            block(TCP4 + tlv(TLV_UNIQUE_ID, b"x" * 129)), "a unique ID of 129 bytes, which exceeds 128", id="unique-id"
        ),
        pytest.param(block(TCP4 + tlv(3, b"xyz")), "a CRC32c of 3 bytes instead of 4", id="checksum-of-3-bytes"),
        pytest.param(block(TCP4 + tlv(TLV_SSL, b"\x01\0\0\0")), "the TLV about TLS is shorter than 5 bytes", id="tls"),
        pytest.param(
            block(TCP4 + tlv(TLV_SSL, b"\x01\0\0\0\0\x21\0\x09TLSv1.3")),
            "a TLV of the PROXY protocol header is longer than the header",
            id="tlv-within-tls",
        ),
    ],
)
def test_a_block_with_parts_that_do_not_fit_is_refused(wire: bytes, detail: str) -> None:
    assert outcome_in_every_cut(wire + REQUEST) == (InvalidProxyBlock, detail)


def test_a_block_beyond_the_limit_is_refused_at_its_16th_byte() -> None:
    wire = block(TCP4 + tlv(TLV_NOOP, bytes(100)))
    assert outcome(wire, len(wire)) is not None
    expected = ProxyHeaderTooLong, f"a PROXY protocol header of {len(wire)} bytes, which exceeds the limit of 130"
    assert outcome_in_every_cut(wire, 130) == expected
    assert outcome(wire[:15], 130) is None
    assert outcome(wire[:16], 130) == expected


def test_tlvs_are_given_out_in_wire_order() -> None:
    tlvs = [(TLV_UNIQUE_ID, b"\0id"), (TLV_ALPN, b"http/1.1"), (TLV_AUTHORITY, b"a"), (TLV_NOOP, b""), (0xE0, b"own")]
    header = outcome_in_every_cut(block(TCP4 + b"".join(tlv(*each) for each in tlvs)))
    assert isinstance(header, ProxyHeader)
    assert list(header.tlvs) == tlvs
    assert header.unique_id == b"\0id"
    assert header.tls is None


@pytest.mark.parametrize(
    ("first", "verify", "has_certificate", "is_verified"),
    [(0x01, 0, False, False), (0x03, 0, True, True), (0x05, 0, True, True), (0x07, 20, True, False)],
    ids=["no-certificate", "verified", "verified-in-the-session", "not-verified"],
)
def test_the_clients_tls_is_reported(first: int, verify: int, has_certificate: bool, is_verified: bool) -> None:
    value = bytes((first,)) + verify.to_bytes(4, "big") + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"J\xc3\xbc\xff")
    header = outcome_in_every_cut(block(TCP4 + tlv(TLV_SSL, value)))
    assert isinstance(header, ProxyHeader)
    assert header.tls == ProxyTls("TLSv1.3", "", has_certificate, is_verified, "J\xfc\\xff")


def test_a_client_without_tls_has_none() -> None:
    header = outcome_in_every_cut(block(TCP4 + tlv(TLV_SSL, bytes(5))))
    assert isinstance(header, ProxyHeader)
    assert header.tls is None


def test_the_checksum_is_that_of_the_known_example() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in every catalogue
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4


def test_a_header_with_a_wrong_checksum_is_refused() -> None:
    wire = with_checksum(TCP4 + TLS)
    assert isinstance(outcome_in_every_cut(wire + REQUEST), ProxyHeader)
    for index in set(range(16, len(wire))) - {len(wire) - 7}:  # the type of the checksum: then there is none
        broken = wire[:index] + bytes((wire[index] ^ 1,)) + wire[index + 1 :]
        assert not isinstance(outcome(broken), ProxyHeader)
    found = outcome_in_every_cut(wire[:-1] + bytes((wire[-1] ^ 1,)))
    assert found == (ChecksumMismatch, "the CRC32c of the PROXY protocol header does not match")


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"PROPFIND / HTTP/1.1\r\n",
        b"PROXY\t",
        b"PROXYING",
        b"proxy ",
        b"\r\nGET /",
        b"\r\n\r\n\0\r\nQUIT\r\n",
        b"\x16\x03",
    ],
    ids=["get", "propfind", "tab", "proxying", "lower-case", "empty-line", "almost-a-signature", "tls"],
)
def test_what_starts_otherwise_is_no_header(data: bytes) -> None:
    found = outcome_in_every_cut(data)
    assert isinstance(found, tuple)
    assert found[0] is NoProxyHeader


def test_the_start_of_either_version_needs_more() -> None:
    for start in (LINE, SIGNATURE):
        for end in range(len(start)):
            assert outcome(start[:end]) is None


def test_what_is_public_is_documented() -> None:
    for name in proxy_protocol.__all__:
        value = getattr(proxy_protocol, name)
        assert isinstance(value, int) or value.__doc__


LINES = st.builds(
    lambda words, end: b" ".join(words) + end,
    st.lists(
        st.sampled_from(
            [b"PROXY", b"TCP4", b"TCP6", b"UNKNOWN", b"192.0.2.7", b"::1", b"1", b"65536", b"", b"01", b"x" * 60]
        ),
        max_size=8,
    ),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"", b"\r\nGET / HTTP/1.1\r\n"]),
)
BLOCKS = st.builds(
    lambda rest, command, family: block(rest, command=command, family=family),
    st.lists(st.one_of(st.sampled_from([TCP4, TCP6, TLS, b"/" * 108]), st.binary(max_size=12)), max_size=5).map(
        b"".join
    ),
    st.sampled_from([0x20, 0x21, 0x22, 0x11]),
    st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x31, 0x41, 0x13]),
)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.one_of(LINES, BLOCKS, st.binary(max_size=40)), st.binary(max_size=8))
def test_anything_is_a_header_an_error_or_needs_more(start: bytes, end: bytes) -> None:
    data = start + end
    found = outcome_in_every_cut(data, 150)
    if isinstance(found, ProxyHeader):
        assert 0 < found.size <= min(len(data), 150)
        assert outcome(data[: found.size - 1], 150) is None
    elif found is not None:
        assert issubclass(found[0], ProxyProtocolError)
        assert found[1].isascii()
        assert found[1].isprintable()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 65535))
def test_both_versions_say_the_same(four: object, six: object, source_port: int, destination_port: int) -> None:
    for family, nibble, address in (("TCP4", 0x11, four), ("TCP6", 0x21, six)):
        packed = address.packed * 2 + source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")  # type: ignore[attr-defined]  # an address of ipaddress
        line = f"PROXY {family} {address} {address} {source_port} {destination_port}\r\n".encode()
        first, second = outcome(line), outcome(block(packed, family=nibble))
        assert isinstance(first, ProxyHeader)
        assert isinstance(second, ProxyHeader)
        assert first[3:] == second[3:]
