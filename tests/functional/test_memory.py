"""What large and many responses cost the server's process: memory, temporary files; and files beyond 2 GiB."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import get
from tests.support.client import Client
from tests.support.platforms import HAS_GIL
from tests.support.processes import becomes_true
from tests.support.servers import spawned_script

MIB = 1 << 20
GIB = 1 << 30

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="/proc/self/status is missing: memory is not measured"
)

SERVER = """
import json, logging, os
from waitress_core import create_server

def status():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink("/proc/self/fd/" + name))
        except OSError:
            pass
    return {
        "rss": int(fields["VmRSS"].split()[0]) * 1024,
        "peak": int(fields["VmHWM"].split()[0]) * 1024,
        "temporary_files": [link for link in links if link.endswith("(deleted)")],
    }

def application(environ, start_response):
    path, number = environ["PATH_INFO"], int(environ["QUERY_STRING"] or 0)
    if path == "/status":
        start_response("200 OK", [])
        return [json.dumps(status()).encode()]
    if path == "/file":
        file = open(os.environ["LARGE_FILE"], "rb")
        file.seek(number)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)
    if path == "/generated":
        start_response("200 OK", [("Content-Length", str(number))])
        return (b"x" * 65536 for _ in range(number // 65536))
    if path == "/chunked":
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(number // 65536))
    if path == "/one":
        start_response("200 OK", [])
        return [b"x" * number]  # not zeros, which may take no memory

logging.basicConfig(level=logging.INFO)
server = create_server(application, listen="127.0.0.1:0")
logging.info("Serving on %s", server.url)
server.run()
"""


def status(address: tuple[str, int]) -> Any:
    with Client(address) as client:
        return json.loads(client.get("/status").body)


def receive(client: Client, size: int) -> None:
    """Take so many bytes, and keep none."""
    buffer = memoryview(bytearray(4 * MIB))
    while size:
        count = client.socket.recv_into(buffer[: min(size, len(buffer))])
        assert count, f"the connection ended with {size} bytes still to come"
        size -= count


def receive_head(client: Client) -> bytes:
    """Take the response's head, and nothing of its body."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = client.socket.recv(1)
        assert byte, bytes(head)
        head += byte
    return bytes(head)


@pytest.fixture
def large_file(tmp_path: Path) -> Iterator[Path]:
    """3 GiB that take no room, with marks at their ends and around 2 GiB."""
    in_memory = Path("/dev/shm")  # where there is one: reading holes fills no cache there, and is several times faster
    with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else tmp_path) as folder:
        path = Path(folder) / "large"
        with path.open("wb") as file:
            file.write(b"first bytes.")
            file.seek(2 * GIB - 5)
            file.write(b"2 GiB here")
            file.seek(3 * GIB - 11)
            file.write(b"last bytes.")
        if sys.platform != "win32" and path.stat().st_blocks * 512 > GIB:
            pytest.skip(f"{folder} has no sparse files")
        yield path


@pytest.mark.promise("S34")
def test_a_large_file_is_sent_without_copies(large_file: Path, tmp_path: Path) -> None:
    size = 200 * MIB
    with spawned_script(SERVER, tmp_path, {"LARGE_FILE": str(large_file)}) as server:
        address = server.wait_for_address()
        before = status(address)
        with Client(address) as client:
            client.send(get(target=f"/file?{3 * GIB - size}"))
            assert f"Content-Length: {size}\r\n".encode() in receive_head(client)
            receive(client, size // 2)
            midway = status(address)
            receive(client, size // 2 - 11)
            assert client.socket.recv(20) == b"last bytes."
        after = status(address)
    assert midway["temporary_files"] == before["temporary_files"]
    assert after["temporary_files"] == before["temporary_files"]
    assert after["peak"] - before["peak"] < 32 * MIB


@pytest.mark.promise("S34")
def test_output_that_is_no_file_waits_in_a_temporary_file_for_a_slow_client(tmp_path: Path) -> None:
    """What the test above looks for can be seen: 14 MB are beyond `outbuf_overflow`, and within the watermark."""
    size = 14 * MIB
    with spawned_script(SERVER, tmp_path) as server:
        address = server.wait_for_address()
        before = status(address)
        with Client(address) as client:
            client.send(get(target=f"/generated?{size}"))
            receive_head(client)
            assert becomes_true(lambda: len(status(address)["temporary_files"]) > len(before["temporary_files"]))
            receive(client, size)
            assert becomes_true(lambda: len(status(address)["temporary_files"]) == len(before["temporary_files"]))


@pytest.mark.promise("S36")
def test_a_file_beyond_2_gib_is_sent_to_its_last_byte(large_file: Path, tmp_path: Path) -> None:
    with spawned_script(SERVER, tmp_path, {"LARGE_FILE": str(large_file)}) as server:
        address = server.wait_for_address()
        before = status(address)
        with Client(address) as client:
            client.send(get(target="/file"))
            assert f"Content-Length: {3 * GIB}\r\n".encode() in receive_head(client)
            assert read_exactly(client, 13) == b"first bytes.\x00"
            receive(client, 2 * GIB - 13 - 6)
            assert read_exactly(client, 12) == b"\x002 GiB here\x00"
            receive(client, GIB - 6 - 12)
            assert read_exactly(client, 12) == b"\x00last bytes."
            # Nothing more came, nor anything less: the next response is where it should be.
            client.send(get(target="/file?" + str(3 * GIB - 4)))
            assert client.response().body == b"tes."
        after = status(address)
    assert after["peak"] - before["peak"] < 32 * MIB
    assert after["temporary_files"] == before["temporary_files"]


@pytest.mark.promise("S36")
def test_a_position_beyond_2_gib_is_kept(large_file: Path, tmp_path: Path) -> None:
    with spawned_script(SERVER, tmp_path, {"LARGE_FILE": str(large_file)}) as server:
        address = server.wait_for_address()
        with Client(address) as client:
            for position in (0, 2 * GIB - 1, 2 * GIB, 2 * GIB + 1):
                client.send(b"HEAD" + get(target=f"/file?{position}")[3:])
                assert client.response("HEAD").header("Content-Length") == str(3 * GIB - position)
            response = client.get(f"/file?{3 * GIB - 11}")
    assert response.header("Content-Length") == "11"
    assert response.body == b"last bytes."


@pytest.mark.promise("S36")
def test_generated_output_beyond_2_gib_is_sent_to_its_end(tmp_path: Path) -> None:
    """The count of what is still to come passes 2 GiB."""
    size = 2 * GIB + MIB
    with spawned_script(SERVER, tmp_path) as server:
        address = server.wait_for_address()
        with Client(address) as client:
            client.send(get(target=f"/generated?{size}"))
            assert f"Content-Length: {size}\r\n".encode() in receive_head(client)
            receive(client, size)
            assert client.get("/one?5").body == b"xxxxx"


@pytest.mark.promise("S38")
@pytest.mark.parametrize("path", ["/one", "/generated", "/chunked"])
def test_a_thousand_large_responses_on_one_connection_do_not_grow_the_server(path: str, tmp_path: Path) -> None:
    with spawned_script(SERVER, tmp_path) as server:
        address = server.wait_for_address()
        with Client(address) as client:
            for number in range(1000):
                assert len(client.get(f"{path}?{MIB}").body) == MIB
                if number == 100:
                    early = status(address)

            def has_not_grown() -> bool:
                assert len(client.get(f"{path}?{MIB}").body) == MIB
                return bool(status(address)["rss"] - early["rss"] < 32 * MIB)

            # Without the GIL the memory of a large object is used again only when every attached thread has been where
            # it keeps none (CPython's QSBR). One that waits for a processor holds back up to 80 MB for a moment.
            assert has_not_grown() or (not HAS_GIL and becomes_true(has_not_grown))
            assert status(address)["temporary_files"] == early["temporary_files"]


@pytest.mark.promise("S38")
def test_what_a_slow_client_left_waiting_is_given_back(tmp_path: Path) -> None:
    """Pipelined large responses that each waited for the client leave neither memory nor a temporary file."""
    with spawned_script(SERVER, tmp_path) as server:
        address = server.wait_for_address()
        before = status(address)
        with Client(address) as client:
            for _ in range(5):
                client.send(get(target=f"/generated?{12 * MIB}") * 3)
                assert status(address)
                for _ in range(3):
                    receive_head(client)
                    receive(client, 12 * MIB)
            assert client.get("/one?5").body == b"xxxxx"
            after = status(address)
    assert after["temporary_files"] == before["temporary_files"]
    assert after["rss"] - before["rss"] < 64 * MIB


def read_exactly(client: Client, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.socket.recv(size - len(data))
        assert more, data
        data += more
    return data
