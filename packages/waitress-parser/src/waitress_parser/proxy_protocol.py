"""The header of the PROXY protocol, versions 1 and 2: what a proxy says about a connection before the first request.

    version 1   PROXY SP ("TCP4" / "TCP6") SP source SP destination SP source-port SP destination-port CRLF
                PROXY SP "UNKNOWN" [ SP anything ] CRLF                                    at most 107 bytes
    version 2   signature (12 bytes), version and command, family and transport, length (2 bytes): 16 bytes
                source, destination, ports                                                 12, 36 or 216 bytes
                *( type (1 byte), length (2 bytes), value )                                the TLVs

Source: "The PROXY protocol, versions 1 & 2", section 2, by Willy Tarreau (proxy-protocol.txt of HAProxy).

Anyone who can send such a header can claim any address: read it only from proxies that you trust.

Choices where the specification leaves one:

- UNKNOWN, LOCAL and everything that is not a stream (UDP, for example) say nothing about the client: the header is
  valid, without addresses and TLVs. Use the addresses of the connection itself.
- A header of version 2 may have at most `max_bytes`: with its TLVs, it could have 64 KiB.
- A CRC32c is checked if there is one.
- Addresses are returned in the form of `inet_ntop`, whatever form a proxy has written them in.

Pure: no clock, no I/O, no state. `read_proxy_header` reads everything that has arrived so far, each time: a header is
short, and of one that is not complete only the first bytes are read.
"""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, NamedTuple

from .authority import is_ipv4_address, is_ipv6_address
from .errors import shown
from .events import NEED_MORE, NeedMore

__all__ = [
    "MAX_PROXY_HEADER_BYTES",
    "TLV_ALPN",
    "TLV_AUTHORITY",
    "TLV_CRC32C",
    "TLV_NETNS",
    "TLV_NOOP",
    "TLV_SSL",
    "TLV_UNIQUE_ID",
    "ChecksumMismatch",
    "InvalidProxyBlock",
    "InvalidProxyLine",
    "NoProxyHeader",
    "ProxyHeader",
    "ProxyHeaderTooLong",
    "ProxyProtocolError",
    "ProxyTls",
    "read_proxy_header",
]

# nginx 4096. Doubled: a peer can have the server keep 8 KiB before it is known. Halved: there is less room for what
# cloud providers add, and for the names of client certificates.
MAX_PROXY_HEADER_BYTES = 4096

# Section 2.2: the registered types of TLVs.
TLV_ALPN: Final = 0x01
TLV_AUTHORITY: Final = 0x02
TLV_CRC32C: Final = 0x03
TLV_NOOP: Final = 0x04
TLV_UNIQUE_ID: Final = 0x05
TLV_SSL: Final = 0x20
TLV_NETNS: Final = 0x30
# Section 2.2.6: those within TLV_SSL that are read, and the bits of its first byte.
_TLS_VERSION, _TLS_COMMON_NAME, _TLS_CIPHER = 0x21, 0x22, 0x23
_CLIENT_TLS, _CLIENT_CERTIFICATE = 0x01, 0x02 | 0x04

_LINE_START = b"PROXY "
_MAX_LINE_BYTES = 107  # section 2.1, with CRLF
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_BLOCK_START_BYTES = 16
_MAX_UNIQUE_ID_BYTES = 128  # section 2.2.5
_UNIX_PATH_BYTES = 108

_LOCAL, _PROXY = 0, 1  # commands
_INET, _INET6, _UNIX = 1, 2, 3  # families, in the upper half of the 14th byte
_FAMILY_NAMES = {_INET: "TCP4", _INET6: "TCP6", _UNIX: "UNIX"}
_ADDRESSES_BYTES = {_INET: 12, _INET6: 36, _UNIX: 2 * _UNIX_PATH_BYTES}
_STREAM, _DATAGRAM = 1, 2  # transports, in the lower half


class ProxyProtocolError(Exception):
    """The bytes are not an acceptable header: close the connection, and interpret nothing of it.

    `detail` is one line of printable ASCII, for the log.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NoProxyHeader(ProxyProtocolError):
    """The connection starts with something other than a header of either version."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f'no PROXY protocol header: the connection starts with "{shown(data.decode("latin-1"))}"')


class InvalidProxyLine(ProxyProtocolError):
    """A header of version 1 that does not follow its grammar, or has no end within 107 bytes."""


class InvalidProxyBlock(ProxyProtocolError):
    """A header of version 2 with a value that the specification does not define, or with parts of wrong lengths."""


class ProxyHeaderTooLong(ProxyProtocolError):
    """A header of version 2 with more bytes than the limit; `limit` is the largest number that is accepted."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a PROXY protocol header of {size} bytes, which exceeds the limit of {limit}")
        self.limit = limit


class ChecksumMismatch(ProxyProtocolError):
    """The CRC32c in the header does not match the header."""

    def __init__(self) -> None:
        super().__init__("the CRC32c of the PROXY protocol header does not match")


class ProxyTls(NamedTuple):
    """The TLS connection between the client and the proxy."""

    version: str
    """For example "TLSv1.3"; empty if unknown."""
    cipher: str
    """OpenSSL's name; empty if unknown."""
    has_client_certificate: bool
    """Whether the client has sent a certificate in this TLS session."""
    is_verified: bool
    """Whether it has, and the proxy has verified it."""
    common_name: str
    """The common name (CN) of that certificate; empty if there is none. It may have control characters."""


class ProxyHeader(NamedTuple):
    """The header that a proxy sends about a connection."""

    size: int
    """Number of bytes of the header; the client has sent the bytes after it."""
    version: int
    """1 or 2."""
    is_local: bool
    """Whether the proxy has opened the connection for itself, for example for a health check (LOCAL)."""
    family: str
    """"TCP4", "TCP6", "UNIX", or "UNKNOWN". If "UNKNOWN", use the addresses of the connection."""
    source: str = ""
    """The client's address; for UNIX a path, decoded as latin-1, with `@` in place of the NUL of an abstract name."""
    source_port: int = 0
    """The client's port; 0 for UNIX."""
    destination: str = ""
    """The address to which the client has connected."""
    destination_port: int = 0
    """The port to which the client has connected; 0 for UNIX."""
    tlvs: tuple[tuple[int, bytes], ...] = ()
    """Type and value of each TLV of version 2, in wire order."""
    tls: ProxyTls | None = None
    """None if the client does not speak TLS with the proxy, or the proxy does not report it."""

    @property
    def unique_id(self) -> bytes:
        """The proxy's id of the connection, at most 128 bytes; empty if there is none."""
        return dict(self.tlvs).get(TLV_UNIQUE_ID, b"")


def read_proxy_header(data: bytes, max_bytes: int = MAX_PROXY_HEADER_BYTES) -> ProxyHeader | NeedMore:
    """Return the header at the start of `data`, which is everything that has arrived; NEED_MORE if it is incomplete.

    The result is the same however the bytes were cut.

    Raises:
        NoProxyHeader: `data` starts with something else: where a header is optional, with the client's first request.
        InvalidProxyLine, InvalidProxyBlock, ProxyHeaderTooLong, ChecksumMismatch: see there.
    """
    for start, read in ((_LINE_START, _read_line), (_SIGNATURE, _read_block)):
        if data.startswith(start):
            return read(data, max_bytes)
        if start.startswith(data):
            return NEED_MORE
    raise NoProxyHeader(data[:16])


# --- version 1


def _read_line(data: bytes, max_bytes: int) -> ProxyHeader | NeedMore:
    end = data.find(b"\r\n", 0, _MAX_LINE_BYTES)
    if end < 0:
        if len(data) < _MAX_LINE_BYTES:
            return NEED_MORE
        raise InvalidProxyLine(f"a PROXY line without its end within {_MAX_LINE_BYTES} bytes")
    size = end + 2
    line = data[:end].decode("latin-1")
    _, family, *rest = line.split(" ")
    if family == "UNKNOWN":
        return ProxyHeader(size, 1, False, family)
    try:
        source, destination, source_port, destination_port = rest
        return ProxyHeader(
            size,
            1,
            False,
            family,
            _address(family, source),
            _port(source_port),
            _address(family, destination),
            _port(destination_port),
        )
    except ValueError:
        raise InvalidProxyLine(f'"{shown(line)}" is not a line of the PROXY protocol') from None


def _address(family: str, text: str) -> str:
    if family == "TCP4" and is_ipv4_address(text):
        return text
    if family == "TCP6" and is_ipv6_address(text):
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
    raise ValueError(text)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and (text == "0" or text[0] != "0"):
        port = int(text)
        if port <= 0xFFFF:
            return port
    raise ValueError(text)


# --- version 2


def _read_block(data: bytes, max_bytes: int) -> ProxyHeader | NeedMore:
    # In the order of the bytes, and each as soon as it is there: then the fault is the same however they were cut.
    if len(data) > 12 and (data[12] >> 4 != 2 or data[12] & 0xF > _PROXY):
        raise InvalidProxyBlock(f"0x{data[12]:02X} is not a version and command of the PROXY protocol")
    is_local = len(data) > 12 and data[12] & 0xF == _LOCAL  # then the family is to be ignored, whatever it is
    if len(data) > 13 and not is_local and (data[13] >> 4 > _UNIX or data[13] & 0xF > _DATAGRAM):
        raise InvalidProxyBlock(f"0x{data[13]:02X} is not a family and transport of the PROXY protocol")
    if len(data) < _BLOCK_START_BYTES:
        return NEED_MORE
    size = _BLOCK_START_BYTES + int.from_bytes(data[14:16], "big")
    if size > max_bytes:
        raise ProxyHeaderTooLong(size, max_bytes)
    if len(data) < size:
        return NEED_MORE
    family = data[13] >> 4
    if is_local or family not in _FAMILY_NAMES or data[13] & 0xF != _STREAM:
        return ProxyHeader(size, 2, is_local, "UNKNOWN")
    tlvs_start = _BLOCK_START_BYTES + _ADDRESSES_BYTES[family]
    if size < tlvs_start:
        raise InvalidProxyBlock(
            f"{size - _BLOCK_START_BYTES} bytes do not hold the addresses of {_FAMILY_NAMES[family]}"
        )
    tlvs = _read_tlvs(data[tlvs_start:size])
    _check(data[:size], tlvs_start, tlvs)
    addresses = _read_addresses(family, data[_BLOCK_START_BYTES:tlvs_start])
    tls = next((_read_tls(value) for kind, value in tlvs if kind == TLV_SSL), None)
    return ProxyHeader(size, 2, False, _FAMILY_NAMES[family], *addresses, tlvs, tls)


def _read_addresses(family: int, block: bytes) -> tuple[str, int, str, int]:
    """Return source, its port, destination, its port."""
    if family == _UNIX:
        return _path(block[:_UNIX_PATH_BYTES]), 0, _path(block[_UNIX_PATH_BYTES:]), 0
    of_socket = AF_INET if family == _INET else AF_INET6
    half = (len(block) - 4) // 2
    source, destination = inet_ntop(of_socket, block[:half]), inet_ntop(of_socket, block[half:-4])
    return source, int.from_bytes(block[-4:-2], "big"), destination, int.from_bytes(block[-2:], "big")


def _path(block: bytes) -> str:
    if block.startswith(b"\0"):  # an abstract name, which is no path, or nothing
        name = block[1:].rstrip(b"\0")
        return "@" + name.decode("latin-1") if name else ""
    return block.partition(b"\0")[0].decode("latin-1")


def _read_tlvs(block: bytes) -> tuple[tuple[int, bytes], ...]:
    tlvs = []
    start = 0
    while start < len(block):
        end = start + 3 + int.from_bytes(block[start + 1 : start + 3], "big")
        if start + 3 > len(block) or end > len(block):
            raise InvalidProxyBlock("a TLV of the PROXY protocol header is longer than the header")
        kind, value = block[start], block[start + 3 : end]
        if kind == TLV_UNIQUE_ID and len(value) > _MAX_UNIQUE_ID_BYTES:
            raise InvalidProxyBlock(f"a unique ID of {len(value)} bytes, which exceeds {_MAX_UNIQUE_ID_BYTES}")
        tlvs.append((kind, value))
        start = end
    return tuple(tlvs)


def _read_tls(value: bytes) -> ProxyTls | None:
    if len(value) < 5:
        raise InvalidProxyBlock("the TLV about TLS is shorter than 5 bytes")
    client, verify = value[0], int.from_bytes(value[1:5], "big")
    texts = {kind: text.decode("utf-8", "backslashreplace") for kind, text in _read_tlvs(value[5:])}
    if not client & _CLIENT_TLS:
        return None
    has_certificate = bool(client & _CLIENT_CERTIFICATE)
    return ProxyTls(
        texts.get(_TLS_VERSION, ""),
        texts.get(_TLS_CIPHER, ""),
        has_certificate,
        has_certificate and verify == 0,
        texts.get(_TLS_COMMON_NAME, ""),
    )


# --- the checksum of version 2 (section 2.2.3; RFC 4960 appendix B)


def _check(header: bytes, start: int, tlvs: tuple[tuple[int, bytes], ...]) -> None:
    for kind, value in tlvs:
        start += 3
        if kind == TLV_CRC32C:
            if len(value) != 4:
                raise InvalidProxyBlock(f"a CRC32c of {len(value)} bytes instead of 4")
            if crc32c(header[:start] + bytes(4) + header[start + 4 :]) != int.from_bytes(value, "big"):
                raise ChecksumMismatch
        start += len(value)


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # the polynomial, bits reversed
    return byte


_CRC_OF_BYTES = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """Return the CRC32c of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_OF_BYTES[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
