"""The status server: a second server of ours, with its own thread and reactor."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..config.adjustments import Adjustments
from ..config.status_settings import LIMITS, settings_of_status_server, token_of
from ..threads.dispatcher import Dispatcher
from .app import StatusApplication

if TYPE_CHECKING:
    from ..observability.snapshot import Snapshot
    from .document import Supervision

CLOSE_SECONDS = 1.0  # for answers that are being sent at its end


class Server(Protocol):
    """A server that can be made."""

    close_seconds: float


Made = TypeVar("Made", bound=Server)


def make_status_server(
    create: Callable[..., Made],  # `create_server`
    adj: Adjustments,
    status: "Callable[[], tuple[Sequence[Snapshot], Supervision | None]]",
    *,
    version: str,
) -> Made:
    """Create the status server of a server with these settings.

    `status()` returns what each worker does, and what their supervisor has counted. `version` is what it reports.

    Raises:
        ValueError: the token cannot be had from its file.
        OSError: its address cannot be bound.
    """
    own = settings_of_status_server(adj)
    application = StatusApplication(
        status,
        version=version,
        token=token_of(adj),
        is_unix="unix_socket" in own,
        ready_queue_seconds=adj.ready_queue_seconds,
    )
    try:
        server = create(application, Dispatcher(LIMITS["threads"], name="waitress-status"), **own)
    except OSError as error:  # otherwise it would seem to be an address of the main server
        text = f"status_listen: {error.strerror or error}"
        raise (OSError(text) if error.errno is None else OSError(error.errno, text)) from None
    server.close_seconds = CLOSE_SECONDS
    return server
