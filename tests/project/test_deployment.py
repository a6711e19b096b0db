"""What the pages on systemd, Docker and Kubernetes show is what those read, and it runs."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project.repository import ROOT
from tests.support.certificates import server_file
from tests.support.client import Client
from tests.support.servers import spawned
from waitress_cli.options import CommandLine, parse
from waitress_core import Adjustments
from waitress_core.lifecycle.run import STALLED_TICKS
from waitress_core.reactor.reactor import TICK_SECONDS

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="what the pages are about is not on Windows")

BIN = Path(sys.executable).parent
SHOP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} by {environ['wsgi.url_scheme']}".encode()]
"""


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """Return the blocks of a page in a language, each with the last name of a file in quotes before it."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    found = []
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        names = re.findall(r"`(?:/[\w/.-]+/)?([\w@-]+(?:\.\w+)?)`", text[: block.start()])
        found.append((names[-1], block[1]))
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with the application. Its path is short: that of a unix socket may have about a hundred characters."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "shop.py").write_text(SHOP, encoding="utf-8")
        yield Path(name)


# --- systemd

UNITS = blocks("systemd.md", "ini")
SERVICES = [text for name, text in UNITS if name.endswith(".service")]


def setting(unit: str, name: str) -> str:
    """Return the value of one line of a unit, which may go on over several lines of text."""
    (value,) = re.findall(rf"^{name}=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    return str(value).replace("\\\n", " ")


def test_the_page_has_the_units_that_it_describes() -> None:
    assert [name for name, _ in UNITS] == ["shop.service", "shop@.service", "shop.socket", "shop.service"]


def systemd_version() -> int:
    """Return the version of systemd, 0 where it is not installed."""
    if shutil.which("systemd-analyze") is None:
        return 0
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout
    return int(said.split()[1])


SYSTEMD_VERSION = systemd_version()


@pytest.mark.skipif(SYSTEMD_VERSION == 0, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("units", [UNITS[:1], UNITS[1:2], UNITS[2:]], ids=["one", "several", "socket"])
def test_systemd_finds_nothing_wrong_with_a_unit(units: list[tuple[str, str]], folder: Path) -> None:
    for name, text in units:
        if SYSTEMD_VERSION < 253:  # what the page says to write there
            text = text.replace("Type=notify-reload", "Type=notify\nExecReload=kill -HUP $MAINPID")
        (folder / name.replace("@.", "@8081.")).write_text(text.replace("/srv/shop/.venv/bin", str(BIN)))
    paths = sorted(path for path in folder.iterdir() if path.suffix != ".py")
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("service", SERVICES, ids=["one", "several", "socket"])
def test_systemd_waits_longer_than_the_server_drains(service: str) -> None:
    assert int(setting(service, "TimeoutStopSec")) > Adjustments.shutdown_timeout


def test_the_command_of_the_service_serves_on_its_socket_until_it_is_stopped(folder: Path) -> None:
    service = SERVICES[0]
    command = setting(service, "ExecStart").replace("/srv/shop/.venv/bin", str(BIN))
    runtime_directory = f"/run/{setting(service, 'RuntimeDirectory')}"
    path = folder / "app.sock"
    assert f"={runtime_directory}/app.sock" in command
    with spawned(shlex.split(command.replace(runtime_directory, str(folder))), folder) as server:
        server.wait_for_line(re.escape(f"Serving on http://unix:{path}"))
        with Client(os.fspath(path)) as client:
            answer = client.get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https")
        assert answer.body == b"192.0.2.1 by https"
        assert path.stat().st_mode & 0o777 == 0o660
        server.signal()
        assert server.wait() == 0
    assert not path.exists()


def test_the_command_of_the_template_serves_on_the_port_of_its_name(folder: Path) -> None:
    command = setting(SERVICES[1], "ExecStart").replace("/srv/shop/.venv/bin", str(BIN)).replace("%i", "0")
    with spawned(shlex.split(command), folder) as server, Client(server.wait_for_address()) as client:
        assert client.get().body == b"127.0.0.1 by http"


@pytest.mark.parametrize("service", SERVICES, ids=["one", "several", "socket"])
def test_systemd_is_told_more_often_than_it_expects(service: str) -> None:
    assert setting(service, "Type") == "notify-reload"
    assert int(setting(service, "WatchdogSec")) / 2 > STALLED_TICKS * TICK_SECONDS


# What systemd does before it runs a service: the socket is descriptor 3.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_clients_that_connect_during_a_restart_are_answered(folder: Path) -> None:
    own = setting(SERVICES[2], "ExecStart").replace("/srv/shop/.venv/bin", str(BIN))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        command = [sys.executable, "-c", ACTIVATE, str(number), *shlex.split(own)]
        with spawned(command, folder, None, [number]) as first, Client(listening.getsockname()) as client:
            assert client.get().status == 200
            first.signal()
            assert first.wait() == 0
        with Client(listening.getsockname()) as waiting:
            with spawned(command, folder, None, [number]):
                assert waiting.get().status == 200


def test_the_drop_in_serves_https_with_a_worker_for_each_processor(folder: Path) -> None:
    ((name, drop_in),) = blocks("serve-https.md", "ini")
    assert name == "https.conf"
    reset, command = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", drop_in, re.MULTILINE)
    assert reset == ""  # without it systemd would have two commands
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == shlex.split(setting(SERVICES[0], "ExecStart"))[0]
    words = [word.replace("*:443", "127.0.0.1:0").replace("workers=auto", "workers=2") for word in words[1:]]
    given = {"/srv/shop/tls/fullchain.pem": server_file(), "/srv/shop/tls/privkey.pem": server_file()}
    for path, ours in given.items():
        words = [word.replace(path, os.fspath(ours)) for word in words]
    with spawned([str(BIN / "waitress-serve"), *words], folder) as server, Client(server.wait_for_address()) as client:
        assert client.get().body == b"127.0.0.1 by https"


# --- Docker and Kubernetes

PAGE = "docker-kubernetes.md"
((_, DOCKERFILE),) = blocks(PAGE, "dockerfile")
COMPOSE, DEPLOYMENT, WITH_HOOK = (yaml.safe_load(text) for _, text in blocks(PAGE, "yaml"))
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def settings_of(command: list[str]) -> tuple[CommandLine, Adjustments]:
    """Read a command line as the command does."""
    assert command[0] == "waitress-serve"
    line = parse(command[1:])
    assert line.applications == ["shop:application"]
    return line, Adjustments(**line.settings)


def test_the_command_of_the_image_serves_the_application_of_the_page(folder: Path) -> None:
    (shop,) = [text for name, text in blocks(PAGE, "python") if name == "shop.py"]
    (folder / "shop.py").write_text(shop, encoding="utf-8")
    name, *arguments = json.loads(setting_of_image("CMD"))
    command = [str(BIN / name), *(argument.replace("0.0.0.0:8080", "127.0.0.1:0") for argument in arguments)]
    probe = CONTAINER["readinessProbe"]["httpGet"]
    with spawned(command, folder) as server:
        with Client(server.wait_for_address()) as client:
            assert client.get().body == b"Hello from the shop\n"
            assert client.get(probe["path"]).body == b"ok\n"
        server.signal()
        assert server.wait() == 0


def setting_of_image(instruction: str) -> str:
    (value,) = re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)
    return str(value)


def test_the_ports_agree() -> None:
    line, _ = settings_of(CONTAINER["args"])
    port = int(line.settings["listen"].rpartition(":")[2])
    ports = [
        int(setting_of_image("EXPOSE")),
        int(COMPOSE["services"]["shop"]["ports"][0].rpartition(":")[2]),
        CONTAINER["ports"][0]["containerPort"],
        CONTAINER["readinessProbe"]["httpGet"]["port"],
        CONTAINER["livenessProbe"]["tcpSocket"]["port"],
    ]
    assert ports == [port] * 5


def test_nothing_kills_the_server_before_it_has_drained() -> None:
    _, adj = settings_of(CONTAINER["args"])
    text = (ROOT / "docs" / "how-to" / PAGE).read_text(encoding="utf-8")
    hook = WITH_HOOK["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    drained = adj.shutdown_timeout
    assert drained == Adjustments.shutdown_timeout
    assert 0 < adj.shutdown_delay < drained
    assert POD["terminationGracePeriodSeconds"] > drained
    assert WITH_HOOK["terminationGracePeriodSeconds"] > drained + int(hook[1])
    assert int(COMPOSE["services"]["shop"]["stop_grace_period"].removesuffix("s")) > drained
    (stop_timeout,) = re.findall(r"--stop-timeout (\d+)", text)
    assert int(stop_timeout) > drained
    seconds = [int(second) for second in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert seconds == [0, adj.shutdown_delay, drained, POD["terminationGracePeriodSeconds"]]


def test_a_read_only_container_has_a_folder_for_temporary_files() -> None:
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    volumes = {volume["name"] for volume in POD["volumes"]}
    assert [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] in volumes] == ["/tmp"]
    shop = COMPOSE["services"]["shop"]
    assert (shop["read_only"], shop["tmpfs"]) == (True, ["/tmp"])
