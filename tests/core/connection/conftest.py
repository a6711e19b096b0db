"""What several files of this folder use."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.core.connecting import ManagedHarness


@pytest.fixture
def make() -> Iterator[Callable[..., ManagedHarness]]:
    """Make managers with settings, for real clients; they are closed at the end. Some files have their own `make`."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(contextlib.closing(ManagedHarness(**settings)))
