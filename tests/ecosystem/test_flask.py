"""A Flask application, made by a factory, served by `waitress-serve --call`."""

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import (
    IPV4,
    IPV6,
    LARGE_BYTES,
    LargeFile,
    flat_memory,
    httpx_client,
    json_of,
    large_file,
    needs_memory_peaks,
    needs_unix_sockets,
    requests_session,
    served,
    short_path,
    url_of,
    write_bytes,
)

# One worker runs them all: the server is started, and the large file made, once.
pytestmark = pytest.mark.xdist_group("programs-flask")

FACTORY = "flask_app:create_app"
PIECE = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flask")


@pytest.fixture(scope="module")
def large(folder: Path) -> Iterator[LargeFile]:
    with large_file(folder) as file:
        yield file


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    (folder / "to-send").write_bytes(bytes(range(256)) * 4000)
    arguments = ("--listen=127.0.0.1:0", "--call", FACTORY)
    with served("waitress-serve", *arguments, env={"FILE_TO_SEND": str(folder / "to-send")}) as server:
        yield url_of(server)


# --- addresses


@pytest.mark.promise("S15", "S18")
@pytest.mark.parametrize("listen", [IPV4, IPV6])
def test_the_application_answers_on_a_tcp_address(listen: str) -> None:
    with served("waitress-serve", f"--listen={listen}", "--call", FACTORY) as server, requests_session() as session:
        url = url_of(server)
        assert session.get(f"{url}/", params={"name": "Zoë"}).text == "Hello, Zoë!"
        where = json_of(session.get(f"{url}/where"))
        assert where["hello"] == f"{url}/"
        assert f"http://{where['remote_addr']}".replace("::1", "[::1]") == url.rpartition(":")[0]


@needs_unix_sockets
@pytest.mark.promise("S09")
def test_the_application_answers_on_a_unix_socket_that_is_gone_afterwards() -> None:
    with short_path() as path:
        with served("waitress-serve", f"--unix-socket={path}", "--call", FACTORY) as server:
            server.wait_for_line("Serving on")
            with httpx_client("http://localhost", uds=path) as client:
                assert client.get("/", params={"name": "you"}).text == "Hello, you!"
                where = json_of(client.get("/where"))
                assert (where["hello"], where["remote_addr"]) == ("http://localhost/", "localhost")
        assert not path.exists()


def test_one_server_answers_on_every_address_it_listens_on() -> None:
    arguments = ("--listen=127.0.0.1:0", "--listen=127.0.0.1:0", "--call", FACTORY)
    with served("waitress-serve", *arguments) as server, requests_session() as session:
        urls = {url_of(server), url_of(server)}
        assert len(urls) == 2
        for url in urls:
            assert json_of(session.get(f"{url}/where"))["hello"] == f"{url}/"


def test_external_urls_are_those_of_the_proxy_and_its_prefix() -> None:
    arguments = (
        "--listen=127.0.0.1:0",
        "--url-prefix=/shop",
        "--trusted-proxy=127.0.0.1",
        "--trusted-proxy-headers=x-forwarded-for x-forwarded-proto x-forwarded-host",
        "--call",
        FACTORY,
    )
    forwarded = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "example.org",
    }
    with served("waitress-serve", *arguments) as server, requests_session() as session:
        where = json_of(session.get(f"{url_of(server)}/shop/where", headers=forwarded))
    assert where["hello"] == "https://example.org/shop/"
    assert where["remote_addr"] == "192.0.2.7"
    assert where["is_secure"]


# --- conversations


def test_a_session_lives_over_one_kept_alive_connection(url: str) -> None:
    with requests_session() as session:
        told = [json_of(session.get(f"{url}/visits")) for _ in range(5)]
    assert [answer["visits"] for answer in told] == [1, 2, 3, 4, 5]
    assert len({answer["remote_port"] for answer in told}) == 1


def test_json_goes_both_ways(url: str) -> None:
    value = {"name": "Zoë", "numbers": list(range(1000)), "nothing": None}
    with httpx_client(url) as client:
        assert json_of(client.post("/json", json=value)) == {"got": value}


def test_a_redirect_is_followed_on_the_same_host(url: str) -> None:
    with requests_session() as session:
        answer = session.get(f"{url}/old")
    assert answer.text == "Hello, you!"
    assert [step.status_code for step in answer.history] == [302]


def test_head_has_the_fields_of_get_and_no_content(url: str) -> None:
    with httpx_client(url) as client:
        got, head = client.get("/"), client.head("/")
    assert head.content == b""
    assert [field for field in head.headers.items() if field[0] != "date"] == [
        field for field in got.headers.items() if field[0] != "date"
    ]


def test_a_piece_arrives_before_the_next_one_is_made_and_the_connection_is_kept(url: str) -> None:
    with requests_session() as session, requests_session() as other:
        port = json_of(session.get(f"{url}/visits"))["remote_port"]
        with session.get(f"{url}/stream", stream=True, timeout=20) as answer:
            pieces = answer.iter_content(chunk_size=None)
            assert next(pieces) == b"first\n"
            assert other.post(f"{url}/release").status_code == 204
            assert b"".join(pieces) == b"second\n"
        assert json_of(session.get(f"{url}/visits")) == {"visits": 2, "remote_port": port}


# --- uploads


def test_a_form_with_files_arrives_as_requests_sends_it(url: str) -> None:
    files = [
        ("first", ("naïve.txt", b"text\r\n--with lines", "text/plain")),
        ("second", ("empty", b"", "application/x-empty")),
    ]
    with requests_session() as session:
        told = json_of(session.post(f"{url}/form", data={"a": ["1", "2"], "ü": "x"}, files=files))
    assert told["fields"] == {"a": ["1", "2"], "ü": ["x"]}
    assert {name: file[:3] for name, file in told["files"].items()} == {
        "first": ["naïve.txt", "text/plain", 18],
        "second": ["empty", "application/x-empty", 0],
    }


def test_a_form_with_a_file_arrives_as_httpx_sends_it(url: str, tmp_path: Path) -> None:
    digest = write_bytes(tmp_path / "file", 3_000_001)
    with httpx_client(url) as client, (tmp_path / "file").open("rb") as file:
        told = json_of(client.post("/form", data={"a": "1"}, files={"it": ("it.bin", file, "image/png")}))
    assert told == {"fields": {"a": ["1"]}, "files": {"it": ["it.bin", "image/png", 3_000_001, digest]}}


@needs_memory_peaks
def test_100_mb_of_a_form_arrive_while_the_memory_stays_flat(large: LargeFile) -> None:
    with served("waitress-serve", "--listen=127.0.0.1:0", "--call", FACTORY) as server:
        with httpx_client(url_of(server)) as client, large.path.open("rb") as file:
            client.post("/form", files={"it": ("small", io.BytesIO(bytes(2 * PIECE)))}).raise_for_status()
            with flat_memory(server):
                told = json_of(client.post("/form", files={"it": ("large", file)}))
    assert told["files"]["it"] == ["large", "application/octet-stream", LARGE_BYTES, large.digest]


@needs_memory_peaks
def test_100_mb_in_chunks_arrive_while_the_memory_stays_flat(large: LargeFile) -> None:
    def pieces() -> Iterator[bytes]:
        with large.path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    with served("waitress-serve", "--listen=127.0.0.1:0", "--call", FACTORY) as server:
        url = url_of(server)
        with requests_session() as session:
            session.put(f"{url}/upload", data=iter([bytes(PIECE), bytes(PIECE)])).raise_for_status()
            with flat_memory(server):
                told = json_of(session.put(f"{url}/upload", data=pieces()))
    assert told == {"size": LARGE_BYTES, "sha256": large.digest, "content_length": LARGE_BYTES}


def test_uploads_of_several_clients_at_once_do_not_mix(url: str) -> None:
    count = 6
    together = threading.Barrier(count)
    told: dict[int, object] = {}

    def upload(number: int) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"begun "
            together.wait(30)  # every request has started before any of them ends
            for _ in range(20):
                yield bytes([number]) * 50_000

        with requests_session() as session:
            told[number] = json_of(session.put(f"{url}/upload", data=pieces(), timeout=60))

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert told == {
        number: {
            "size": 1_000_006,
            "sha256": hashlib.sha256(b"begun " + bytes([number]) * 1_000_000).hexdigest(),
            "content_length": 1_000_006,
        }
        for number in range(count)
    }


# --- files


def test_a_file_comes_whole_in_ranges_and_not_again_unmodified(url: str, folder: Path) -> None:
    content = (folder / "to-send").read_bytes()
    with httpx_client(url) as client:
        whole = client.get("/file")
        assert whole.content == content
        assert whole.headers["Content-Length"] == str(len(content))

        part = client.get("/file", headers={"Range": "bytes=300-70000"})
        assert (part.status_code, part.content) == (206, content[300:70001])
        assert part.headers["Content-Range"] == f"bytes 300-70000/{len(content)}"

        last = client.get("/file", headers={"Range": "bytes=-5"})
        assert (last.status_code, last.content) == (206, content[-5:])

        beyond = client.get("/file", headers={"Range": f"bytes={len(content)}-"})
        assert beyond.status_code == 416

        same = client.get("/file", headers={"If-None-Match": whole.headers["ETag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert client.get("/").text == "Hello, world!"


def test_a_file_in_memory_comes_whole(url: str) -> None:
    with requests_session() as session:
        answer = session.get(f"{url}/memory-file")
    assert answer.content == b"0123456789" * 1000
