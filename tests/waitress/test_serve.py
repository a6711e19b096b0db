"""`waitress.serve` as programs use it, each in its own process."""

import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import waitress
from tests.support.client import Client
from tests.support.servers import Spawned, spawned_script

sigint = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT can be sent to one process")
ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")

# Without the second line of it "Serving on" would not be shown: by default only warnings are.
APPLICATION = """\
import logging, signal
logging.basicConfig(level=logging.INFO)
# A parent that runs in the background may have had SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/fault":
        raise RuntimeError("the kettle is empty")
    start_response("200 OK", [])
    return [b"tea"]
"""
PROGRAM = (
    APPLICATION
    + """
from waitress import serve
serve(application{arguments})
"""
)


def ask(address: tuple[str, int], path: str = "/") -> bytes:
    """Return the body of a response."""
    with Client(address) as client:
        return client.get(path).body


def reach(address: tuple[str, int]) -> None:
    """Connect, and leave again."""
    Client(address, timeout=5).close()


@pytest.mark.promise("S04")
@pytest.mark.xdist_group("port-8080")
def test_without_arguments_it_serves_on_port_8080_of_every_ipv4_address(tmp_path: Path) -> None:
    with spawned_script(PROGRAM.format(arguments=""), tmp_path) as server:
        try:
            server.wait_for_line("Serving on http://0.0.0.0:8080$")
        except AssertionError:
            if any("Cannot listen on 0.0.0.0:8080: Address already in use" in line for line in server.log):
                pytest.skip("port 8080 is taken by another program")
            raise
        assert ask(("127.0.0.1", 8080)) == b"tea"
        with pytest.raises(OSError):
            reach(("::1", 8080))


@pytest.mark.promise("S05")
def test_host_and_port_say_where_and_it_can_be_reached_only_there(tmp_path: Path) -> None:
    with spawned_script(PROGRAM.format(arguments=', host="127.0.0.1", port=0'), tmp_path) as server:
        host, port = server.wait_for_address()
        assert host == "127.0.0.1"
        assert ask((host, port)) == b"tea"
        with pytest.raises(OSError):
            reach(("127.0.0.2", port))


@ipv6
@pytest.mark.promise("S06", "S07")
def test_listen_takes_a_list_with_a_socket_and_a_line_of_the_log_for_each(tmp_path: Path) -> None:
    arguments = ', listen="127.0.0.1:0 [::1]:0 *:0"'
    with spawned_script(PROGRAM.format(arguments=arguments), tmp_path) as server:
        addresses = [server.wait_for_address() for _ in range(4)]
        assert sorted(host for host, _ in addresses) == ["0.0.0.0", "127.0.0.1", "::", "::1"]
        for host, port in addresses:
            assert ask(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)) == b"tea"
    assert len([line for line in server.log if "Serving on" in line]) == 4


@sigint
@pytest.mark.promise("S08")
def test_ctrl_c_ends_it_and_the_program_goes_on(tmp_path: Path) -> None:
    program = PROGRAM.format(arguments=', listen="127.0.0.1:0"') + 'print("after")\n'
    with spawned_script(program, tmp_path) as server:
        assert ask(server.wait_for_address()) == b"tea"
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    assert server.output == ["after"]
    assert not [line for line in server.log if "Traceback" in line]


# Ended by the server's handler, or by one of the program.
@sigint
@pytest.mark.parametrize("handler", ["", "signal.signal(signal.SIGINT, lambda *_: sys.exit())"])
def test_ctrl_c_ends_a_dispatcher_that_the_program_has_given(handler: str, tmp_path: Path) -> None:
    run = """
import sys
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher
dispatcher = ThreadedTaskDispatcher()
dispatcher.set_thread_count(2)
server = create_server(application, listen="127.0.0.1:0", _dispatcher=dispatcher)
server.print_listen("Serving on http://{}:{}")
server.run()
print(dispatcher.threads)
"""
    with spawned_script(APPLICATION + handler + run, tmp_path) as server:
        assert ask(server.wait_for_address()) == b"tea"
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    assert server.output == ["set()"]


@pytest.mark.promise("S12")
def test_an_exception_of_the_application_is_shown_on_standard_error(tmp_path: Path) -> None:
    with spawned_script(PROGRAM.format(arguments=', listen="127.0.0.1:0"'), tmp_path) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get("/fault").status == 500
        server.wait_for_line("^ERROR:waitress:Exception while serving /fault$")
        server.wait_for_line("^Traceback")
        server.wait_for_line("^RuntimeError: the kettle is empty$")


# This sets nothing up, so "Serving on" is not shown, and the program itself says where.
BARE_PROGRAM = """\
import logging, socket, sys
{set_up}

def application(environ, start_response):
    logging.getLogger("waitress").info("a detail")
    logging.getLogger("waitress").warning("the water boils")
    logging.getLogger("shop").warning("no tea left")
    if environ["PATH_INFO"] == "/fault":
        raise RuntimeError("the kettle is empty")
    start_response("200 OK", [])
    return [b"tea"]

sock = socket.socket()
sock.bind(("127.0.0.1", 0))
sock.listen()
print("port", sock.getsockname()[1], file=sys.stderr)
from waitress import serve
serve(application, sockets=[sock])
"""


def address_of(server: Spawned) -> tuple[str, int]:
    """Wait for the program to say where."""
    return "127.0.0.1", int(server.wait_for_line(r"^port (\d+)$")[1])


@pytest.mark.promise("S20")
def test_without_a_set_up_of_logging_warnings_are_shown_and_details_are_not(tmp_path: Path) -> None:
    with spawned_script(BARE_PROGRAM.format(set_up=""), tmp_path) as server:
        assert ask(address_of(server)) == b"tea"
        server.wait_for_line("^WARNING:waitress:the water boils$")
        server.wait_for_line("^WARNING:shop:no tea left$")
    assert len(server.log) == 3, server.log


@pytest.mark.parametrize("name", ["waitress", ""], ids=["waitress", "root"])
def test_a_program_with_its_own_handler_gets_each_record_once(name: str, tmp_path: Path) -> None:
    set_up = f"logging.getLogger({name!r}).addHandler(logging.StreamHandler())"
    with spawned_script(BARE_PROGRAM.format(set_up=set_up), tmp_path) as server:
        assert ask(address_of(server)) == b"tea"
        server.wait_for_line("no tea left$")
    assert [line for line in server.log if "boils" in line] == ["the water boils"]


def test_a_program_that_wants_no_records_of_the_server_gets_none(tmp_path: Path) -> None:
    set_up = 'logging.getLogger("waitress").addHandler(logging.NullHandler())'
    with spawned_script(BARE_PROGRAM.format(set_up=set_up), tmp_path) as server:
        assert ask(address_of(server)) == b"tea"
        server.wait_for_line("no tea left$")
    assert not [line for line in server.log if "boils" in line]


OWN_HANDLER = """\
handler = logging.FileHandler("own.log")
logging.getLogger("waitress").addHandler(handler)
logging.getLogger("waitress").setLevel(logging.INFO)
logging.getLogger("waitress").propagate = False
logging.getLogger("shop").disabled = True
"""


@pytest.mark.promise("S21")
def test_all_it_says_goes_to_its_logger(tmp_path: Path) -> None:
    with spawned_script(BARE_PROGRAM.format(set_up=OWN_HANDLER), tmp_path) as server:
        assert ask(address_of(server), "/fault").startswith(b"Internal Server Error")
    own = (tmp_path / "own.log").read_text(encoding="utf-8")
    for said in (
        "Serving on http://127.0.0.1:",
        "a detail",
        "Exception while serving /fault",
        "RuntimeError: the kettle",
    ):
        assert said in own
    assert len(server.log) == 1, server.log


@sigint
@pytest.mark.promise("S75")
def test_with_profile_the_statistics_are_printed_after_the_end(tmp_path: Path) -> None:
    with spawned_script(PROGRAM.format(arguments=', listen="127.0.0.1:0", _profile=True'), tmp_path) as server:
        assert ask(server.wait_for_address()) == b"tea"
        assert server.output == []
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    assert any("Ordered by: cumulative time" in line for line in server.output)
    assert any("(run)" in line for line in server.output)


class Server:
    """Takes the place of a server; the class remembers how it was made."""

    made: list[Any]

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        type(self).made = [*arguments, settings]

    def print_listen(self, text: str) -> None: ...

    def run(self) -> None: ...


@pytest.mark.parametrize("way", ["_server", "waitress.create_server"])
def test_the_server_may_be_replaced(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "_server":
        waitress.serve("app", _server=Server, _quiet=True, port="1")  # type: ignore[arg-type]  # only handed on
    else:
        monkeypatch.setattr(way, Server)
        waitress.serve("app", _quiet=True, port="1")  # type: ignore[arg-type]  # only handed on
    assert Server.made == ["app", {"port": "1"}]
