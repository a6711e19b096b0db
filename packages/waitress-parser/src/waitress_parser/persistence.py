"""What a client wants of its connection: to keep it open, and to wait for a 100 (Continue) before it sends the body.

Pure: strings in, a bool out. Whether the connection stays open depends on the server and its response too.
"""

from .errors import ConnectionTooLong, UnknownExpectation
from .grammar import MAX_EXAMINED_CHARACTERS, OWS


def is_persistent(version: str, connection: str) -> bool:
    """Return whether the client keeps the connection open after this request.

    `connection` is the value of all Connection fields, joined. `close` anywhere in the list wins; otherwise HTTP/1.1
    persists, and HTTP/1.0 only with `keep-alive`. Source: RFC 9112 section 9.3. Raises ConnectionTooLong (431).
    """
    if connection in ("keep-alive", "Keep-Alive"):
        return True  # a shortcut: browsers send it with HTTP/1.1 too
    if connection in ("close", "Close"):
        return False  # another: clients that open a connection for each request send it
    if len(connection) > MAX_EXAMINED_CHARACTERS:
        raise ConnectionTooLong(MAX_EXAMINED_CHARACTERS)
    options = _members(connection)
    return "close" not in options and (version != "1.0" or "keep-alive" in options)


def expects_continue(version: str, expect: str | None, has_body: bool) -> bool:
    """Return whether the client waits for a 100 (Continue).

    HTTP/1.0 has no expectations, so the field is ignored. A client that sends no body waits for nothing, and could take
    a 100 for the response to its next request. Source: RFC 9110 section 10.1.1. Raises UnknownExpectation (417) for any
    other expectation, and for a value longer than MAX_EXAMINED_CHARACTERS.
    """
    if expect is None or version == "1.0":
        return False
    if len(expect) > MAX_EXAMINED_CHARACTERS:
        raise UnknownExpectation(expect)
    members = _members(expect)
    if any(member not in ("100-continue", "") for member in members):
        raise UnknownExpectation(expect)
    return has_body and "100-continue" in members


def _members(value: str) -> list[str]:
    """Return the members of a comma-separated list in lower case; ignore empty ones (RFC 9110 section 5.6.1)."""
    return [member.strip(OWS) for member in value.lower().split(",")]
