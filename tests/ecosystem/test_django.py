"""A Django project: sessions, a streaming response, a file, and a multipart upload of 100 MB."""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import (
    LARGE_BYTES,
    LargeFile,
    curl,
    flat_memory,
    httpx_client,
    json_of,
    large_file,
    needs_curl,
    needs_memory_peaks,
    requests_session,
    served,
    url_of,
    write_bytes,
)
from tests.support.servers import Spawned

# One worker runs them all: the server is started, and the large file made, once.
pytestmark = pytest.mark.xdist_group("programs-django")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("django")
    write_bytes(folder / "download", 5_000_000)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeFile]:
    with large_file(tmp_path_factory.mktemp("upload")) as file:
        yield file


@contextlib.contextmanager
def project(folder: Path) -> Iterator[Spawned]:
    arguments = ("--listen=127.0.0.1:0", "django_project.wsgi:application")
    with served("waitress-serve", *arguments, env={"DATA_FOLDER": str(folder)}) as server:
        yield server
    left = [path.name for path in folder.iterdir() if ".upload" in path.name]
    assert not left, f"temporary files of uploads are left: {left}"


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with project(folder) as server:
        yield url_of(server)


def test_sessions_of_two_clients_live_over_their_kept_alive_connections(url: str) -> None:
    with requests_session() as one, httpx_client(url) as two:
        told = []
        for _ in range(4):
            first, second = json_of(one.get(f"{url}/visits/")), json_of(two.get("/visits/"))
            assert first["visits"] == second["visits"]
            told.append((first["visits"], first["remote_port"], second["remote_port"]))
    assert [visits for visits, _, _ in told] == [1, 2, 3, 4]
    assert len({port for _, port, _ in told}) == len({port for _, _, port in told}) == 1
    assert told[0][1] != told[0][2]


def test_a_piece_of_a_streaming_response_arrives_before_the_next_one_is_made(url: str) -> None:
    with httpx_client(url) as client, client.stream("GET", "/stream/") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert client.get("/release/").status_code == 204
        assert b"".join(pieces) == b"second\n"
        assert answer.headers["Transfer-Encoding"] == "chunked"


def upload(url: str, large: LargeFile) -> None:
    with httpx_client(url) as client, large.path.open("rb") as file:
        told = json_of(client.post("/upload/", data={"title": "Größe"}, files={"it": ("large", file)}))
    assert told == {"fields": {"title": ["Größe"]}, "files": {"it": ["large", LARGE_BYTES, large.digest]}}


def test_a_multipart_upload_of_100_mb_arrives_whole(url: str, large: LargeFile) -> None:
    upload(url, large)


@needs_memory_peaks
def test_the_memory_stays_flat_during_a_multipart_upload_of_100_mb(large: LargeFile, tmp_path: Path) -> None:
    with project(tmp_path) as server:
        url = url_of(server)
        with httpx_client(url) as client:  # what a first upload imports is no growth
            client.post("/upload/", files={"it": ("small", io.BytesIO(bytes(4_000_000)))}).raise_for_status()
        with flat_memory(server):
            upload(url, large)


def test_a_multipart_upload_by_requests_arrives_whole(url: str) -> None:
    content = bytes(range(256)) * 20_000
    with requests_session() as session:
        files = {"one": ("Übergröße.bin", content), "two": ("two.txt", b"2")}
        told = json_of(session.post(f"{url}/upload/", data=[("a", "1"), ("a", "2")], files=files))
    assert told == {
        "fields": {"a": ["1", "2"]},
        "files": {
            "one": ["Übergröße.bin", len(content), hashlib.sha256(content).hexdigest()],
            "two": ["two.txt", 1, hashlib.sha256(b"2").hexdigest()],
        },
    }


@needs_curl
def test_a_multipart_upload_by_curl_in_chunks_arrives_whole(url: str, tmp_path: Path) -> None:
    """The length is not known before; the project is told it all the same, without which Django reads nothing."""
    digest = write_bytes(tmp_path / "file", 3_000_000)
    chunked = ("--header", "Transfer-Encoding: chunked", "--form", "a=1", "--form", f"it=@{tmp_path / 'file'}")
    told = json.loads(curl(*chunked, f"{url}/upload/").output)
    assert told == {"fields": {"a": ["1"]}, "files": {"it": ["file", 3_000_000, digest]}}


def test_a_file_response_comes_whole_with_its_length(url: str, folder: Path) -> None:
    with requests_session() as session:
        answer = session.get(f"{url}/file/")
        assert answer.content == (folder / "download").read_bytes()
        assert answer.headers["Content-Length"] == "5000000"
        assert session.head(f"{url}/file/").headers["Content-Length"] == "5000000"
        assert session.get(f"{url}/visits/").status_code == 200


def test_an_address_with_escapes_is_the_same_for_the_project(url: str) -> None:
    with httpx_client(url) as client:
        told = json_of(client.get("/where/caf%C3%A9%20%E2%99%A5/", params={"q": "ä&="}))
    assert told == {"uri": f"{url}/where/caf%C3%A9%20%E2%99%A5/?q=%C3%A4%26%3D", "is_secure": False}
