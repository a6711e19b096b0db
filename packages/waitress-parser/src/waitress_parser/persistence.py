"""What a request asks of its connection: to stay open, and to be told to go on before it sends its body.

Pure: strings in, a bool out. Whether the connection does stay open is up to the server and its response.
"""

from __future__ import annotations

from .errors import UnknownExpectation
from .grammar import OWS


def is_persistent(version: str, connection: str) -> bool:
    """Whether the client leaves the connection open after this request (RFC 9112 section 9.3).

    `connection` is the value of all Connection fields joined. `close` anywhere in the list wins over
    everything; then HTTP/1.1 persists, and HTTP/1.0 only when asked for by `keep-alive`.
    """
    if connection.lower() == "keep-alive":
        return True  # what browsers send to a 1.1 server too
    options = _members(connection)
    return "close" not in options and (version != "1.0" or "keep-alive" in options)


def expects_continue(version: str, expect: str | None, has_body: bool) -> bool:
    """Whether the client waits for a 100 (Continue); raises UnknownExpectation (417) for anything else it expects.

    RFC 9110 section 10.1.1: HTTP/1.0 has no expectations, so the field is ignored; a request without a body waits for
    nothing, and a 100 would be taken for the answer of the next one.
    """
    if expect is None or version == "1.0":
        return False
    members = _members(expect)
    if any(member not in ("100-continue", "") for member in members):
        raise UnknownExpectation(expect)
    return has_body and "100-continue" in members


def _members(value: str) -> list[str]:
    """Return the members of a comma-separated list in lower case; empty ones mean nothing (RFC 9110 section 5.6.1)."""
    return [member.strip(OWS) for member in value.lower().split(",")]
