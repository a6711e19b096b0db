"""The settings of the status server: where it listens, who may ask it, and what it refuses.

`check_status` checks the settings of the main server, once, at their construction. `settings_of_status_server` returns
what the status server is made with: a server of our own with low limits, which a few probes and operators use.
"""

import os
import stat
import sys
from collections.abc import Iterable
from typing import Any, Protocol

from .addresses import ListenAddress, parse_listen_word, resolve
from .checks import A_TOKEN, token_fault
from .faults import SettingsFault

DEFAULT_PORT = "9180"

_MOST_TOKEN_BYTES = 4096

# Much less than a server of applications needs: it answers probes, and pages of a few operators.
LIMITS: dict[str, Any] = {
    "threads": 1,
    "connection_limit": 64,
    "max_request_header_size": 16 * 1024,
    "max_request_body_size": 0,
    "recv_bytes": 4096,
    "channel_timeout": 60,
    "request_head_timeout": 5,
    "request_body_timeout": 5,
    "response_timeout": 5,
    "linger_timeout": 1,
    "log_socket_errors": False,
}


class StatusSettings(Protocol):
    """The settings of a server, as this file sees them."""

    status_listen: str | None
    status_token: str | None
    status_token_file: str | None
    unix_socket_perms: int


def path_of(address: str) -> str | None:
    """Return the path of a unix socket: `/run/x`, `unix:/run/x`, or as the log has it, `http://unix:/run/x`.

    None for HOST:PORT.
    """
    path = address.removeprefix("http://unix:").removeprefix("unix:")
    return path if "/" in path and "://" not in path else None


def check_status(adj: StatusSettings) -> None:
    """Refuse to listen beyond this machine without a token, and settings that contradict each other.

    Raises:
        ValueError: names the setting, and what is accepted.
    """
    if not adj.status_listen:
        for name in ("status_token", "status_token_file"):
            if getattr(adj, name):
                raise SettingsFault(f"{{{name}}} has no meaning without {{status_listen}}")
        return
    if adj.status_token and adj.status_token_file:
        raise SettingsFault("{status_token} and {status_token_file} are two tokens: give one")
    if path_of(adj.status_listen) is not None:
        return
    try:
        if not _is_plain_address(adj.status_listen):
            raise SettingsFault("expected HOST:PORT, [IPV6]:PORT or the path of a unix socket, with a slash")
        addresses = resolve([adj.status_listen], DEFAULT_PORT, ipv4=True, ipv6=True)
    except SettingsFault as fault:
        raise fault.within("{status_listen}={given!r}: ", given=adj.status_listen) from None
    if not (adj.status_token or adj.status_token_file) and not are_loopback(addresses):
        raise SettingsFault(
            "{status_listen}={given!r} can be reached from other machines: set {status_token_file} or {status_token}, "
            "or listen on 127.0.0.1",
            given=adj.status_listen,
        )


def _is_plain_address(text: str) -> bool:
    """Whether a word of `listen` is neither TLS nor a socket to inherit, and needs no other setting."""
    try:
        word = parse_listen_word(text)
    except ValueError:  # its message names settings of the main server
        return False
    return word.kind == "inet" and word.scheme != "https" and not word.has_proxy_prelude


def are_loopback(addresses: Iterable[ListenAddress]) -> bool:
    """Whether only this machine can connect to any of these addresses."""
    import ipaddress  # lazy import: only servers with a status server need it

    return all(ipaddress.ip_address(entry.address[0].partition("%")[0]).is_loopback for entry in addresses)


def token_of(adj: StatusSettings) -> str | None:
    """Return the token that clients of the status server must send, if there is one.

    Raises:
        ValueError: see `read_token`.
    """
    return read_token(adj.status_token_file) if adj.status_token_file else adj.status_token


def read_token(path: str) -> str:
    """Return the token that a file holds, without white space around it.

    Raises:
        ValueError: the file cannot be read, everyone can read it, or what it holds is no token.
    """
    named = "{status_token_file}={path!r}"
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MOST_TOKEN_BYTES + 1)
    except OSError as error:
        raise SettingsFault(
            f"{named} cannot be read: {{reason}}", path=path, reason=error.strerror or str(error)
        ) from None
    if sys.platform != "win32" and mode & 0o007:
        raise SettingsFault(f"{named} is open to every user, its permissions are {mode:o}: chmod 600 it", path=path)
    try:
        token = data.decode("ascii").strip()
        if not token or len(data) > _MOST_TOKEN_BYTES or token_fault(token) is not None:
            raise ValueError
    except ValueError:
        raise SettingsFault(f"{named} holds no token: expected one line of {A_TOKEN}", path=path) from None
    return token


def settings_of_status_server(adj: StatusSettings) -> dict[str, Any]:
    """Return the settings of the status server, after `check_status`."""
    address = adj.status_listen or ""
    path = path_of(address)
    if path is not None:
        return {**LIMITS, "unix_socket": path, "unix_socket_perms": f"{adj.unix_socket_perms:o}"}
    return {**LIMITS, "listen": with_port(address)}


def with_port(address: str) -> str:
    """Return the address with a port."""
    host = address.rpartition("://")[2]
    return address if ":" in host.rpartition("]")[2] else f"{host}:{DEFAULT_PORT}"
