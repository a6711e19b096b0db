"""What a run is made of, as the settings ask for: context, endpoints, and what is done in each tick.

What few servers want is imported only for those.

Thread: the one that makes the run.
"""

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config.adjustments import Adjustments
from ..connection.context import AcceptShare, Endpoint, ServerContext
from ..net.listener import Listener
from ..net.transport import SocketTransport, Transport
from ..reactor.reactor import Reactor
from ..threads.dispatcher import Dispatcher
from ..threads.tasks import Task
from ..wsgi.environ import EnvironBuilder

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog
    from ..observability.request_measures import RequestMeasures
    from .observer import Observer


def make_context(
    observer: "Observer", reactor: Reactor, dispatcher: Dispatcher, share: AcceptShare | None
) -> ServerContext:
    """Return what the connections of a run share."""
    return ServerContext(
        observer.adj,
        reactor,
        submit=_submit(observer.adj, dispatcher),
        yield_leadership=dispatcher.yield_leadership,
        resume_leadership=dispatcher.resume_leadership,
        waiting_requests=lambda: dispatcher.waiting_count,
        access_log=_access_log(observer.adj),
        share=share,
        is_trusted_proxy=observer.proxy_policy.trusts,
        measures=_measures(observer.adj),
    )


def make_endpoint(observer: "Observer", context: ServerContext, listener: Listener) -> Endpoint:
    """Return what becomes of the clients of a listener."""
    adj = observer.adj
    environ_builder = EnvironBuilder(
        adj,
        listener.server_port(adj.url_scheme),
        listener.request_scheme(adj.url_scheme),
        is_tls=listener.scheme == "https",
    )
    return Endpoint(
        listener,
        open_transport=_open_transport(observer, listener),
        make_task=observer.task_factory(environ_builder, context.access_log),
        proxy_mode=adj.proxy_mode(has_prelude=listener.has_proxy_prelude),
    )


def make_ticks(
    observer: "Observer", context: ServerContext, dispatcher: Dispatcher, give_up: Callable[[object], None]
) -> list[Callable[[], None]]:
    """Return what the leader does once a second, besides the work of every run; `give_up(task)` ends a request."""
    adj, ticks = observer.adj, []
    if adj.log_slow_requests:
        from ..observability.slow_requests import SlowRequests

        ticks.append(SlowRequests(adj.log_slow_requests, dispatcher.running).tick)
    if adj.request_timeout:
        from ..observability.request_timeout import RequestTimeouts

        ticks.append(RequestTimeouts(adj.request_timeout, dispatcher.running, give_up).tick)
    if context.measures is not None:
        ticks.append(context.measures.tick)
    if context.refusals is not None:
        ticks.append(context.refusals.tick)
    if observer.tls_contexts is not None:
        ticks.append(observer.tls_contexts.check_expiries)
    return ticks


def _open_transport(observer: "Observer", listener: Listener) -> Callable[[socket.socket], Transport]:
    if listener.scheme != "https":
        return SocketTransport
    assert observer.tls_contexts is not None  # or the settings would have been refused
    return observer.tls_contexts.opener()


def _submit(adj: Adjustments, dispatcher: Dispatcher) -> Callable[[Task], None]:
    limit = adj.queue_limit
    if not limit:
        return dispatcher.ready.append
    from ..threads.queue_limit import QueueLimit

    reason = f"a request has found {limit} others waiting"
    return QueueLimit(limit, dispatcher, lambda task: task.refuse("queue_limit", reason)).submit


def _access_log(adj: Adjustments) -> "AccessLog | None":
    if not adj.access_log:
        return None
    from ..observability.access_log import AccessLog

    # Not the clock of the reactor: before Python 3.13 that has steps of 15.6 ms on Windows.
    return AccessLog(adj.access_log_format, time.perf_counter)


def _measures(adj: Adjustments) -> "RequestMeasures | None":
    if not getattr(adj, "status_listen", None):  # `adj` may be a program's own object
        return None
    from ..observability.request_measures import RequestMeasures

    return RequestMeasures()
