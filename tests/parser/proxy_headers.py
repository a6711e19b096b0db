"""Makes headers of the PROXY protocol, and reads them in every cut."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton

from waitress_parser import NEED_MORE
from waitress_parser.proxy_protocol import TLV_CRC32C, ProxyHeader, ProxyProtocolError, crc32c, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 443\r\n"
TCP4 = inet_pton(AF_INET, "192.0.2.7") + inet_pton(AF_INET, "198.51.100.1") + b"\xc3\xcb\x01\xbb"
TCP6 = inet_pton(AF_INET6, "2001:db8::7") + inet_pton(AF_INET6, "2001:db8::1") + b"\xc3\xcb\x01\xbb"


def block(rest: bytes = TCP4, *, command: int = 0x21, family: int = 0x11) -> bytes:
    """Return a header of version 2, with these bytes after its first 16."""
    return SIGNATURE + bytes((command, family)) + len(rest).to_bytes(2, "big") + rest


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def with_checksum(rest: bytes) -> bytes:
    """Return a header of version 2 that ends with its checksum."""
    zeros = block(rest + tlv(TLV_CRC32C, bytes(4)))
    return zeros[:-4] + crc32c(zeros).to_bytes(4, "big")


def outcome(data: bytes, max_bytes: int = 4096) -> ProxyHeader | tuple[type[ProxyProtocolError], str] | None:
    """Return the header, what is wrong with it, or None if it is incomplete."""
    try:
        header = read_proxy_header(data, max_bytes)
    except ProxyProtocolError as error:
        return type(error), error.detail
    return None if header is NEED_MORE else header


def outcome_in_every_cut(
    data: bytes, max_bytes: int = 4096
) -> ProxyHeader | tuple[type[ProxyProtocolError], str] | None:
    """Return the outcome, which is the first one that any part from the start of the data has."""
    whole = outcome(data, max_bytes)
    for end in range(len(data) + 1):
        part = outcome(data[:end], max_bytes)
        if part is not None:
            if isinstance(part, tuple) and not isinstance(part, ProxyHeader) and isinstance(whole, tuple):
                # Of what is no header, the detail shows as much as there is.
                assert part[0] is whole[0], end
            else:
                assert part == whole, end
    return whole
