"""A socket that does what a test has written down for it."""

import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

DESCRIPTOR = 1_000_077  # no system has it open

Answer = object | BaseException | Callable[..., Any]


class FakeSocket:
    """Each call takes the next answer of `script[name]`: it is given, raised or called; `calls` remembers all.

    Without a script `send` takes everything, `recv` and `accept` have nothing, and the rest does nothing.
    """

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self, descriptor: int = DESCRIPTOR, **script: list[Answer]) -> None:
        self.descriptor = descriptor
        self.script = {name: deque(answers) for name, answers in script.items()}
        self.calls: list[tuple[Any, ...]] = []
        self.sent = bytearray()
        self.is_closed = False

    @property
    def names(self) -> list[str]:
        """Return the names of the calls so far."""
        return [call[0] for call in self.calls]

    def _answer(self, default: Answer, name: str, *arguments: object) -> Any:
        self.calls.append((name, *arguments))
        answers = self.script.get(name)
        answer = answers.popleft() if answers else default
        if isinstance(answer, BaseException):
            raise answer
        return answer(*arguments) if callable(answer) else answer

    def fileno(self) -> int:
        return self.descriptor

    def send(self, data: bytes | memoryview) -> int:
        taken = int(self._answer(len(data), "send", bytes(data)))
        self.sent += bytes(data[:taken])
        return taken

    def recv(self, size: int) -> bytes:
        return cast(bytes, self._answer(BlockingIOError(), "recv", size))

    def recv_into(self, buffer: memoryview, size: int) -> int:
        data = cast(bytes, self._answer(BlockingIOError(), "recv_into", size))
        buffer[: len(data)] = data
        return len(data)

    def accept(self) -> tuple[socket.socket, Any]:
        return cast("tuple[socket.socket, Any]", self._answer(BlockingIOError(), "accept"))

    def setblocking(self, flag: bool) -> None:
        self._answer(None, "setblocking", flag)

    def setsockopt(self, *arguments: object) -> None:
        self._answer(None, "setsockopt", *arguments)

    def shutdown(self, how: int) -> None:
        self._answer(None, "shutdown", how)

    def getsockname(self) -> tuple[str, int]:
        return cast("tuple[str, int]", self._answer(("127.0.0.1", 8080), "getsockname"))

    def listen(self, backlog: int) -> None:
        self._answer(None, "listen", backlog)

    def close(self) -> None:
        self.is_closed = True
        self._answer(None, "close")


def as_socket(fake: FakeSocket) -> socket.socket:
    """Return a fake where a socket is asked for."""
    return cast(socket.socket, fake)
