"""Each poller of this system, and a wake-up that it watches."""

from collections.abc import Iterator

import pytest

from waitress_core.reactor import poller as module
from waitress_core.reactor.poller import READ, Poller
from waitress_core.reactor.wakeup import WakeUp

NAMES = [name for name in ("EpollPoller", "KqueuePoller", "PollPoller", "SelectPoller") if hasattr(module, name)]


@pytest.fixture(params=NAMES)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = getattr(module, request.param)()
    yield made
    made.close()


@pytest.fixture
def wake_up(poller: Poller) -> Iterator[WakeUp]:
    """A wake-up that the poller watches."""
    made = WakeUp()
    poller.register(made.descriptor, READ)
    yield made
    made.close()
