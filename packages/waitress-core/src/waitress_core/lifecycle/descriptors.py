"""Notice that other code has closed descriptors of the server, which can serve nothing then.

Code that makes a daemon of its process closes all descriptors that it does not know, and so may a library of the
application. The next file that somebody opens gets such a number, so the file behind it is compared too.

Thread: the one that waits; the leader may close a socket meanwhile.
"""

import logging
from collections.abc import Sequence

from ..net.listener import Listener, file_of
from ..reactor.reactor import Reactor
from ..safe_logger import SafeLogger

logger = SafeLogger(logging.getLogger("waitress"))


class OwnDescriptors:
    """The descriptors of a run, without those of its clients."""

    def __init__(self, reactor: Reactor, listeners: Sequence[Listener]) -> None:
        self._reactor = reactor
        self._listeners = listeners
        self._files = {descriptor: file_of(descriptor) for descriptor in reactor.descriptors}

    def check(self) -> None:
        """Check that each of them is still what it was.

        Raises:
            OSError: it is not; the log has reported it.
        """
        lost = [listener.descriptor for listener in self._listeners if listener.is_lost]
        lost += [one for one in self._reactor.descriptors if file_of(one) != self._files[one]]
        if lost:
            logger.error("Other code has closed file descriptors of the server, which ends now: %s", lost)
            raise OSError(f"other code has closed file descriptors of the server: {lost}")
