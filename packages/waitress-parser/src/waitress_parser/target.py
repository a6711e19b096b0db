"""The request target: which of its four forms it has, and the authority, path and query in it (RFC 9112 section 3.2).

    origin-form      /where?q=now              any method
    absolute-form    http://host/where?q=now   any method; its authority replaces Host
    asterisk-form    *                         only OPTIONS
    authority-form   host:port                 only CONNECT, which an origin server refuses

Everything else is refused. Nothing is decoded, normalised or rewritten: the application may sign or route by what looks
redundant in a path. Pure: strings in, a tuple out. request_line.py has checked the characters.
"""

from .authority import is_authority
from .errors import BadTarget, ConnectNotSupported, InvalidHost, MissingHost, shown

# Other schemes may be valid, but this server is the origin of none of their resources.
_SCHEMES = frozenset({"http", "https"})


def parse_target(method: str, target: str) -> tuple[str | None, str, str]:
    """Return (authority, path, query), raw; authority is None unless the target is in absolute-form.

    Source: RFC 9112 section 3.2. Raises BadTarget (400) or ConnectNotSupported (501).
    """
    if method == "CONNECT":
        if is_authority(target) and not target.endswith(":") and ":" in target.rpartition("]")[2]:
            raise ConnectNotSupported
        raise BadTarget(f'"{shown(target)}" is not the host:port that CONNECT needs')
    if "#" in target:
        # No form has a fragment, but clients send it; it means nothing to a server (RFC 3986 section 3.5), so cut it.
        target = target.partition("#")[0]
    path, _, query = target.partition("?")
    if path.startswith("/"):
        return None, path, query
    if target == "*":
        if method != "OPTIONS":
            raise BadTarget('"*" is a target of OPTIONS only')
        return None, target, ""
    scheme, _, rest = path.partition("://")
    authority, _, path = rest.partition("/")
    if scheme.lower() not in _SCHEMES or not is_authority(authority):
        raise BadTarget(f'"{shown(target)}" does not start with "/" and is no http or https URL with a host')
    return authority, "/" + path, query


def choose_authority(from_target: str | None, host: str | None, version: str) -> str | None:
    """Return the authority of the request: the target's, else Host's, else None for an HTTP/1.0 request without either.

    Source: RFC 9112 section 3.2.2 (the target's authority replaces Host) and 3.2 (400 for a missing or invalid Host,
    even if its value is not used). Raises MissingHost or InvalidHost (400).
    """
    if host is None:
        if version != "1.0":
            raise MissingHost
    elif not is_authority(host):
        raise InvalidHost(host)
    return host if from_target is None else from_target
