"""Addresses to listen on: from `host:port` words to what `socket.bind` takes.

The settings resolve their `listen` words here, once, at construction. This file reads no setting and opens no socket.
"""

import re
import socket
import sys
from collections.abc import Iterable
from typing import NamedTuple

# Some versions of Python on Windows lack these names, although the system has the option (numbers from ws2ipdef.h).
IPPROTO_IPV6: int = getattr(socket, "IPPROTO_IPV6", 41)
IPV6_V6ONLY: int = getattr(socket, "IPV6_V6ONLY", 27)
AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)

_NUMBER = re.compile(r"-?[0-9]+")

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class ListenAddress(NamedTuple):
    """One address to bind: an item of `socket.getaddrinfo` without the canonical name."""

    family: int
    type: int
    protocol: int
    address: SocketAddress


def bracketed(host: str) -> str:
    """Return the host as a URL has it before `:port`: an IPv6 address in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def split_listen_word(word: str, default_port: str) -> tuple[str, str]:
    """Split `host:port`, `host`, `[v6]:port`, `[v6]` or `*:port` into host (without brackets) and port."""
    host, colon, port = word.rpartition(":")
    if not colon or "]" in port:
        host, port = word, default_port
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, port


def without_scheme(word: str) -> str:
    """Return `HOST:PORT` of `http://HOST:PORT`, which the log and browsers show; any other word unchanged.

    Raises:
        ValueError: the URL says something that a listener cannot do; the message names the setting that can.
    """
    scheme, mark, rest = word.partition("://")
    if not mark:
        return word
    place, _, path = rest.partition("/")
    if scheme.lower() == "https":
        raise ValueError(
            f"{word!r} needs TLS, which this version does not have: listen on http://{place} with url_scheme=https, "
            "behind a proxy that ends TLS"
        )
    if scheme.lower() != "http" or not place:
        raise ValueError(f"{word!r} is not HOST:PORT, [IPV6]:PORT or *:PORT")
    if place == "unix:":
        raise ValueError(f"{word!r} is a unix socket: set unix_socket=/{path}, and no listen")
    if path:
        raise ValueError(f"{word!r} has a path: listen on http://{place}, with url_prefix=/{path}")
    if ":" not in place.rpartition("]")[2]:
        raise ValueError(f"{word!r} names no port, as http://{place}:8080 does")
    return place


def resolve(words: Iterable[str], default_port: str, *, ipv4: bool, ipv6: bool) -> list[ListenAddress]:
    """Return the addresses of listen words, in the order of the words, each address once (port 0 as often as given).

    If exactly one of `ipv4` and `ipv6` is true, return addresses of that family only, otherwise of both.

    Raises:
        ValueError: there is no word, a word has no host or port, or it resolves to no address of an enabled family.
    """
    family = socket.AF_UNSPEC
    if ipv4 and not ipv6:
        family = socket.AF_INET
    elif ipv6 and not ipv4:
        family = socket.AF_INET6
    addresses: list[ListenAddress] = []
    bound: set[tuple[str, int]] = set()
    for word in words:
        for address in _resolve_word(word, default_port, family):
            host, port = address.address[:2]
            key = (host.partition("%")[0], port)
            if port and key in bound:
                continue
            bound.add(key)
            addresses.append(address)
    if not addresses:
        raise ValueError("no address is named")
    return addresses


def _resolve_word(word: str, default_port: str, family: int) -> list[ListenAddress]:
    host, port = split_listen_word(without_scheme(word), default_port)
    if not host or not port:
        raise ValueError(f"{word!r} is not HOST:PORT, [IPV6]:PORT or *:PORT")
    if _NUMBER.fullmatch(port):
        if not 0 <= int(port) <= 65535:
            raise ValueError(f"the port of {word!r} is not between 0 and 65535")
    elif sys.platform == "win32":
        raise ValueError("Windows does not support service names instead of port numbers")
    try:
        # AI_PASSIVE and nothing else: AI_ADDRCONFIG would hide loopback on a machine that has only that.
        found = socket.getaddrinfo(
            _name_to_look_up(host), port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{word!r} is not an address, or a name and port that resolve to one ({reason})") from error
    inet = [entry for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)]
    return [ListenAddress(family, kind, protocol, _plain(address)) for family, kind, protocol, _, address in inet]


def _name_to_look_up(host: str) -> bytes | str | None:
    if host == "*":
        return None
    # As text, even "127.0.0.1" would be encoded by IDNA, whose tables take 2 ms to import.
    return host.encode("ascii") if host.isascii() else host


def _plain(address: tuple[str | int, ...] | tuple[int, bytes]) -> SocketAddress:
    host, port, *scope = address
    if len(scope) == 2:
        return (str(host), int(port), int(scope[0]), int(scope[1]))
    return (str(host), int(port))
