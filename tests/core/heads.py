"""Request heads for tests, read by the parser that the server uses."""

from waitress_parser import RequestHead, RequestParser


def head(target: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> RequestHead:
    """Return the head of a request with a Host field and the given field lines."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example.org", *fields, "", ""]
    return parsed("\r\n".join(lines).encode("latin-1"))


def parsed(data: bytes) -> RequestHead:
    """Return the head that the parser reads."""
    parser = RequestParser()
    parser.receive(data)
    event = parser.next_event()
    assert isinstance(event, RequestHead)
    return event
