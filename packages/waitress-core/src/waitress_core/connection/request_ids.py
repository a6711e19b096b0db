"""Which id a request has, with `request_id_header`: a trusted proxy's, or a new one.

Thread: the leader.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from waitress_parser import RequestHead

from ..http.request_id import is_request_id, new_request_id

if TYPE_CHECKING:
    from ..net.proxy_protocol import ProxyInfo


class Peer(Protocol):
    """A connection, as this file sees it."""

    remote_addr: str
    proxy: "ProxyInfo | None"


def request_id_of(peer: Peer, head: RequestHead | None, name: str, is_trusted_proxy: Callable[[str], bool]) -> str:
    """Return the id that a trusted proxy gives, with the request or with the connection; or a new one.

    `head` is None if it was not complete, or is invalid: nothing of it is believed. `name` is that of the header.
    """
    of_connection = "" if peer.proxy is None else peer.proxy.next_request_id()
    given = "" if head is None else head.values.get(name.lower(), "")
    if given and is_request_id(given) and is_trusted_proxy(peer.remote_addr):
        return given
    return of_connection or new_request_id()
