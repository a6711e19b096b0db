"""Faults of the file system under bodies and output on their way: a clear answer or record, and nothing left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import get, post
from tests.functional.faulty import Served, needs_faults, serving
from tests.support.faults import Faults
from tests.support.processes import (
    Program,
    becomes_true,
    comes_to_rest,
    open_descriptors,
    resident_bytes,
    serving_program,
)
from waitress_buffers import positioned

pytestmark = needs_faults

MIB = 1 << 20


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
    """Half of the calls on the socket find it full, so that output waits, and much of it in a file."""
    with serving(tmp_path, monkeypatch, caplog) as it:
        it.faulty.faults.arm("send", "sendfile", errors=(errno.EAGAIN,), first=1, step=2)
        yield it


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Have the calls on temporary files fail when the test says so."""
    faults = Faults()

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def may_fail(*arguments: Any, **options: Any) -> Any:
            faults.before(name)
            return call(*arguments, **options)

        return may_fail

    monkeypatch.setattr(tempfile, "TemporaryFile", failing("open", tempfile.TemporaryFile))
    for name in ("read_at", "read_into_at", "write_at"):
        monkeypatch.setattr(positioned, name, failing(name, getattr(positioned, name)))
    return faults


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("open", errno.EMFILE),
        ("open", errno.ENOSPC),
        ("open", errno.EACCES),
        ("write_at", errno.ENOSPC),
        ("write_at", errno.EIO),
        ("read_at", errno.EIO),
        ("read_into_at", errno.EIO),
    ],
    ids=lambda value: errno.errorcode.get(value, value),
)
def test_a_fault_at_any_call_on_a_temporary_file_costs_one_client(
    call: str, error: int, served: Served, files: Faults
) -> None:
    served.told = (
        "The request body for / cannot be stored: ",
        "Output cannot be stored, and waits in memory for its client: ",
        "Exception while serving /",
        "The response to 127.0.0.1 cannot be finished: ",
    )
    served.ask_while_each_fails(files, call, error, refusals=(413, 500))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs Linux and root, who may mount a tmpfs")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs, which containers may lack")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


APPLICATION = """
import os
import tempfile

tempfile.tempdir = os.path.abspath("disk")
fault = None

def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [])
    if path == "/pieces":
        return (b"x" * 100_000 for _ in range(100))
    if path == "/list":
        return [b"x" * 10_000_000]
    return [b"%d" % len(environ["wsgi.input"].read())]
"""


def is_empty(disk: Path) -> bool:
    """Whether all of the room is free again: temporary files have no name, but take room while they are open."""
    if sys.platform == "win32":
        raise NotImplementedError("needs os.statvfs")
    status = os.statvfs(disk)
    return status.f_bfree == status.f_blocks


@pytest.fixture
def program(tmp_path: Path, disk: Path) -> Iterator[Program]:
    """Serve, with temporary files on the small disk; nothing may be left there or open afterwards."""
    with serving_program(APPLICATION, tmp_path, inbuf_overflow=10_000, outbuf_overflow=10_000) as program:
        with program.client() as client:
            assert client.get().body == b"0"
            before = open_descriptors(program.id)
            yield program
            assert client.get().body == b"0"
            assert becomes_true(lambda: open_descriptors(program.id) <= before)
            assert is_empty(disk)
        program.process.signal()
        assert program.process.wait() == 0
        assert "uncaptured" not in "\n".join(program.process.log)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_the_disk_has_no_room_for_is_refused_and_the_next_is_taken(framing: str, program: Program) -> None:
    def upload(size: int) -> int:
        fields, body = [f"Content-Length: {size}"], bytes(size)
        if framing == "chunked":
            fields, body = ["Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        with program.client() as client:
            try:
                client.send(post(*fields, body=body))
            except ConnectionError:
                pass  # it sends on while it has been answered
            return client.response().status

    assert upload(MIB // 2) == 200
    assert upload(3 * MIB) == 413
    program.process.wait_for_line("The request body for / cannot be stored: .*no room")
    assert upload(MIB // 2) == 200


def test_a_disk_filled_by_bodies_on_their_way_is_free_when_they_have_left(program: Program, disk: Path) -> None:
    clients = [program.client() for _ in range(4)]
    for client in clients:
        client.send(post(f"Content-Length: {MIB}", body=bytes(MIB // 2)))
    program.process.wait_for_line("The request body for / cannot be stored: ")
    for client in clients:
        client.reset()
    assert becomes_true(lambda: is_empty(disk))


@pytest.mark.parametrize("path", ["/pieces", "/list"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_output_that_the_disk_has_no_room_for_waits_in_memory(path: str, version: str, program: Program) -> None:
    with program.client() as client:
        client.send(get(target=path, version=version))
        program.process.wait_for_line("WARNING:waitress:Output cannot be stored, and waits in memory .*no room")
        assert client.response().body == b"x" * 10_000_000
    assert not [line for line in program.process.log if "ERROR" in line]


WITHOUT_FOLDER = """
import tempfile

tempfile.tempdir = "missing"

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/list":
        return [b"x" * 30_000_000]
    return (b"x" * 1_000_000 for _ in range(30))
"""


@pytest.mark.parametrize("path", ["/pieces", "/list"])
def test_without_a_temporary_folder_a_client_that_is_busy_for_a_while_gets_all(path: str, tmp_path: Path) -> None:
    with serving_program(WITHOUT_FOLDER, tmp_path) as program, program.client() as client:
        client.send(get(target=path))
        program.process.wait_for_line("WARNING:waitress:Output cannot be stored, and waits in memory for its client: ")
        before = resident_bytes(program.id)
        assert comes_to_rest(program.id)
        assert resident_bytes(program.id) - before < 10 * MIB
        assert client.response().body == b"x" * 30_000_000
