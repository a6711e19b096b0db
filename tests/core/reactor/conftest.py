"""Each poller of this system, on Linux that of the BSDs too, and a wake-up that it watches."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.fake_kqueue import poller_module_of_a_bsd
from waitress_core.reactor import poller as module
from waitress_core.reactor.poller import READ, Poller
from waitress_core.reactor.wakeup import WakeUp

NAMES = [name for name in ("EpollPoller", "KqueuePoller", "PollPoller", "SelectPoller") if hasattr(module, name)]
SIMULATED = ["KqueuePoller"] if sys.platform == "linux" else []


@pytest.fixture(params=NAMES + SIMULATED)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = getattr(module if request.param in NAMES else poller_module_of_a_bsd(), request.param)()
    yield made
    made.close()


@pytest.fixture
def wake_up(poller: Poller) -> Iterator[WakeUp]:
    """A wake-up that the poller watches."""
    made = WakeUp()
    poller.register(made.descriptor, READ)
    yield made
    made.close()
