"""h11 as the strict client: it judges the responses of every test that reads one."""

from __future__ import annotations

import h11

Response = h11.Response | h11.InformationalResponse


def read_response(data: bytes, method: str = "GET", *, has_end: bool = False) -> tuple[Response, bytes, bytes]:
    """Return the response to a request with that method, its content, and the bytes that follow it.

    With `has_end` the connection ends after the data. Raises h11.RemoteProtocolError if the response is malformed, and
    AssertionError if it is incomplete.
    """
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if has_end:
        client.receive_data(b"")
    head: Response | None = None
    content = bytearray()
    while True:
        event = client.next_event()
        if isinstance(event, h11.InformationalResponse):
            return event, b"", client.trailing_data[0]
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            content += event.data
        else:
            assert isinstance(event, h11.EndOfMessage), f"incomplete: {data[:500]!r}"
            assert head is not None
            return head, bytes(content), client.trailing_data[0]
