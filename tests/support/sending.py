"""Ways to send the same bytes: what a server does with them must not depend on how they are cut."""

import time
from collections.abc import Callable

import pytest

from .client import Client

Send = Callable[[Client, bytes], None]


def send_whole(client: Client, data: bytes) -> None:
    client.send_until_refused([data])


def send_in_thirds(client: Client, data: bytes) -> None:
    """Pause between the parts: no event says that the server has read one."""
    third = max(1, len(data) // 3)
    for part in (data[:third], data[third : 2 * third], data[2 * third :]):
        client.send_until_refused([part])
        time.sleep(0.002)


def send_byte_by_byte(client: Client, data: bytes) -> None:
    client.send_until_refused(data[at : at + 1] for at in range(len(data)))


WAYS_TO_SEND = [
    pytest.param(send_whole, id="whole"),
    pytest.param(send_in_thirds, id="in-thirds"),
    pytest.param(send_byte_by_byte, id="by-byte"),
]
