"""Real proxies that name the client with the PROXY protocol, with the configurations of the page."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ecosystem.fronts import CLIENT, HOST, TCP, _make_certificate, program
from tests.ecosystem.programs.commands import CLIENT_SECONDS
from tests.ecosystem.programs.plain import application
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.processes import wait_until_accepted
from tests.support.servers import running, spawned

PAGE = "how-to/proxy-protocol.md"
PLAIN, OVER_TLS = blocks(PAGE, "text")
(STREAM,) = blocks(PAGE, "nginx")
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
SETTINGS: dict[str, Any] = {"trusted_proxy": "127.0.0.1", "proxy_protocol": "required", "request_id_header": True}

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="the fronts are started as on Debian")


def with_certificates(configuration: str, folder: Path) -> str:
    """Put the paths of the folder's certificates in the place of those of the page."""
    text = configuration.replace("/etc/haproxy/example.pem", f"{folder}/both.pem")
    return text.replace("/etc/ssl/clients.pem", f"{folder}/example.pem")


@contextmanager
def served_behind(command: list[str], configuration: str, folder: Path) -> Iterator[int]:
    """Serve the application behind a front; return the port of that."""
    port = free_port()
    with running(application, **SETTINGS) as server:
        address = "{}:{}".format(*server.address)
        ours = {TCP: address, "bind :443": f"bind 127.0.0.1:{port}", "listen 443": f"listen 127.0.0.1:{port}"}
        # At once: the number of a port may have another one in it.
        text = re.sub("|".join(map(re.escape, ours)), lambda match: ours[match[0]], configuration)
        text = text.replace("/etc/haproxy/example.pem", f"{folder}/both.pem")
        text = text.replace("/etc/ssl/clients.pem", f"{folder}/example.pem")
        (folder / "configuration").write_text(text)
        with spawned([*command, str(folder / "configuration")], folder) as process:
            wait_until_accepted(process, ("127.0.0.1", port))
            yield port
            process.signal()
            process.wait()


def environs(url: str, verify: ssl.SSLContext | bool = False) -> list[tuple[dict[str, str], str]]:
    """Ask twice on one connection; return the environs, and the ids of the responses."""
    transport = httpx.HTTPTransport(verify=verify, local_address=CLIENT)
    with httpx.Client(transport=transport, trust_env=False, timeout=CLIENT_SECONDS) as client:
        responses = [client.get(f"{url}/environ", headers={"Host": HOST}) for _ in range(2)]
    return [(json.loads(response.text), response.headers["X-Request-ID"]) for response in responses]


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_haproxy_says_who_the_client_is(version: str, tmp_path: Path) -> None:
    command = [program("haproxy", "haproxy"), "-db", "-f"]
    with served_behind(command, PLAIN.replace("send-proxy-v2", version), tmp_path) as port:
        (first, _), (second, _) = environs(f"http://127.0.0.1:{port}")
    assert first["REMOTE_ADDR"] == second["REMOTE_ADDR"] == CLIENT
    assert first["REMOTE_PORT"] == second["REMOTE_PORT"] != ""
    assert first["SERVER_PORT"] == str(port)
    assert "HTTPS" not in first


def test_haproxy_says_what_it_knows_of_the_clients_tls(tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "example.pem"))
    context.load_cert_chain(tmp_path / "example.pem", tmp_path / "example.key")
    command = [program("haproxy", "haproxy"), "-db", "-f"]
    with served_behind(command, OVER_TLS, tmp_path) as port:
        # Several: without the line with `set-var`, HAProxy 3.2.26 breaks every second header or so.
        connections = [environs(f"https://127.0.0.1:{port}", context) for _ in range(8)]
    for (first, first_id), (_, second_id) in connections:
        assert first["REMOTE_ADDR"] == CLIENT
        assert (first["HTTPS"], first["wsgi.url_scheme"]) == ("on", "https")
        assert first["SSL_PROTOCOL"] == "TLSv1.3"
        assert first["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert first["SSL_CLIENT_S_DN_CN"] == HOST
        assert first["waitress.request_id"] == first_id
        assert second_id == f"{first_id}/2"


def test_nginx_says_who_the_client_is(tmp_path: Path) -> None:
    executable = program("nginx", "nginx")
    if not STREAM_MODULE.exists():
        pytest.skip("this host lacks nginx's stream module (on Debian: apt-get install libnginx-mod-stream)")
    head = f"load_module {STREAM_MODULE}; daemon off; master_process off; pid pid; error_log stderr; events {{}}"
    whole = f"{head}\n{STREAM}"
    with served_behind([executable, "-p", f"{tmp_path}/", "-e", "stderr", "-c"], whole, tmp_path) as port:
        (first, _), (second, _) = environs(f"http://127.0.0.1:{port}")
    assert first["REMOTE_ADDR"] == second["REMOTE_ADDR"] == CLIENT
    assert first["SERVER_PORT"] == str(port)


def test_the_configurations_are_valid(tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    for text in (PLAIN, OVER_TLS):
        file = tmp_path / "configuration"
        file.write_text(with_certificates(text, tmp_path))
        checked = subprocess.run([program("haproxy", "haproxy"), "-c", "-f", file], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert "warning" not in checked.stderr.lower()
