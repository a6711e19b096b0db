"""Requests that are refused because the server has too much to do: logged once an episode.

An episode starts with a refusal, and ends when there has been none for QUIET_SECONDS. A record for each would cost most
when there is least time.

Thread: any.
"""

import logging
import threading
from collections.abc import Callable

from ..safe_logger import SafeLogger

queue_logger = SafeLogger(logging.getLogger("waitress.queue"))

# Doubled: the end of an episode is logged 10 s late, and two bursts within that time as one. Halved: twice the records
# of a server that is just busy enough.
QUIET_SECONDS = 5.0


class Refusals:
    """The episodes of one server."""

    quiet_seconds = QUIET_SECONDS  # an attribute, so that a test can shorten it

    def __init__(self, clock: Callable[[], float]) -> None:
        # Set once
        self._clock = clock
        # Guarded by self._lock
        self._lock = threading.Lock()
        self._in_episode = 0
        self._last_at = 0.0

    def log(self, rule: str, reason: str) -> None:
        """Note a refusal by `rule`, the name of a setting; log `reason` if it is the first of an episode."""
        now = self._clock()
        with self._lock:
            self._in_episode += 1
            self._last_at = now
            is_first = self._in_episode == 1
        if is_first:
            queue_logger.warning("Requests are answered 503, because of %s: %s", rule, reason)

    @property
    def is_in_episode(self) -> bool:
        """Whether requests are being refused, or were a moment ago."""
        return self._in_episode > 0

    def tick(self) -> None:
        """Log the end of an episode. Called once a second."""
        now = self._clock()
        with self._lock:
            if not self._in_episode or now - self._last_at < self.quiet_seconds:
                return
            count, self._in_episode = self._in_episode, 0
        queue_logger.info("Requests are no longer answered 503: %d were", count)
