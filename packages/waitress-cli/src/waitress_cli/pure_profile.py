"""`profile.Profile`, made to bear what the interpreter runs in between; imported only if a profile is asked for."""

from collections.abc import Callable
from profile import Profile
from types import FrameType
from typing import Any

_Handler = Callable[[Any, FrameType, float], Any]


def _passing_over_strangers(handle: _Handler) -> _Handler:
    def handle_event(profiler: Any, frame: FrameType, seconds: float) -> Any:
        try:
            return handle(profiler, frame, seconds)
        except AssertionError:
            return 0  # its time goes to the call that it interrupted

    return handle_event


class PureProfile(Profile):
    """Profile the calling thread only, and go on when a callback is called from a call that is not yet known.

    Signal handlers and the callbacks of the garbage collector (`gc.callbacks`) run at any place, also between the
    making of a frame and its "call" event. `Profile` then takes its list of open calls for broken: an AssertionError in
    the statement or in the callback, and no profile from there on.
    """

    dispatch = {  # noqa: RUF012 - as in the base
        event: _passing_over_strangers(handle)
        for event, handle in Profile.dispatch.items()  # type: ignore[attr-defined]  # not in the stubs
    }
