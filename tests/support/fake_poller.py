"""A poller that reports what a test has given it, and remembers what it was asked."""

from collections import deque
from collections.abc import Callable

Events = list[tuple[int, int]]


class FakePoller:
    """Each `poll` gives the next of `script`: events, or what a function gives or raises; nothing once it is empty."""

    limit: int | None = None
    descriptor: int | None = None
    exclusive = 0

    def __init__(self) -> None:
        self.interests: dict[int, int] = {}
        self.unregistered: list[int] = []
        self.script: deque[Events | Callable[[], Events]] = deque()
        self.timeouts: list[float] = []
        self.is_closed = False

    def register(self, descriptor: int, interest: int) -> None:
        assert descriptor not in self.interests, f"{descriptor} is registered twice"
        assert interest
        self.interests[descriptor] = interest

    def modify(self, descriptor: int, interest: int) -> None:
        assert descriptor in self.interests, f"{descriptor} is not registered"
        assert interest
        self.interests[descriptor] = interest

    def unregister(self, descriptor: int) -> None:
        del self.interests[descriptor]
        self.unregistered.append(descriptor)

    def poll(self, timeout: float) -> Events:
        self.timeouts.append(timeout)
        if not self.script:
            return []
        step = self.script.popleft()
        return step() if callable(step) else step

    def close(self) -> None:
        self.is_closed = True
