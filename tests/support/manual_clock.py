"""A clock that does not move until a test moves it."""


class ManualClock:
    """Called like `time.monotonic`, gives seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self.now += seconds
