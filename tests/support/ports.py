"""Ports for programs that cannot report which one the system has chosen for them."""

import contextlib
import random
import socket

_given: set[int] = set()  # by `free_port`, which might choose the same one again before it is listened on


def free_port() -> int:
    """Return a port that nobody listens on, and that the system gives to nobody who lets it choose."""
    # The system's numbers: libraries for tests seed `random`, and two runs at once would choose the same ports.
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free")
