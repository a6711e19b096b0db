"""Clients that ask all the time, and count what fails."""

import threading
from collections import Counter
from types import TracebackType
from typing import Any

from .client import Client


class SteadyLoad:
    """So many clients that keep their connections, and so many that make one for each request.

    `answers` counts the bodies of the responses; `failures` says how each failed request did. A client whose
    connection was announced as closed opens another one; a connection that ends otherwise is a failure.
    """

    def __init__(self, address: Any, *, keeping: int, new: int, path: str = "/") -> None:
        self._address = address
        self._path = path
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(keeps,)) for keeps in [True] * keeping + [False] * new
        ]
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

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

    def _ask(self, keeps: bool) -> None:
        client: Client | None = None
        while not self._is_over.is_set():
            try:
                if client is None:
                    client = Client(self._address)
                response = client.get(self._path)
                with self._lock:
                    self.answers[f"{response.status} {response.body.decode('ascii', 'replace')}"] += 1
                is_last = not keeps or (response.header("connection") or "").lower() == "close"
            except Exception as failure:
                with self._lock:
                    self.failures.append(repr(failure))
                is_last = True
            if is_last and client is not None:
                client.close()
                client = None
        if client is not None:
            client.close()
