"""Where a server listens: addresses of both families, unix sockets, given sockets; and what it does without for it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import Recorder
from tests.support.client import Client
from tests.support.platforms import unix_socket
from tests.support.processes import serving_program
from tests.support.servers import run_in_thread, running, spawned_script
from waitress_core import Adjustments, BaseWSGIServer, MultiSocketServer, TcpWSGIServer, UnixWSGIServer, create_server


def has_ipv6() -> bool:
    """Whether this host has an IPv6 loopback address."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs the address ::1")
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")

APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def on_free_port(make: Callable[[int], BaseWSGIServer]) -> tuple[BaseWSGIServer, int]:
    """Make a server on a port that nobody uses; another process may be quicker, then the next one is tried."""
    for _ in range(20):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            return make(port), port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("twenty ports were taken")


def answers(address: tuple[str, int] | str) -> bool:
    with Client(address) as client:
        return client.get().body == b"ok"


# --- versions of HTTP


@pytest.mark.parametrize(
    ("version", "fields", "answered_by", "connection"),
    [
        pytest.param("1.1", [], "HTTP/1.1", None, id="S03-http11-persists"),
        pytest.param("1.1", ["Connection: close"], "HTTP/1.1", "close", id="S03-http11-close"),
        pytest.param("1.0", [], "HTTP/1.0", "close", id="S03-http10-closes"),
        pytest.param("1.0", ["Connection: keep-alive"], "HTTP/1.0", "Keep-Alive", id="S03-http10-keep-alive"),
        pytest.param("1.2", [], "HTTP/1.1", None, id="S03-later-minor-version"),
    ],
)
@pytest.mark.promise("S92")
def test_the_version_decides_status_line_and_persistence(
    version: str, fields: list[str], answered_by: str, connection: str | None
) -> None:
    with running(Recorder()) as server, server.client() as client:
        response = client.get("/", *fields, version=version)
        assert (response.version, response.status, response.body) == (answered_by, 200, b"ok")
        assert response.header("Connection") == connection
        if connection == "close":
            assert client.rest() == b""
        else:
            assert client.get("/again", *fields, version=version).body == b"ok"


# --- TCP


@pytest.mark.promise("S06")
@needs_ipv6
def test_an_asterisk_is_every_address_of_both_families() -> None:
    server, port = on_free_port(lambda port: create_server(Recorder(), listen=f"*:{port}"))
    with run_in_thread(server):
        assert answers(("127.0.0.1", port))
        assert answers(("::1", port))
    assert isinstance(server, MultiSocketServer)
    assert sorted(server.effective_listen) == [("0.0.0.0", str(port)), ("::", str(port))]


@pytest.mark.promise("S06")
@needs_ipv6
@pytest.mark.parametrize(("setting", "host"), [({"ipv6": False}, "0.0.0.0"), ({"ipv4": False}, "::")])
def test_an_asterisk_is_one_family_when_the_other_is_off(setting: dict[str, Any], host: str) -> None:
    server = create_server(Recorder(), listen="*:0", **setting)
    assert isinstance(server, TcpWSGIServer)
    assert server.effective_host == host
    server.close()


@pytest.mark.promise("S06")
@needs_ipv6
def test_an_ipv6_listener_leaves_ipv4_to_others() -> None:
    server, port = on_free_port(lambda port: create_server(Recorder(), listen=f"[::]:{port}"))
    with run_in_thread(server):
        assert answers(("::1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_several_addresses_are_listened_on_each_once() -> None:
    recorder = Recorder()
    server, port = on_free_port(
        lambda port: create_server(recorder, listen=[f"127.0.0.1:{port}", f"127.0.0.1:{port} 127.0.0.1:0 127.0.0.1:0"])
    )
    assert isinstance(server, MultiSocketServer)
    ports = [int(number) for _, number in server.effective_listen]
    assert ports[0] == port
    assert len(set(ports)) == len(ports) == 3
    with run_in_thread(server):
        assert all(answers(("127.0.0.1", number)) for number in ports)
    assert [environ["SERVER_PORT"] for environ in recorder.environs] == [str(number) for number in ports]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(lambda port: {"listen": f"127.0.0.1:{port}"}, id="S78-listen"),
        pytest.param(lambda port: {"host": "127.0.0.1", "port": str(port)}, id="S78-port"),
        pytest.param(lambda port: {"host": "127.0.0.1", "port": port}, id="S78-port-as-number"),
    ],
)
def test_a_port_may_be_text(settings: Callable[[int], dict[str, Any]]) -> None:
    server, port = on_free_port(lambda port: create_server(Recorder(), **settings(port)))
    with run_in_thread(server):
        assert answers(("127.0.0.1", port))
    assert isinstance(server, TcpWSGIServer)
    assert (server.effective_host, server.effective_port) == ("127.0.0.1", str(port))


@pytest.mark.promise("S78")
@pytest.mark.parametrize("settings", [{"listen": "127.0.0.1:http"}, {"host": "127.0.0.1", "port": "http"}])
def test_on_windows_a_service_name_is_refused(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ValueError, match="Windows does not support service names instead of port numbers"):
        Adjustments(**settings)


@pytest.mark.promise("S78")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no service names for ports")
def test_elsewhere_a_service_name_is_a_port() -> None:
    try:
        port = socket.getservbyname("http", "tcp")
    except OSError:
        pytest.skip("needs a database of services")
    assert Adjustments(listen="127.0.0.1:http").listen[0][3] == ("127.0.0.1", port)


@pytest.mark.plain  # it reads the URL
@pytest.mark.promise("S80")
@needs_ipv6
def test_an_ipv6_address_is_in_brackets(tmp_path: Path) -> None:
    with serving_program(APPLICATION, tmp_path, listen="[::1]:0") as program:
        host, port = program.address
        assert host == "::1"
        assert answers(program.address)
        # As the address is written in a URL.
        assert any(f"Serving on http://[::1]:{port}" in line for line in program.process.log)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        pytest.param("[::1]:5", ("::1", 5), id="S80-host-and-port"),
        pytest.param("[::1]", ("::1", 8080), id="S80-host"),
        pytest.param("[::]:5", ("::", 5), id="S80-any"),
        pytest.param("::1:5", ("::1", 5), id="S80-without-brackets"),
        pytest.param("127.0.0.1", ("127.0.0.1", 8080), id="S80-ipv4-host"),
    ],
)
@needs_ipv6
def test_a_listen_word_is_split_at_the_port(listen: str, address: tuple[str, int]) -> None:
    [(family, kind, _, sockaddr)] = Adjustments(listen=listen).listen
    assert sockaddr[:2] == address
    assert family == (socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    assert kind == socket.SOCK_STREAM


@pytest.mark.promise("S80")
@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_host_goes_with_or_without_brackets(host: str) -> None:
    server = create_server(Recorder(), host=host, port=0)
    assert isinstance(server, TcpWSGIServer)
    with run_in_thread(server):
        assert server.effective_host == "::1"
        assert answers(("::1", int(server.effective_port)))


def test_the_backlog_takes_connections_before_run() -> None:
    server = create_server(Recorder(), listen="127.0.0.1:0", backlog=8)
    assert isinstance(server, TcpWSGIServer)
    with Client(("127.0.0.1", int(server.effective_port))) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with run_in_thread(server):
            assert client.response().body == b"ok"


def test_a_port_can_be_had_again_at_once() -> None:
    """Connections that the first server has ended are still in TIME_WAIT."""
    server, port = on_free_port(lambda port: create_server(Recorder(), listen=f"127.0.0.1:{port}"))
    with run_in_thread(server), Client(("127.0.0.1", port)) as client:
        assert client.get("/", "Connection: close").status == 200
        assert client.rest() == b""
    again = create_server(Recorder(), listen=f"127.0.0.1:{port}")
    with run_in_thread(again):
        assert answers(("127.0.0.1", port))


# --- what a host may lack

NAMES = ("getfqdn", "gethostname", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo")


@pytest.mark.promise("S76")
@pytest.mark.parametrize("settings", [{"listen": "127.0.0.1:0"}, {"host": "127.0.0.1", "port": 0}, {"port": 0}])
def test_no_name_is_looked_up(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at the start nor for a request."""
    looked_up: list[tuple[object, ...]] = []
    numeric = socket.getaddrinfo

    def fail(*arguments: object) -> Any:
        looked_up.append(arguments)
        raise OSError("no name service here")

    def only_numeric(host: str | None, port: str | int | None, *more: int, **named: int) -> Any:
        try:
            numeric(host, port, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE)
        except OSError:
            looked_up.append((host, port))
        return numeric(host, port, *more, **named)

    for name in NAMES:
        monkeypatch.setattr(socket, name, fail)
    monkeypatch.setattr(socket, "getaddrinfo", only_numeric)
    server = create_server(Recorder(), **settings)
    assert isinstance(server, TcpWSGIServer)
    with run_in_thread(server):
        assert answers(("127.0.0.1", int(server.effective_port)))
    assert looked_up == []


def namespace_command() -> list[str]:
    """Return the command that runs another one in its own network, where only the loopback interface is up.

    Skips where that is not to be had.
    """
    unshare, shell = shutil.which("unshare"), shutil.which("sh")
    if unshare is None or shell is None or shutil.which("ip") is None:
        pytest.skip("needs the commands unshare and ip (of Linux) for its own network")
    command = [unshare, "--net", "--map-root-user", shell, "-c", 'ip link set lo up && exec "$0" "$@"']
    probe = subprocess.run([*command, "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"needs the right to make its own network: {probe.stderr.strip()}")
    return command


ALONE = """
import socket
import sys
import tempfile
import threading
from waitress_core import create_server

def application(environ, start_response):
    start_response("200 OK", [("Connection-Count", "1")])
    return [b"ok"]

server = create_server(application, listen=sys.argv[1])
addresses = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
thread = threading.Thread(target=server.run)
thread.start()
for host, port in addresses:
    with socket.create_connection((host, int(port)), 20) as client:
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
    print(host, answer.partition(b" ")[2][:3].decode())
server.close()
thread.join()
"""


@pytest.mark.parametrize(
    ("listen", "answered"),
    [
        pytest.param("127.0.0.1:0 [::1]:0", ["127.0.0.1 200", "::1 200"], id="S77-both-loopback-addresses"),
        pytest.param("[::1]:0", ["::1 200"], id="S77-ipv6"),
        pytest.param("127.0.0.1:0", ["127.0.0.1 200"], id="S76-ipv4"),
    ],
)
@needs_ipv6
def test_loopback_is_enough_of_a_network(listen: str, answered: list[str], tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(ALONE, encoding="utf-8")
    done = subprocess.run(
        [*namespace_command(), sys.executable, str(script), listen], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == answered


@pytest.mark.promise("S76")
def test_localhost_is_listened_on_without_a_network(tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(ALONE, encoding="utf-8")
    command = namespace_command()
    resolves = "import socket; socket.getaddrinfo('localhost', 0)"
    if subprocess.run([*command, sys.executable, "-c", resolves], capture_output=True).returncode:
        pytest.skip("needs a hosts file that names localhost")
    done = subprocess.run([*command, sys.executable, str(script), "localhost:0"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(" ")[0] for line in done.stdout.splitlines()} <= {"127.0.0.1", "::1"}
    assert {line.partition(" ")[2] for line in done.stdout.splitlines()} == {"200"}


@pytest.mark.promise("S77")
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "*:0"])
def test_addresses_are_not_left_out_for_want_of_an_interface(listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AI_ADDRCONFIG hides loopback addresses on a host that has no others."""
    flags: list[int] = []
    resolve = socket.getaddrinfo

    def noting(host: str | None, port: str | int | None, *more: int, **named: int) -> Any:
        flags.append(named["flags"] if "flags" in named else more[3] if len(more) > 3 else 0)
        return resolve(host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    Adjustments(listen=listen)
    assert flags
    assert not any(flag & socket.AI_ADDRCONFIG for flag in flags)


WINDOWS = """
import socket
import sys

class Noting(socket.socket):
    def setsockopt(self, level, option, *value):
        if (level, option) == (41, 27):
            print("IPV6_V6ONLY is set to", *value)
        elif level == socket.SOL_SOCKET:
            print("SO_EXCLUSIVEADDRUSE" if option == ~socket.SO_REUSEADDR else option, "is set to", *value)
        elif level != 41:
            super().setsockopt(level, option, *value)

del socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
socket.SO_EXCLUSIVEADDRUSE = ~socket.SO_REUSEADDR
socket.socket = Noting
import asyncio, concurrent.futures, logging, multiprocessing, selectors, subprocess, tempfile, wsgiref.validate
sys.platform = "win32"
import warnings
warnings.simplefilter("error")
from waitress_core import create_server
server = create_server(print, listen="[::1]:0")
print("listening on", server.effective_host)
server.close()
"""


@pytest.mark.promise("S79")
@needs_ipv6
@pytest.mark.skipif(sys.platform == "win32", reason="stands for Windows on other systems")
def test_windows_has_its_own_options_though_the_name_of_one_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "windows.py"
    script.write_text(WINDOWS, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "SO_EXCLUSIVEADDRUSE is set to 1",
        "IPV6_V6ONLY is set to 1",
        "listening on ::1",
    ]


# --- unix sockets


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: that of a unix socket may have a hundred characters or so."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder)


@pytest.mark.promise("S09")
@needs_unix
def test_requests_come_over_a_unix_socket(folder: Path) -> None:
    path = str(folder / "socket")
    recorder = Recorder()
    with running(recorder, unix_socket=path) as server:
        assert isinstance(server.server, UnixWSGIServer)
        assert (server.server.effective_host, server.server.effective_port) == ("unix", path)
        with Client(path) as client:
            assert client.get("/over-unix").body == b"ok"
            assert client.get("/again").body == b"ok"
    assert recorder.paths == ["/over-unix", "/again"]
    assert recorder.environs[0]["REMOTE_ADDR"] == "localhost"
    assert not os.path.lexists(path), "the path is left behind"


@pytest.mark.promise("S09")
@needs_unix
def test_the_url_of_a_unix_socket_names_its_path(folder: Path) -> None:
    server = create_server(Recorder(), unix_socket=str(folder / "socket"))
    server.close()
    assert server.urls == [f"http://unix:{folder / 'socket'}"]


@pytest.mark.promise("S09")
@needs_unix
def test_a_socket_that_a_dead_server_has_left_is_replaced(folder: Path) -> None:
    path = str(folder / "socket")
    with unix_socket() as dead:
        dead.bind(path)
    assert os.path.exists(path)
    with running(Recorder(), unix_socket=path):
        assert answers(path)


@pytest.mark.promise("S09")
@needs_unix
def test_the_path_of_the_next_server_is_not_removed(folder: Path) -> None:
    path = str(folder / "socket")
    first = create_server(Recorder(), unix_socket=path)
    Path(path).unlink()  # or the next server would be refused
    with running(Recorder(), unix_socket=path):
        first.close()
        assert answers(path)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        pytest.param({}, 0o600, id="S11-default"),
        pytest.param({"unix_socket_perms": "660"}, 0o660, id="S11-660"),
        pytest.param({"unix_socket_perms": "0o777"}, 0o777, id="S11-prefix"),
        pytest.param({"unix_socket_perms": "0600"}, 0o600, id="S11-leading-zero"),
    ],
)
@needs_unix
def test_a_unix_socket_has_the_permissions_of_the_setting(settings: dict[str, str], mode: int, folder: Path) -> None:
    path = folder / "socket"
    with running(Recorder(), unix_socket=str(path), **settings):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert answers(str(path))


WITHOUT_UNIX = """
import socket
if hasattr(socket, "AF_UNIX"):
    # A system without unix sockets has pairs of sockets all the same.
    pair, family = socket.socketpair, socket.AF_UNIX
    socket.socketpair = lambda: pair(family)
    del socket.AF_UNIX
import logging
from waitress_core import create_server

logging.basicConfig(level=logging.INFO)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

try:
    create_server(application, unix_socket="path")
except (OSError, ValueError) as error:
    logging.info("refused: %s", error)
server = create_server(application, listen="127.0.0.1:0")
logging.info("Serving on %s", server.url)
server.run()
"""


@pytest.mark.promise("S10")
def test_without_unix_sockets_tcp_is_served_all_the_same(tmp_path: Path) -> None:
    with spawned_script(WITHOUT_UNIX, tmp_path) as process:
        assert process.wait_for_line("refused: (.*)")[1].count("unix socket") == 1
        assert answers(process.wait_for_address())
    assert not (tmp_path / "path").exists()


# --- given sockets


def test_a_given_socket_is_listened_on_and_left_open() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        address = given.getsockname()
        with running(Recorder(), sockets=[given]) as server:
            assert isinstance(server.server, TcpWSGIServer)
            assert server.address == address
            assert answers(address)
        assert given.fileno() >= 0
        with running(Recorder(), sockets=[given]):
            assert answers(address)


def test_several_given_sockets_are_listened_on() -> None:
    with socket.socket() as first, socket.socket() as second:
        for given in (first, second):
            given.bind(("127.0.0.1", 0))
            given.listen(7)
        with running(Recorder(), sockets=[first, second]) as server:
            assert isinstance(server.server, MultiSocketServer)
            assert answers(first.getsockname())
            assert answers(second.getsockname())


@needs_unix
def test_a_given_unix_socket_is_listened_on_and_its_path_left(folder: Path) -> None:
    path = str(folder / "socket")
    with unix_socket() as given:
        given.bind(path)
        with running(Recorder(), sockets=[given]) as server:
            assert isinstance(server.server, UnixWSGIServer)
            assert answers(path)
        assert os.path.exists(path)


# --- all or nothing


def test_when_one_address_can_not_be_had_none_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]

        def fail(port: int) -> BaseWSGIServer:
            with pytest.raises(OSError, match=f"127.0.0.1:{taken}") as caught:
                create_server(Recorder(), listen=f"127.0.0.1:{port} 127.0.0.1:{taken}")
            assert caught.value.errno == errno.EADDRINUSE
            return create_server(Recorder(), listen=f"127.0.0.1:{port}")

        server, port = on_free_port(fail)
        with run_in_thread(server):
            assert answers(("127.0.0.1", port))


@pytest.mark.promise("S07")
@needs_ipv6
def test_every_listener_has_its_url() -> None:
    server = create_server(Recorder(), listen="127.0.0.1:0 [::1]:0 *:0")
    assert isinstance(server, MultiSocketServer)
    hosts = ["127.0.0.1", "[::1]", *(f"[{host}]" if ":" in host else host for host, _ in server.effective_listen[2:])]
    assert server.urls == [
        f"http://{host}:{port}" for host, (_, port) in zip(hosts, server.effective_listen, strict=True)
    ]
    with run_in_thread(server):
        for host, port in server.effective_listen:
            reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            assert answers((reached, int(port)))


def test_no_name_of_a_peer_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reverse lookup may take ten seconds."""
    lookups: list[tuple[object, ...]] = []

    def look_up(*arguments: object) -> Any:
        lookups.append(arguments)
        raise OSError

    monkeypatch.setattr(socket, "gethostbyaddr", look_up)
    monkeypatch.setattr(socket, "getnameinfo", look_up)
    recorder = Recorder()
    with running(recorder) as server:
        assert answers(server.address)
    assert lookups == []
    assert recorder.environs[0]["REMOTE_HOST"] == "127.0.0.1"
