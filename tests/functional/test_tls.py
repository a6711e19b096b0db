"""TLS of a real server: the clients that people use, what applications and logs see, reload, bad input, the ends."""

import contextlib
import datetime
import http.client
import json
import logging
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import requests

from tests.functional.applications import CROWDED, Recorder, error_lines_in
from tests.support.certificates import authority_file, client_context, client_file, server_file
from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true, comes_to_rest, needs_proc, serving_program
from tests.support.servers import Running, running, spawned
from tests.support.times import SkippingClock, shorten_ticks
from waitress_core.connection.connection import Connection

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.plain  # it says by itself who speaks TLS

LARGE = 3_000_000
TLS_HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000002130101000002000000")


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/large":
        body = bytes(LARGE)
    elif environ["PATH_INFO"] == "/environ":
        body = json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def server() -> Iterator[Running]:
    with running(application, tls_certificate=server_file()) as made:
        yield made


def mutual(asked: str) -> dict[str, str]:
    """Return the settings of a server that asks clients for certificates."""
    return {
        "tls_certificate": server_file(),
        "tls_client_ca": authority_file(),
        "tls_client_certificate": asked,
    }


# --- clients


def test_urls_say_https(server: Running) -> None:
    assert server.server.url == f"https://127.0.0.1:{server.address[1]}"
    assert server.server.urls == [server.server.url]


def test_the_client_of_pythons_library_is_served_on_one_connection(server: Running) -> None:
    connection = http.client.HTTPSConnection(server.address[0], server.address[1], context=client_context(), timeout=20)
    for size in (0, 1, LARGE):
        connection.request("POST", "/", bytes(size))
        assert len(connection.getresponse().read()) == size
    connection.request("GET", "/large")
    assert len(connection.getresponse().read()) == LARGE
    connection.close()


def test_requests_and_httpx_are_served(server: Running) -> None:
    url = f"{server.url}/large"
    assert len(requests.get(url, verify=authority_file(), timeout=20).content) == LARGE
    with httpx.Client(verify=client_context()) as client:
        assert len(client.get(url).content) == LARGE
        assert client.post(server.url, content=bytes(LARGE)).content == bytes(LARGE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs the command curl")
def test_curl_is_served_and_shows_its_certificate(tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 8000)
    with running(application, **mutual("optional")) as server:
        curl = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--cacert", authority_file()]
        done = subprocess.run([*curl, "--upload-file", str(upload), server.url], capture_output=True, check=True)
        assert done.stdout == upload.read_bytes()
        done = subprocess.run(
            [*curl, "--cert", client_file(), f"{server.url}/environ"], capture_output=True, check=True
        )
        assert json.loads(done.stdout)["SSL_CLIENT_VERIFY"] == "SUCCESS"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
def test_openssl_finds_alpn_and_secure_defaults(server: Running) -> None:
    command = ["openssl", "s_client", "-connect", "{}:{}".format(*server.address), "-CAfile", authority_file()]
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for version, more in (("1_2", ["-servername", "localhost"]), ("1_3", ["-alpn", "h2,http/1.1"])):
        done = subprocess.run([*command, f"-tls{version}", *more], input=request, capture_output=True, timeout=20)
        text = done.stdout.decode("latin-1")
        assert "Verify return code: 0 (ok)" in text
        assert "HTTP/1.1 200 OK" in text or done.stdout  # the end of input may come first
        if version == "1_3":
            assert "ALPN protocol: http/1.1" in text
        else:
            assert "Secure Renegotiation IS supported" in text
            assert "Compression: NONE" in text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_session_is_resumed(server: Running, version: ssl.TLSVersion) -> None:
    context = client_context()
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(2):
        with socket.create_connection(server.address, 20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert sock.recv(1000).startswith(b"HTTP/1.1 200")
                is_resumed, session = sock.session_reused, sock.session
    assert is_resumed


def test_a_client_without_its_certificate_is_refused_by_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    with running(application, **mutual("required")) as server:
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(server.url, verify=authority_file(), timeout=20)
        assert becomes_true(lambda: "peer did not return a certificate" in caplog.text)
        answer = requests.get(f"{server.url}/environ", verify=authority_file(), cert=client_file(), timeout=20)
    assert answer.json()["SSL_CLIENT_S_DN"].startswith("CN=Ada Lovelace,")
    failures = [record for record in caplog.records if "handshake" in record.getMessage()]
    assert [(record.levelname, record.exc_info) for record in failures] == [("INFO", None)]


# --- what applications and logs see


def test_the_environ_has_the_names_of_mod_ssl(server: Running) -> None:
    environ = requests.get(f"https://localhost:{server.address[1]}/environ", verify=authority_file(), timeout=20).json()
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTPS"] == "on"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert environ["SSL_CIPHER"].startswith("TLS_")
    assert environ["SSL_SERVER_NAME"] == "localhost"
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert environ["SERVER_PORT"] == str(server.address[1])


def test_a_plain_environ_has_none_of_them() -> None:
    with running(application) as server, server.client() as client:
        environ = json.loads(client.get("/environ").body)
    assert not {name for name in environ if name.startswith(("SSL_", "HTTPS"))}


def test_plain_and_tls_listeners_work_next_to_each_other() -> None:
    listen = "http://127.0.0.1:0 127.0.0.1:0"
    with running(application, listen=listen, tls_certificate=server_file()) as server:
        plain, secure = server.server.urls
        assert (plain.partition(":")[0], secure.partition(":")[0]) == ("http", "https")
        for url in (plain, secure):
            environ = requests.get(f"{url}/environ", verify=authority_file(), timeout=20).json()
            assert environ["wsgi.url_scheme"] == url.partition(":")[0]


def test_the_access_log_has_fields_of_tls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress.access")
    text = '{method} {tls_version} {tls_cipher} "{client_dn}"'
    with running(application, access_log=text, **mutual("optional")) as server:
        for certificate in (None, client_file()):
            requests.get(server.url, verify=authority_file(), cert=certificate, timeout=20)
        assert becomes_true(lambda: len(caplog.messages) == 2)
    first, second = caplog.messages
    assert first.startswith("GET TLSv1.3 TLS_")
    assert first.endswith(' "-"')
    assert '"CN=Ada Lovelace,' in second


@pytest.mark.one_worker  # each logs it
def test_a_tls_hello_at_a_plain_port_is_logged_as_what_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with running(application) as server:
        for _ in range(3):
            with server.client() as client:
                client.send(TLS_HELLO)
                assert b"This port speaks plain HTTP" in client.rest()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("Client 127.0.0.1 has started TLS on a port that speaks plain HTTP")


def test_a_plain_request_at_a_tls_port_is_answered_once_and_in_plain(server: Running) -> None:
    with socket.create_connection(server.address, 20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        received = b""
        while data := plain.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert received.count(b"HTTP/1.") == 1
    assert b"Content-Type: text/plain" in received
    assert b"This port speaks HTTPS" in received


# --- connections


def test_a_client_in_its_handshake_holds_a_connection_and_no_thread(skipping_clock: SkippingClock) -> None:
    with running(application, threads=1, tls_certificate=server_file(), tls_handshake_timeout=100) as server:
        silent = [socket.create_connection(server.address, 20) for _ in range(3)]
        assert becomes_true(lambda: server.server.stats().connections_by_state["handshake"] == 3)
        with server.client() as client:
            assert client.get().status == 200
        skipping_clock.skip(100)
        for sock in silent:
            assert sock.recv(1) == b""
            sock.close()
        assert becomes_true(lambda: server.server.stats().connections == 0)


@needs_proc
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on descriptors")
def test_a_server_out_of_descriptors_shakes_hands_again_once_it_has_some(tmp_path: Path) -> None:
    with serving_program(CROWDED, tmp_path, connection_limit=1000, tls_certificate=server_file()) as served:
        with served.client() as client:
            assert client.get("/lower-the-limit").status == 200
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(socket.create_connection(served.address, 20))
            served.process.wait_for_line("Too many open files")
            assert comes_to_rest(served.id), "it tries again and again"
        for _ in range(3):
            with served.client() as client:
                assert client.get().body == b"ok"
        assert error_lines_in(served.process.log) == [
            "WARNING:waitress:server accept() threw an exception: [Errno 24] Too many open files"
        ]


def connection_of(server: Running) -> Connection:
    """Return its only connection."""
    assert server.server._run is not None
    (connection,) = server.server._run.manager.connections.values()
    return connection


def test_a_client_that_has_said_goodbye_still_gets_its_answer() -> None:
    may_answer = threading.Event()

    def wait(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        may_answer.wait(20)
        start_response("200 OK", [])
        return [str(environ["waitress.client_disconnected"]()).encode()]

    with running(wait, tls_certificate=server_file()) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            client.socket._session.unwrap()  # close_notify; the socket stays open in both directions
        client.socket._flush()
        assert becomes_true(lambda: connection_of(server).is_client_gone())
        may_answer.set()
        assert client.response().body == b"True"
        assert client.is_closed_within(5)


OPENSSL = shutil.which("openssl")


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_a_client_may_ask_for_new_keys_between_two_requests() -> None:
    recorder = Recorder()
    with running(recorder, tls_certificate=server_file()) as server:
        host, port = server.address
        command = [str(OPENSSL), "s_client", "-tls1_3", "-connect", f"{host}:{port}"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            stuck = threading.Timer(20, client.kill)
            stuck.start()
            for line, answer in (
                (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200"),
                (b"K\n", b"KEYUPDATE"),  # a command of s_client, which has the server update its keys too
                (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200"),
            ):
                assert client.stdin is not None
                assert client.stdout is not None
                client.stdin.write(line)
                client.stdin.flush()
                while answer not in (read := client.stdout.readline()):
                    assert read, f"openssl ended before {answer!r}"
            stuck.cancel()
    assert len({environ["REMOTE_PORT"] for environ in recorder.environs}) == 1


def test_a_response_that_is_cut_off_never_looks_complete() -> None:
    def fail(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"x" * 50_000
        raise RuntimeError("no more")

    with running(fail, tls_certificate=server_file()) as server:
        context = client_context()
        with socket.create_connection(server.address, 20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
                with pytest.raises((ssl.SSLEOFError, ConnectionError)):
                    sock.makefile("rb").read()


# --- the command: start, reload, bad input


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_sighup_reads_the_certificate_again_and_cuts_nobody_off(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    shutil.copy(server_file(), path)
    (tmp_path / "hello.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n")
    command = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", f"--tls-certificate={path}", "hello:app"]
    with spawned(command, tmp_path) as process:
        address = process.wait_for_address()
        with Client(address) as before:
            assert before.get().body == b"hello"
            shown = ssl.get_server_certificate(address)
            shutil.copy(server_file("localhost", "127.0.0.1"), path)
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line("TLS certificates reloaded")
            assert before.get().body == b"hello"
            assert ssl.get_server_certificate(address) != shown
            path.unlink()
            process.signal(signal_number("SIGHUP"))
            process.wait_for_line("ERROR .*not reloaded.*No such file or directory")
            with Client(address) as after:
                assert after.get().body == b"hello"
        process.signal()
        assert process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP, and cannot fork")
def test_workers_have_the_new_certificate_after_sighup(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    shutil.copy(server_file(), path)
    (tmp_path / "hello.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n")
    command = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", f"--tls-certificate={path}"]
    with spawned([*command, "--workers=2", "--worker-kind=process", "hello:app"], tmp_path) as process:
        address = process.wait_for_address()
        shown = ssl.get_server_certificate(address)
        shutil.copy(server_file("localhost", "127.0.0.1", "::1"), path)
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line("TLS certificates reloaded")
        # The old workers may still take a client each while the new ones start.
        assert becomes_true(lambda: shown not in {ssl.get_server_certificate(address) for _ in range(8)})
        with Client(address) as client:
            assert client.get().body == b"hello"
        path.unlink()
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line("ERROR .*SIGHUP: --tls-certificate=.*No such file or directory; .* stay as they were$")
        with Client(address) as client:
            assert client.get().body == b"hello"
        process.signal()
        assert process.wait() == 0
    assert not [line for line in process.log if "Traceback" in line]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP, and cannot fork")
def test_a_supervisor_warns_of_a_certificate_once_at_the_start_and_once_at_a_reload(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    path = server_file(not_before=now - datetime.timedelta(days=90), not_after=now + datetime.timedelta(days=9.5))
    (tmp_path / "hello.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n")
    command = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:0", f"--tls-certificate={path}"]
    with spawned([*command, "--workers=2", "--worker-kind=process", "hello:app"], tmp_path) as process:
        process.wait_for_line("expires in 9 day")
        assert becomes_true(lambda: any("Serving on" in line for line in process.log))  # from then on it hears signals
        process.signal(signal_number("SIGHUP"))
        process.wait_for_line("Reloaded: 2 worker")
        process.signal()
        assert process.wait() == 0
    assert len([line for line in process.log if " expires in " in line]) == 2


def test_a_server_that_runs_warns_of_a_certificate_once_a_day(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_ticks(monkeypatch)
    now = datetime.datetime.now(datetime.timezone.utc)
    path = server_file(not_before=now - datetime.timedelta(days=90), not_after=now + datetime.timedelta(days=9.5))
    passed_seconds = 0.0
    with running(application, tls_certificate=path) as server:
        contexts = server.server.tls_contexts
        assert contexts is not None
        monkeypatch.setattr(contexts, "_wall_clock", lambda: now.timestamp() + passed_seconds)
        assert becomes_true(lambda: len(caplog.messages) == 1)
        passed_seconds = 80_000.0
        with server.client() as client:  # ticks pass, but no day
            assert client.get().status == 200
        passed_seconds = 87_000.0
        assert becomes_true(lambda: len(caplog.messages) > 1)
    assert [message.partition(" expires in ")[2][:8] for message in caplog.messages] == ["9 day(s)", "8 day(s)"]


def test_a_program_reloads_and_a_plain_server_has_nothing_to_reload(server: Running) -> None:
    server.server.reload_tls()
    with running(application) as plain, pytest.raises(RuntimeError, match="tls_certificate is not set"):
        plain.server.reload_tls()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tls-certificate=missing.pem"], "--tls-certificate={}: No such file or directory"),
        (
            ["--tls-certificate=missing.pem", "--unix-socket=x"],
            "--tls-certificate has no meaning without a listener that speaks TLS: ",
        ),
        (["--listen=https://127.0.0.1:0"], "'https://127.0.0.1:0' needs a certificate: set --tls-certificate"),
    ],
    ids=["missing", "no-listener", "no-certificate"],
)
def test_bad_input_is_one_line_and_status_1(options: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("app = print\n")
    command = [sys.executable, "-m", "waitress", *options, "hello:app"]
    if not any("listen" in option or "unix" in option for option in options):
        command.insert(3, "--listen=127.0.0.1:0")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert message.format(repr(str(tmp_path / "missing.pem"))) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_certificate_that_cannot_be_loaded_leaves_no_socket_open() -> None:
    from waitress_core import create_server

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    for _ in range(2):
        with pytest.raises(ValueError, match="No such file"):
            create_server(application, listen=f"127.0.0.1:{port}", tls_certificate="missing.pem")
    with running(application, listen=f"127.0.0.1:{port}") as server, server.client() as client:
        assert client.get().status == 200


def test_a_stress_of_reading_and_writing_at_once_breaks_no_session() -> None:
    """Clients that pipeline while they are answered: the reactor reads each session that a task writes to."""

    def echo(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "40000")])
        return (b"x" * 4000 for _ in range(10))

    failures: list[BaseException] = []
    with running(echo, threads=4, tls_certificate=server_file(), recv_bytes=100_000) as server:

        def converse() -> None:
            try:
                with server.client() as client:
                    for _ in range(30):
                        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
                        for _ in range(5):
                            assert client.response().body == b"x" * 40000
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=converse) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
