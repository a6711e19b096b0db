"""The command as a service: with one process, and with several, what it reports and writes while it lives."""

import re
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import APPLICATION, command
from tests.support.client import Client
from tests.support.platforms import signal_number
from tests.support.processes import becomes_true, text_of
from tests.support.servers import spawned
from tests.support.systemd import Systemd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such services")

LOG_CONFIG = """{
    "version": 1,
    "formatters": {"plain": {"format": "%s %%(process)d %%(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "INFO", "handlers": ["stderr"]}
}"""
FILES = ["--pid-file=it.pid", "--log-config=log.json", "--access-log=access.log", "--access-log-format={target}"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_reports_to_systemd_and_keeps_its_files_through_its_life(workers: int, tmp_path: Path) -> None:
    source = f"import logging\n{APPLICATION}\nlogging.getLogger('shop').info('imported')\n"
    (tmp_path / "service_shop.py").write_text(source, encoding="utf-8")
    config, access, moved = tmp_path / "log.json", tmp_path / "access.log", tmp_path / "access.log.1"
    pid = tmp_path / "it.pid"
    config.write_text(LOG_CONFIG % "first")
    systemd = Systemd(str(tmp_path / "notify"))
    words = [
        command(),
        "--listen=127.0.0.1:0",
        f"--workers={workers}",
        "--worker-kind=process",
        *FILES,
        "service_shop:application",
    ]
    environment = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000000"}

    def get(count: int, target: str) -> None:
        for _ in range(count):
            with Client(address) as client:
                assert client.get(target).status == 200

    with systemd.socket, spawned(words, tmp_path, environment) as server:
        address = server.wait_for_address()
        assert systemd.wait_for("READY=1")[0] == "READY=1"  # the watchdog may have been told before
        assert becomes_true(lambda: text_of(pid) == f"{server.process.pid}\n")
        get(10, "/one")
        assert becomes_true(lambda: text_of(access) == "/one\n" * 10)
        systemd.wait_for("WATCHDOG=1")
        access.rename(moved)
        server.signal(signal_number("SIGUSR1"))
        for _ in range(1 if workers == 1 else workers + 1):  # a process that has written nothing has nothing open
            server.wait_for_line(r"SIGUSR1: [01] log file\(s\) reopened")
        get(10, "/two")
        assert becomes_true(lambda: text_of(access) == "/two\n" * 10)
        config.write_text(LOG_CONFIG % "second")
        server.signal(signal_number("SIGHUP"))
        systemd.wait_for("RELOADING=1")
        systemd.wait_for("READY=1")
        if workers > 1:  # the fresh ones import the application again, and log that in the new way
            for _ in range(workers):
                server.wait_for_line(r"^second \d+ imported")
        get(10, "/three")
        server.signal()
        systemd.wait_for("STOPPING=1")
        assert server.wait() == 0
    assert moved.read_text() == "/one\n" * 10
    assert access.read_text() == "/two\n" * 10 + "/three\n" * 10
    assert not pid.exists()
    assert not [line for line in server.log if not re.match(r"(first|second) \d+ ", line)]
