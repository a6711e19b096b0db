"""The tasks by their old names: what a program may override and read."""

import io
import threading
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.waitress.serving import PATIENCE, address_of, answer, application, running
from waitress import task as tasks
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import WSGIServer, create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import BadRequest


def server_with(task_class: type[Task], application: Any = application, **settings: Any) -> Any:
    """Make a server with requests of this class."""

    class Channel(HTTPChannel):
        pass

    Channel.task_class = task_class

    class Server(WSGIServer):
        channel_class = Channel

    return Server(application, host="127.0.0.1", port=0, **settings)


def test_an_environ_may_be_changed() -> None:
    class Own(WSGITask):
        def get_environment(self) -> Any:
            environ = super().get_environment()
            environ["PATH_INFO"] += f"/{self.request.command}/{self.channel.addr[0]}"
            return environ

    server = server_with(Own)
    with running(server):
        assert answer(address_of(server), "/tea") == b"/tea/GET/127.0.0.1"


def test_a_head_may_be_changed() -> None:
    class Own(WSGITask):
        def build_response_header(self) -> bytes:
            self.response_headers.append(("X-Own", self.status))
            return super().build_response_header().replace(b"Server: waitress\r\n", b"")

    server = server_with(Own)
    with running(server), Client(address_of(server)) as client:
        response = client.get("/tea")
        assert (response.header("X-Own"), response.header("Server"), response.header("X-Kettle")) == (
            "200 OK",
            None,
            "on",
        )
        assert (response.body, response.header("Content-Length")) == (b"/tea", "4")
        assert client.get("/again").body == b"/again"


def test_the_version_of_the_response_can_be_set() -> None:
    class Own(WSGITask):
        def start(self) -> None:
            super().start()
            assert self.version == "1.1"
            self.version = "1.0"

    def pieces(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"te"
        yield b"a"

    server = server_with(Own, pieces)
    with running(server), Client(address_of(server)) as client:
        response = client.get()
        assert (response.version, response.body, response.header("Transfer-Encoding")) == ("HTTP/1.0", b"tea", None)


def test_start_response_takes_its_arguments_by_name() -> None:
    class Own(WSGITask):
        pass

    def by_name(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status="200 OK", headers=[("X-Kettle", "on")], exc_info=None)
        return [b"tea"]

    server = server_with(Own, by_name)
    with running(server), Client(address_of(server)) as client:
        response = client.get()
        assert (response.status, response.header("X-Kettle"), response.body) == (200, "on", b"tea")


def test_a_task_is_seen_from_its_start_to_its_end() -> None:
    seen: list[Any] = []

    class Own(WSGITask):
        def start(self) -> None:
            super().start()
            seen.append((self.status, self.complete, self.wrote_header, self.content_length, self.environ))

        def finish(self) -> None:
            super().finish()
            seen.append((self.status, self.complete, self.wrote_header, self.content_length, self.has_body))
            seen.append((self.version, self.chunked_response, self.close_on_finish, self.start_time > 0))
            assert self.environ is not None

        def service(self) -> None:
            super().service()
            seen.append(self.response_headers)

    server = server_with(Own)
    with running(server):
        answer(address_of(server), "/tea")
    assert seen == [
        ("200 OK", False, False, None, None),
        ("200 OK", True, True, 4, True),
        ("1.1", False, False, True),
        [("X-Kettle", "on")],
    ]


@pytest.mark.parametrize(
    ("path", "method", "written"),
    [("/length", "GET", 3), ("/chunks", "GET", 6), ("/file", "GET", 5), ("/length", "HEAD", 0), ("/fails", "GET", 0)],
)
def test_a_task_knows_how_much_it_has_sent(path: str, method: str, written: int) -> None:
    counted: list[int] = []

    class Own(WSGITask):
        def service(self) -> None:
            super().service()
            counted.append(self.content_bytes_written)

        def finish(self) -> None:
            super().finish()
            assert self.content_bytes_written == written

    def application(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise RuntimeError
        start_response("200 OK", [])
        if path == "/file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"water"))
        return [b"tea"] if path == "/length" else iter([b"tea", b"pot"])

    server = server_with(Own, application)
    with running(server), Client(address_of(server)) as client:
        client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        client.rest()
    assert counted[0] == written or path == "/fails"


def test_a_failing_application_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError("the kettle is empty")

    server = server_with(WSGITask, failing, expose_tracebacks=True)
    with running(server), Client(address_of(server)) as client:
        response = client.get("/tea")
    assert (response.status, response.header("Connection")) == (500, "close")
    assert b"the kettle is empty" in response.body
    assert "Exception while serving /tea" in caplog.text


class Unseekable(io.BytesIO):
    """As a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, position: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation

    tell = None  # type: ignore[assignment]  # it has no position either


class Teapot(Task):
    """Answers by itself."""

    def execute(self) -> None:
        self.complete = True
        self.status = "418 I'm a teapot"
        self.response_headers = [("X-Tea", "yes")]
        if self.request.query:
            self.content_length = 6
        self.set_close_on_finish()
        self.write(b"short ")
        if not self.request.query:
            self.write(b"and stout")


@pytest.mark.parametrize(("path", "body", "length"), [("/", b"short and stout", None), ("/?x", b"short ", "6")])
def test_a_task_may_answer_without_an_application(path: str, body: bytes, length: str | None) -> None:
    server = server_with(Teapot)
    with running(server), Client(address_of(server)) as client:
        response = client.get(path)
        assert (response.status, response.body, response.header("X-Tea")) == (418, body, "yes")
        assert (response.header("Content-Length"), response.header("Connection")) == (length, "close")


def test_a_task_may_answer_nothing_but_a_head() -> None:
    class Empty(Task):
        complete = True

        def execute(self) -> None:
            self.response_headers = [("Content-Length", "9"), ("content-length", "9")]
            self.remove_content_length_header()
            self.content_length = 0

    server = server_with(Empty)
    with running(server), Client(address_of(server)) as client:
        assert (client.get().status, client.get().body) == (200, b"")


def test_a_task_of_an_application_may_answer_in_its_place() -> None:
    class Own(WSGITask):
        def execute(self) -> None:
            self.complete = True
            self.status, self.content_length = "202 Accepted", 3
            self.write(b"tea")

    server = server_with(Own)
    with running(server), Client(address_of(server)) as client:
        for _ in range(2):  # the connection goes on
            response = client.get()
            assert (response.status, response.header("Content-Length"), response.body) == (202, "3", b"tea")


def test_a_task_that_is_not_complete_can_not_write(caplog: pytest.LogCaptureFixture) -> None:
    class Early(Task):
        def execute(self) -> None:
            assert not self.complete
            self.write(b"tea")

    server = server_with(Early)
    with running(server), Client(address_of(server)) as client:
        assert client.get().status == 500
    assert "start_response was not called before body written" in caplog.text


@pytest.mark.parametrize("pieces", [[b"tea"], [b"t", b"ea"]], ids=["one piece", "two pieces"])
def test_a_task_may_make_the_whole_head_by_itself(pieces: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    class Own(WSGITask):
        def build_response_header(self) -> bytes:
            return b"HTTP/1.1 299 Own\r\nContent-Length: 3\r\n\r\n"

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return pieces

    server = server_with(Own, application)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.rest() == b"HTTP/1.1 299 Own\r\nContent-Length: 3\r\n\r\ntea"
    assert caplog.messages == []


def test_a_task_makes_the_head_of_the_answer_to_a_fault_too() -> None:
    class Own(WSGITask):
        def build_response_header(self) -> bytes:
            self.response_headers.append(("X-Own", self.status))
            return super().build_response_header()

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-Of-Application", "yes")])
        raise RuntimeError

    server = server_with(Own, application)
    with running(server), Client(address_of(server)) as client:
        response = client.get()
    assert (response.status, response.header("X-Own")) == (500, "500 Internal Server Error")
    assert response.all("X-Of-Application") == []
    assert response.body.startswith(b"Internal Server Error\r\n")


def test_a_task_with_a_head_that_fails_is_answered_without_it() -> None:
    class Own(WSGITask):
        def build_response_header(self) -> bytes:
            raise RuntimeError

    server = server_with(Own)
    with running(server), Client(address_of(server)) as client:
        assert client.get().status == 500


def test_a_task_may_add_to_the_environ_before_the_application_is_called() -> None:
    class Own(WSGITask):
        def execute(self) -> None:
            self.get_environment()["PATH_INFO"] = "/added"
            super().execute()
            assert self.environ is self.get_environment()

    server = server_with(Own)
    with running(server):
        assert answer(address_of(server)) == b"/added"


def test_a_task_may_write_more_than_the_application() -> None:
    class Own(WSGITask):
        def execute(self) -> None:
            super().execute()
            self.write(b", ")

        def finish(self) -> None:
            self.write(b"end")
            assert self.chunked_response
            super().finish()

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return iter([b"tea"])

    server = server_with(Own, application)
    with running(server):
        assert answer(address_of(server)) == b"tea, end"


@pytest.mark.parametrize("has_own_head", [False, True])
def test_a_class_may_have_all_its_connections_end(has_own_head: bool) -> None:
    class Own(WSGITask):
        close_on_finish = True

        def build_response_header(self) -> bytes:
            head = b"HTTP/1.1 299 Own\r\nConnection: close\r\n\r\n"
            return head if has_own_head else super().build_response_header()

    server = server_with(Own)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in client.rest()


@pytest.mark.parametrize("path", ["/nothing", "/tea", "/file", "/empty-file", "/pipe", "/304"])
def test_a_task_sees_each_response_in_write_before_its_head_is_made(path: str) -> None:
    class Own(WSGITask):
        def write(self, data: bytes) -> None:
            if not self.wrote_header:
                self.response_headers.append(("X-Own", "yes"))
            super().write(data)

    def application(environ: Any, start_response: Any) -> Any:
        start_response("304 Not Modified" if path == "/304" else "200 OK", [])
        wrap = environ["wsgi.file_wrapper"]
        if path in ("/file", "/304"):
            return wrap(io.BytesIO(b"water"))
        if path == "/empty-file":
            return wrap(io.BytesIO())
        if path == "/pipe":
            return wrap(Unseekable(b"water"))
        return [] if path == "/nothing" else [b"tea"]

    server = server_with(Own, application)
    with running(server), Client(address_of(server)) as client:
        assert client.get(path).all("X-Own") == ["yes"]


def test_an_error_task_may_answer_otherwise() -> None:
    class Own(ErrorTask):
        def execute(self) -> None:
            self.status, self.content_length = "418 I'm a teapot", 3
            self.write(b"tea")

    server = server_with(Own)
    with running(server), Client(address_of(server)) as client:
        assert (client.get().status, client.get().body) == (418, b"tea")


def test_an_error_task_answers_with_the_error_of_its_request() -> None:
    class Refusing(ErrorTask):
        def start(self) -> None:
            super().start()
            self.request.error = BadRequest("no milk")

    server = server_with(Refusing, ident="me")
    with running(server), Client(address_of(server)) as client:
        response = client.get()
    assert (response.status, response.header("Connection")) == (400, "close")
    assert response.body == b"Bad Request\r\n\r\nno milk\r\n\r\n(generated by me)"


def test_a_task_that_does_not_say_what_it_does_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    server = server_with(Task)
    with running(server), Client(address_of(server)) as client:
        assert client.get().status == 500
    assert "NotImplementedError" in caplog.text


def test_a_task_class_that_can_not_be_made_costs_its_client_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(WSGITask):
        def __init__(self, channel: HTTPChannel, request: Any) -> None:
            if request.path == "/broken":
                raise RuntimeError("no tea")
            super().__init__(channel, request)

    server = server_with(Broken)
    with running(server):
        with Client(address_of(server)) as client:
            client.send(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.rest() == b""
        assert answer(address_of(server), "/whole") == b"/whole"
    assert "no tea" in caplog.text


@pytest.mark.parametrize("access_log", [False, True], ids=["plain", "logged"])
@pytest.mark.parametrize("fault", ["cannot be made", "cannot refuse", "fails when it has refused"])
def test_a_refused_request_of_a_broken_task_class_costs_its_client_only(
    fault: str, access_log: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    is_held, is_released = threading.Event(), threading.Event()

    def holding(environ: Any, start_response: Any) -> list[bytes]:
        is_held.set()
        assert is_released.wait(PATIENCE)
        return application(environ, start_response)

    class Broken(WSGITask):
        def __init__(self, channel: HTTPChannel, request: Any) -> None:
            if fault == "cannot be made" and request.path == "/broken":
                raise RuntimeError("no tea")
            super().__init__(channel, request)

        def refuse(self, rule: str, reason: str) -> None:
            if fault == "fails when it has refused":
                super().refuse(rule, reason)
            raise RuntimeError("no tea")

    server = server_with(Broken, holding, threads=1, queue_limit=1, access_log=access_log)
    with running(server), Client(address_of(server)) as first, Client(address_of(server)) as second:
        first.send(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        assert is_held.wait(PATIENCE)
        second.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        assert becomes_true(lambda: server._dispatcher.waiting_count == 1)
        with Client(address_of(server)) as client:
            client.send(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
            client.rest()
            assert becomes_true(lambda: len(server._connections()) == 2, PATIENCE), "its descriptor stays open"
        is_released.set()
        assert [client.response().body for client in (first, second)] == [b"/first", b"/second"]
    assert "no tea" in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert sum("/broken" in line for line in lines) == access_log
    assert len(lines) == 3 * access_log


@pytest.mark.parametrize(
    ("way", "received"),
    [("fails", b""), ("does nothing", b""), ("fails amid the body", b""), ("answers itself", b"tea, and a pot")],
    ids=["fails", "does-nothing", "fails-amid-the-body", "answers-itself"],
)
def test_a_service_of_a_program_that_does_not_call_the_one_before_ends_it(
    way: str, received: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    class Own(WSGITask):
        def service(self) -> None:
            if way == "fails":
                raise RuntimeError("no milk")
            if way != "does nothing":
                self.start()
                self.complete = True
                self.write(b"tea")
            if way == "fails amid the body":
                raise RuntimeError("no milk")
            if way == "answers itself":
                self.write(b", and a pot")
                self.finish()

    server = server_with(Own, access_log=True)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP/1.0\r\n\r\n")
        body = client.rest().partition(b"\r\n\r\n")[2]
        assert body == received or way == "fails amid the body"  # which is reset: it may arrive, or not
        assert becomes_true(lambda: not server._connections(), PATIENCE), "its descriptor stays open"
        assert becomes_true(lambda: "GET /tea" in caplog.text)
    assert ("no milk" in caplog.text) is way.startswith("fails")


def test_a_parser_of_a_program_that_cannot_be_closed_costs_its_response_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Leaking(HTTPRequestParser):
        def close(self) -> None:
            raise RuntimeError("no lid")

    server = server_with(WSGITask)
    server.channel_class.parser_class = Leaking
    with running(server), Client(address_of(server)) as client:
        for path in ("/tea", "/pot"):
            assert client.get(path).body == path.encode()
    assert "Exception in close of" in caplog.text
    assert "no lid" in caplog.text


def test_the_class_itself_may_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = WSGITask.get_environment

    def get_environment(self: WSGITask) -> Any:
        return {**stock(self), "PATH_INFO": "/patched"}

    monkeypatch.setattr(WSGITask, "get_environment", get_environment)
    server = create_server(application, listen="127.0.0.1:0")
    with running(server):
        assert answer(address_of(server)) == b"/patched"


def sends(fields: list[tuple[str, str]]) -> Any:
    """Make an application that sends these fields."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", fields)
        return [b"tea"]

    return application


def status_of(fields: list[tuple[str, str]]) -> tuple[int, list[str]]:
    """Serve once; return the status, and the values of Connection."""
    server = create_server(sends(fields), listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        response = client.get("/", "Connection: close")
    return response.status, response.all("Connection")


def test_the_fields_that_no_application_may_send_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade, kettle = [("Connection", "upgrade"), ("Upgrade", "tea")], [("X-Kettle", "on")]
    assert status_of(upgrade)[0] == 500
    assert status_of(kettle)[0] == 200
    with monkeypatch.context() as patched:
        patched.setattr(tasks, "hop_by_hop", frozenset({"x-kettle"}))
        assert status_of(upgrade) == (200, ["upgrade"])
        assert status_of(kettle)[0] == 500
    assert status_of(upgrade)[0] == 500
    assert status_of(kettle)[0] == 200


def test_a_set_of_such_fields_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [("Te", "x")]
    own = set(tasks.hop_by_hop)
    monkeypatch.setattr(tasks, "hop_by_hop", own)
    assert status_of(fields)[0] == 500
    own.remove("te")
    assert status_of(fields)[0] == 200
    own.add("te")
    assert status_of(fields)[0] == 500
