"""Context variables (`contextvars`): what a request sets lasts as long as the request, on every thread."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS
from tests.support.processes import becomes_true
from tests.support.servers import running
from waitress.task import ThreadedTaskDispatcher

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

USER: ContextVar[str] = ContextVar("USER", default="nobody")


class Body:
    """A body that notes the user while it is iterated, and when it is closed."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def __iter__(self) -> Iterator[bytes]:
        self._seen.append(USER.get())
        yield b"one"
        self._seen.append(USER.get())
        yield b"two"

    def close(self) -> None:
        self._seen.append(USER.get())


class Application:
    """Sets the user to the path of the request, and notes who it was when it was called."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.after: list[str] = []
        self.threads: set[int] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.add(threading.get_ident())
        self.before.append(USER.get())
        USER.set(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/raises":
            raise RuntimeError
        start_response("200 OK", [])
        return Body(self.after)


@pytest.mark.parametrize("dispatcher", ["own", "3.0.2"])
def test_what_one_request_sets_the_next_one_on_its_thread_does_not_see(dispatcher: str) -> None:
    application = Application()
    settings: dict[str, Any] = {"threads": 1}
    if dispatcher == "3.0.2":
        settings["dispatcher"] = pool = ThreadedTaskDispatcher()
        pool.set_thread_count(1)
    with running(application, **settings) as server, server.client() as client:
        for path in ("/a", "/b"):
            client.get(path)
        client.get("/raises")
        with server.client() as other:
            other.get("/c")
    if dispatcher == "3.0.2":
        pool.shutdown()
    assert len(application.threads) == 1
    assert application.before == ["nobody"] * 4


def test_the_body_is_iterated_and_closed_in_the_context_of_its_request() -> None:
    application = Application()
    with running(application) as server, server.client() as client:
        assert client.get("/a").body == b"onetwo"
        assert client.get("/b").body == b"onetwo"
    assert application.after == ["/a"] * 3 + ["/b"] * 3


def test_records_of_a_request_are_logged_in_its_context() -> None:
    """A filter that adds a request's id to each record relies on it."""
    seen: list[tuple[str, str]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.name, USER.get()))

    handler = Noting()
    logging.getLogger("waitress").addHandler(handler)
    try:
        with running(Application(), access_log=True) as server, server.client() as client:
            assert client.get("/raises").status == 500
            assert becomes_true(lambda: any(name == "waitress.access" for name, _ in seen))  # after the response
    finally:
        logging.getLogger("waitress").removeHandler(handler)
    assert seen[-2:] == [("waitress", "/raises"), ("waitress.access", "/raises")]


@pytest.mark.parametrize("megabytes", [0, 40], ids=["by-the-task", "by-the-reactor"])
def test_a_file_is_closed_in_the_context_of_its_request(tmp_path: Path, megabytes: int) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(max(1, megabytes * 1024 * 1024))
    closed: list[str] = []

    class Noting:
        def __init__(self) -> None:
            self.file = path.open("rb")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def close(self) -> None:
            closed.append(USER.get())
            USER.set("closed")
            self.file.close()

    def has_closed(count: int) -> bool:
        return len(closed) == count

    before: list[str] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before.append(USER.get())
        USER.set(environ["PATH_INFO"])
        start_response("200 OK", [])
        body: Iterable[bytes] = environ["wsgi.file_wrapper"](Noting())
        return body

    with running(application, threads=1) as server:
        for number, name in enumerate(["/a", "/b"]):
            with server.client() as client:
                assert len(client.get(name).body) == path.stat().st_size
            assert becomes_true(partial(has_closed, number + 1), SECONDS)
    assert closed == ["/a", "/b"]
    assert before == ["nobody", "nobody"]


def test_requests_do_not_see_what_the_program_has_set_around_the_server() -> None:
    """As with 3.0.2. In `with app.app_context(): serve(app)` all requests would share one context of Flask, and with
    it their database sessions. (Threads of free-threaded builds inherit it: `sys.flags.thread_inherit_context`.)
    """
    application = Application()
    token = USER.set("around")
    try:
        with running(application) as server, server.client() as client:
            client.get("/a")
    finally:
        USER.reset(token)
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    assert application.before == ["around" if inherits else "nobody"]
