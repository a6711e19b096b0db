"""Addresses to listen on: from `host:port` words to what `socket.bind` takes.

The settings resolve their `listen` words here, once, at construction. This file reads no setting and opens no socket.
"""

import re
import socket
import sys
from collections.abc import Iterable
from typing import Literal, NamedTuple

from .faults import SettingsFault

# Some versions of Python on Windows lack these names, although the system has the option (numbers from ws2ipdef.h).
IPPROTO_IPV6: int = getattr(socket, "IPPROTO_IPV6", 41)
IPV6_V6ONLY: int = getattr(socket, "IPV6_V6ONLY", 27)
AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)

_DESCRIPTOR = r"[0-9]{1,9}"  # more digits have no int of C

_PRELUDE = "proxy+"
_EXAMPLE_PORTS = {"http": 8080, "https": 8443}
_FORMS = "HOST:PORT, [IPV6]:PORT or *:PORT"
_ENDS_OF_SOCKETS = (".sock", ".socket")  # of their paths, by custom

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class ListenWord(NamedTuple):
    """One word of `listen`, as it is written: `[proxy+][http://|https://]PLACE`.

    The place of an "inet" is HOST:PORT, that of a socket from "systemd" its name or empty for all, that of a "fd" the
    number of a descriptor.
    """

    text: str
    scheme: str  # "http" or "https"; "" if the word leaves it to the other settings
    has_proxy_prelude: bool  # each client starts with a PROXY protocol header
    kind: Literal["inet", "systemd", "fd"]  # an address to bind, or sockets to inherit
    place: str


class _Address(NamedTuple):
    family: int
    type: int
    protocol: int
    address: SocketAddress


class ListenAddress(_Address):
    """One address to bind: an item of `socket.getaddrinfo` without the canonical name, and what its word says.

    It is a tuple of four, because programs that read `Adjustments.listen` unpack it. Where sockets are inherited there
    is no address, and `inherited` is the word.
    """

    def __new__(
        cls,
        family: int,
        type: int,
        protocol: int,
        address: SocketAddress,
        *,
        scheme: str = "",
        has_proxy_prelude: bool = False,
        inherited: ListenWord | None = None,
    ) -> "ListenAddress":
        self = super().__new__(cls, family, type, protocol, address)
        self.scheme = scheme
        self.has_proxy_prelude = has_proxy_prelude
        self.inherited = inherited
        return self

    scheme: str
    has_proxy_prelude: bool
    inherited: ListenWord | None


def bracketed(host: str) -> str:
    """Return the host as a URL has it before `:port`: an IPv6 address in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def split_listen_word(word: str, default_port: str) -> tuple[str, str]:
    """Split `host:port`, `host`, `[v6]:port`, `[v6]` or `*:port` into host (without brackets) and port.

    `:port`, or a port alone, means every address, as `*:port`.
    """
    if word.isascii() and word.isdecimal():
        return "*", word
    host, colon, port = word.rpartition(":")
    host = host or "*"
    if not colon or "]" in port:
        host, port = word, default_port
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, port


def parse_listen_word(text: str) -> ListenWord:
    """Read a word of `listen`; its place is not looked up.

    Raises:
        SettingsFault: the word says something that a listener cannot do; the message names the setting that can.
    """
    rest = text
    has_proxy_prelude = text[: len(_PRELUDE)].lower() == _PRELUDE
    if has_proxy_prelude:
        rest = text[len(_PRELUDE) :]
    scheme, mark, url_rest = rest.partition("://")
    if not mark:
        return ListenWord(text, "", has_proxy_prelude, *_kind_and_place(text, rest))
    place, _, path = url_rest.partition("/")
    scheme = scheme.lower()
    if scheme == "unix":
        raise _is_path(text, url_rest)
    if scheme == "fd":
        raise SettingsFault("{word!r} names no descriptor, as fd:3 does", word=text)
    if scheme not in ("http", "https") or not place:
        raise _is_no_address(text)
    if place == "unix:":
        raise _is_path(text, f"/{path}")
    if path:
        raise SettingsFault(
            "{word!r} has a path: listen on {url}, with {url_prefix}=/{path}",
            word=text,
            url=f"{scheme}://{place}",
            path=path,
        )
    kind, place = _kind_and_place(text, place)
    if kind == "inet" and ":" not in place.rpartition("]")[2]:
        example = f"{scheme}://{place}:{_EXAMPLE_PORTS[scheme]}"
        raise SettingsFault("{word!r} names no port, as {example} does", word=text, example=example)
    return ListenWord(text, scheme, has_proxy_prelude, kind, place)


def _kind_and_place(text: str, place: str) -> tuple[Literal["inet", "systemd", "fd"], str]:
    host, colon, rest = place.partition(":")
    if host == "systemd" and not rest.isdecimal():  # with digits, a port of a machine of that name
        if colon and not rest:
            raise SettingsFault(
                "{word!r} names no socket, as systemd:web does; systemd alone is all of them", word=text
            )
        return "systemd", rest
    if host == "fd" and colon:
        if not re.fullmatch(_DESCRIPTOR, rest):
            raise SettingsFault("{word!r} names no descriptor, as fd:3 does", word=text)
        return "fd", rest
    if host == "unix" and not rest.isdecimal():
        raise _is_path(text, rest)
    if "/" in place or place.endswith(_ENDS_OF_SOCKETS):
        raise _is_path(text, place)
    return "inet", place


def _is_path(text: str, path: str) -> SettingsFault:
    return SettingsFault(
        "{word!r} is a unix socket: set {unix_socket}={path}, and no {listen}", word=text, path=path or "PATH"
    )


def _is_no_address(text: str) -> SettingsFault:
    return SettingsFault(f"{{word!r}} is not {_FORMS}", word=text)


def resolve(
    words: Iterable[str], default_port: str, *, ipv4: bool, ipv6: bool, default_scheme: str = "http"
) -> list[ListenAddress]:
    """Return the addresses of listen words, in the order of the words, each address once (port 0 as often as given).

    A word that inherits sockets has one address, which says so: which sockets those are, `net.activation` finds out.

    A word of an address without a scheme has `default_scheme`; that is "http" if there is no certificate.
    If exactly one of `ipv4` and `ipv6` is true, return addresses of that family only, otherwise of both.

    Raises:
        SettingsFault: there is no word, a word has no host or port, it resolves to no address of an enabled family, it
            needs a certificate, or two words say different things about one address.
    """
    family = socket.AF_UNSPEC
    if ipv4 and not ipv6:
        family = socket.AF_INET
    elif ipv6 and not ipv4:
        family = socket.AF_INET6
    addresses: list[ListenAddress] = []
    bound: dict[tuple[str, int], ListenAddress] = {}
    for text in words:
        word = parse_listen_word(text)
        if word.scheme == "https" and default_scheme == "http":
            raise SettingsFault(
                "{word!r} needs a certificate: set {tls_certificate}, or behind a proxy that ends TLS listen on {url} "
                "with {url_scheme}=https",
                word=text,
                url=f"http://{text.partition('://')[2].rstrip('/')}",
            )
        if word.kind == "inet" and not word.scheme:
            word = word._replace(scheme=default_scheme)
        for address in _resolve_word(word, default_port, family):
            host, port = address.address[:2]
            key = (host.partition("%")[0], port)
            if not port or key not in bound:
                bound[key] = address
                addresses.append(address)
            elif bound[key].scheme != address.scheme:
                raise SettingsFault(
                    "{word!r} contradicts an earlier word, by which {address} is plain or not",
                    word=text,
                    address=f"{bracketed(host)}:{port}",
                )
    if not addresses:
        raise SettingsFault(f"no address is named, as {_FORMS}")
    return addresses


def _resolve_word(listen_word: ListenWord, default_port: str, family: int) -> list[ListenAddress]:
    word, scheme, has_proxy_prelude, kind, place = listen_word
    if kind != "inet":
        unknown = (socket.AF_UNSPEC, socket.SOCK_STREAM, 0, (word, 0))
        return [ListenAddress(*unknown, scheme=scheme, has_proxy_prelude=has_proxy_prelude, inherited=listen_word)]
    host, port = split_listen_word(place, default_port)
    if not host or not port:
        raise _is_no_address(word)
    if port.isascii() and port.removeprefix("-").isdigit():
        if not 0 <= int(port) <= 65535:
            raise SettingsFault("the port of {word!r} is not between 0 and 65535", word=word)
    elif sys.platform == "win32":
        raise SettingsFault("Windows does not support service names instead of port numbers")
    try:
        # AI_PASSIVE and nothing else: AI_ADDRCONFIG would hide loopback on a machine that has only that.
        found = socket.getaddrinfo(
            _name_to_look_up(host), port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise SettingsFault(
            "{word!r} is not an address, or a name and port that resolve to one ({reason}){remedy}",
            word=word,
            reason=getattr(error, "strerror", None) or str(error),
            remedy=_remedy(host, port, place),
        ) from error
    inet = [entry for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)]
    return [
        ListenAddress(family, type, protocol, _plain(address), scheme=scheme, has_proxy_prelude=has_proxy_prelude)
        for family, type, protocol, _, address in inet
    ]


def _remedy(host: str, port: str, place: str) -> str:
    """Return what may be wrong with an address that cannot be looked up."""
    if (":" in host and "[" not in place) or place.count("[") != place.count("]"):
        return "; an IPv6 address is written in brackets, as [::1]:8080"
    if port.isdecimal():
        return ""
    try:
        socket.getservbyname(port, "tcp")
    except (OSError, UnicodeError, ValueError):  # the last two: it is no text of C
        return f"; {port!r} is neither a port number nor the name of a service"
    return ""


def _name_to_look_up(host: str) -> bytes | str | None:
    if host == "*":
        return None
    # As text, even "127.0.0.1" would be encoded by IDNA: its tables take 2 ms to import.
    return host.encode("ascii") if host.isascii() else host


def _plain(address: tuple[str | int, ...] | tuple[int, bytes]) -> SocketAddress:
    host, port, *scope = address
    if len(scope) == 2:
        return (str(host), int(port), int(scope[0]), int(scope[1]))
    return (str(host), int(port))
