"""Clients that ask all the time, and count what fails."""

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, NamedTuple

from .client import Client


class Failure(NamedTuple):
    """A request without an answer. Instants are on the monotonic clock."""

    client: int
    number: int  # of the request: the client's first one is 1
    connected_at: float
    sent_at: float
    last: str  # body of the answer before this one on the same connection; empty without one
    ended_at: float
    error: str


class SteadyLoad:
    """So many clients that keep their connections, and so many that make one for each request.

    `answers` counts the bodies of the responses; `failures` says how each failed request did. A client opens another
    connection when the end of its connection was announced; a connection that ends otherwise is a failure. Each
    request names its client: `X-Request: CLIENT NUMBER`.
    """

    def __init__(self, address: Any, *, keeping: int, new: int, path: str = "/") -> None:
        self._address = address
        self._path = path
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(client,), kwargs={"keeps": client < keeping})
            for client in range(keeping + new)
        ]
        self.answers: Counter[str] = Counter()
        self.failures: list[Failure] = []

    def __enter__(self) -> "SteadyLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def count(self) -> int:
        """The number of responses so far."""
        with self._lock:
            return self.answers.total()

    def _ask(self, number: int, *, keeps: bool) -> None:
        client: Client | None = None
        requests, connected_at, last = 0, 0.0, ""
        while not self._is_over.is_set():
            requests += 1
            sent_at = time.monotonic()
            try:
                if client is None:
                    connected_at, last = sent_at, ""
                    client = Client(self._address)
                    sent_at = time.monotonic()
                response = client.get(self._path, f"X-Request: {number} {requests}")
                last = response.body.decode("ascii", "replace")
                with self._lock:
                    self.answers[f"{response.status} {last}"] += 1
                is_last = not keeps or (response.header("connection") or "").lower() == "close"
            except Exception as failure:
                ended_at = time.monotonic()
                with self._lock:
                    self.failures.append(
                        Failure(number, requests, connected_at, sent_at, last, ended_at, error=repr(failure))
                    )
                is_last = True
            if is_last and client is not None:
                client.close()
                client = None
        if client is not None:
            client.close()
