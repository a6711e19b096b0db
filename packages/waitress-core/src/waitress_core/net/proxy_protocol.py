"""The PROXY protocol header at the start of a connection: read it from the socket, and nothing behind it.

What follows the header stays in the socket, for a plain transport or for one that speaks TLS. Who may send a header,
and until when, is decided by `connection.prelude`.

Thread: the leader.
"""

import errno
import socket

from waitress_parser import NEED_MORE
from waitress_parser.proxy_protocol import (
    MAX_PROXY_HEADER_BYTES,
    TLV_AUTHORITY,
    ProxyHeader,
    ProxyTls,
    read_proxy_header,
)

from .transport import Disconnected


class HeaderReader:
    """Reads the header of one accepted socket."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._socket = accepted
        self.held = b""  # the start of a header, or of something that could be one

    def read(self) -> ProxyHeader | None:
        """Return the header; None while it is incomplete.

        Raises:
            ProxyProtocolError: it is invalid. After NoProxyHeader the client's bytes are in `held`, and in the socket.
            Disconnected: the connection has ended.
        """
        try:
            # Peeked, and taken when it is known to be of a header: the poller would go on reporting what is left.
            data = self._socket.recv(MAX_PROXY_HEADER_BYTES, socket.MSG_PEEK)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the connection has ended before a PROXY protocol header")
            header = read_proxy_header(self.held + data)
            if header is NEED_MORE:
                self.held += self._socket.recv(len(data))
                return None
            self._socket.recv(header.size - len(self.held))
            return header
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(error) from error


class ProxyInfo:
    """What its proxy has reported about a connection."""

    __slots__ = ("_request_count", "_unique_id", "environ")

    def __init__(self, header: ProxyHeader) -> None:
        # Set once
        self.environ = _environ_of(header)  # what each of its requests has
        unique_id = header.unique_id
        # Any bytes: those that are no visible ASCII are given in hexadecimal digits.
        is_text = unique_id.isascii() and unique_id.decode("latin-1").isprintable() and b" " not in unique_id
        self._unique_id = unique_id.decode("latin-1") if is_text else unique_id.hex()
        # Reactor only
        self._request_count = 0

    def next_request_id(self) -> str:
        """Return an id for the next request, made of the proxy's id of the connection; empty without one."""
        if not self._unique_id:
            return ""
        self._request_count += 1
        return self._unique_id if self._request_count == 1 else f"{self._unique_id}/{self._request_count}"


def client_of(header: ProxyHeader) -> tuple[str, str] | None:
    """Return the client's address and port; None if the header does not say them, so that the peer's own hold."""
    if header.family == "UNKNOWN":
        return None
    return ("unix", "") if header.family == "UNIX" else (header.source, str(header.source_port))


def _environ_of(header: ProxyHeader) -> dict[str, str]:
    environ = {}
    if header.family in ("TCP4", "TCP6"):
        environ["SERVER_PORT"] = str(header.destination_port)
    if header.tls is not None:
        environ |= _tls_environ(header.tls)
        server_name = dict(header.tlvs).get(TLV_AUTHORITY, b"")
        if server_name:
            environ["SSL_SERVER_NAME"] = server_name.decode("latin-1")
    return environ


def _tls_environ(tls: ProxyTls) -> dict[str, str]:
    """Return what is said of the client's TLS, by the names of Apache's mod_ssl."""
    environ = {"HTTPS": "on", "wsgi.url_scheme": "https", "SSL_CLIENT_VERIFY": "NONE"}
    if tls.has_client_certificate:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS" if tls.is_verified else "FAILED"
    texts = {"SSL_PROTOCOL": tls.version, "SSL_CIPHER": tls.cipher}
    if tls.is_verified:  # or anyone could say it
        texts["SSL_CLIENT_S_DN_CN"] = tls.common_name
    # PEP 3333: each byte of the UTF-8 form is a character.
    return environ | {key: text.encode("utf-8").decode("latin-1") for key, text in texts.items() if text}
