"""Which class of task the settings ask for."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.core.heads import head
from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.http.request import Request
from waitress_core.observability.access_log import AccessLog
from waitress_core.wsgi.bounded_task import BoundedTask
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.identified_task import IdentifiedTask
from waitress_core.wsgi.logged_task import LoggedTask
from waitress_core.wsgi.proxied_task import ProxiedTask
from waitress_core.wsgi.proxy_headers import ProxyPolicy
from waitress_core.wsgi.task import WSGITask
from waitress_core.wsgi.task_kinds import task_factory, task_kind

PROXY: dict[str, Any] = {"trusted_proxy": "127.0.0.1", "proxy_protocol": "required"}
SETTINGS: dict[type[WSGITask], dict[str, Any]] = {
    BoundedTask: {"queue_timeout": 1},
    ProxiedTask: PROXY,
    IdentifiedTask: {"request_id_header": "X-Request-Id"},
}


def adjustments(**settings: Any) -> Adjustments:
    return Adjustments(**{"listen": "127.0.0.1:0", **settings})


def parts_of(kind: type) -> list[type]:
    """Return the classes that a task is made of, from the one that is asked first."""
    return [part for part in kind.__mro__ if part in (*SETTINGS, LoggedTask, WSGITask)]


def test_a_server_that_asks_for_nothing_has_the_task_itself() -> None:
    assert task_kind(WSGITask, adjustments()) is WSGITask


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"queue_timeout": 1}, BoundedTask),
        ({"request_timeout": 1}, BoundedTask),
        (PROXY, ProxiedTask),
        ({"trusted_proxy": "127.0.0.1", "listen": "proxy+http://127.0.0.1:0"}, ProxiedTask),
        ({"request_id_header": "X-Request-Id"}, IdentifiedTask),
    ],
    ids=["queue_timeout", "request_timeout", "proxy_protocol", "proxy-in-listen", "request_id_header"],
)
def test_a_setting_asks_for_one_part(settings: dict[str, Any], part: type[WSGITask]) -> None:
    assert parts_of(task_kind(WSGITask, adjustments(**settings))) == [part, WSGITask]


def test_all_of_them_are_one_class_that_is_made_once() -> None:
    """The id is there before anything else is asked, so that also a refusal has it."""
    adj = adjustments(**{name: value for settings in SETTINGS.values() for name, value in settings.items()})
    kind = task_kind(LoggedTask, adj)
    assert parts_of(kind) == [IdentifiedTask, ProxiedTask, BoundedTask, LoggedTask, WSGITask]
    assert task_kind(LoggedTask, adj) is kind
    assert kind.__name__ == "LoggedTask"


class Context:
    """What a task asks of its server."""

    def __init__(self, adj: Adjustments) -> None:
        self.adj = adj
        self.application: Any = None
        self.proxy_policy = ProxyPolicy(adj)


def connection() -> Connection:
    """Return what a task asks of its connection when it is made."""
    members = {
        "reactor": SimpleNamespace(now=1.0),
        "remote_addr": "127.0.0.1",
        "sender": SimpleNamespace(sent_bytes=0),
        "tls": None,
        "proxy": None,
    }
    return cast(Connection, SimpleNamespace(**members))


@pytest.mark.parametrize("has_log", [False, True], ids=["no-log", "log"])
@pytest.mark.parametrize("settings", [{}, {"request_timeout": 1}], ids=["plain", "bounded"])
def test_the_factory_makes_tasks_of_the_class_that_log_to_the_access_log(has_log: bool, settings: Any) -> None:
    adj = adjustments(access_log=has_log, **settings)
    log = AccessLog("combined", lambda: 1.0) if has_log else None
    make = task_factory(Context(adj), EnvironBuilder(adj, "80", "http"), log)
    task = make(connection(), Request(head("/tea")))
    expected = [*([BoundedTask] if settings else []), *([LoggedTask] if has_log else []), WSGITask]
    assert parts_of(type(task)) == expected
    assert isinstance(task, WSGITask)
    assert task.request_line == "GET /tea"


def test_a_plain_server_makes_a_task_without_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that cannot be imported is not asked for."""
    for name in ("bounded_task", "identified_task", "logged_task", "proxied_task"):
        monkeypatch.setitem(sys.modules, f"waitress_core.wsgi.{name}", None)
    adj = adjustments()
    make = task_factory(Context(adj), EnvironBuilder(adj, "80", "http"), None)
    assert type(make(connection(), Request(head("/")))) is WSGITask
