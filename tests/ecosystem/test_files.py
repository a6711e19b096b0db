"""Files by Falcon and Bottle: whole, in ranges, resumed, through the server's file wrapper and past it."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
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
)
from tests.support.servers import Spawned

# One worker runs them all: the servers are started, and the large file made, once.
pytestmark = pytest.mark.xdist_group("programs-files")

SMALL = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeFile]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "small").write_bytes(SMALL)
    (folder / "empty").write_bytes(b"")
    with large_file(folder) as file:
        yield file


@contextlib.contextmanager
def serving(application: str, large: LargeFile) -> Iterator[Spawned]:
    arguments = ("--listen=127.0.0.1:0", application)
    with served("waitress-serve", *arguments, env={"FOLDER": str(large.path.parent)}) as server:
        yield server


@pytest.fixture(scope="module")
def falcon_url(large: LargeFile) -> Iterator[str]:
    with serving("falcon_app:application", large) as server:
        yield url_of(server)


@pytest.fixture(scope="module")
def bottle(large: LargeFile) -> Iterator[Spawned]:
    with serving("bottle_app:application", large) as server:
        yield server


@pytest.fixture(scope="module")
def bottle_url(bottle: Spawned) -> str:
    return url_of(bottle)


def download(client: httpx.Client, path: str) -> tuple[int, str]:
    """Get a file piece by piece; return its size and SHA-256."""
    size, digest = 0, hashlib.sha256()
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Length"] == str(LARGE_BYTES)
        for piece in answer.iter_raw(1 << 20):
            size += len(piece)
            digest.update(piece)
    return size, digest.hexdigest()


# --- whole files


@pytest.mark.parametrize("path", ["/static/large", "/stream"])
def test_falcon_gives_a_file_of_100_mb_whole(path: str, falcon_url: str, large: LargeFile) -> None:
    with httpx_client(falcon_url) as client:
        assert download(client, path) == (LARGE_BYTES, large.digest)
        assert client.get("/static/small").content == SMALL


@pytest.mark.promise("S31", "S32")
def test_bottle_gives_a_file_of_100_mb_whole_by_the_file_wrapper(
    bottle_url: str, bottle: Spawned, large: LargeFile
) -> None:
    with httpx_client(bottle_url) as client:
        assert download(client, "/files/large?wrapped") == (LARGE_BYTES, large.digest)
        bottle.wait_for_line(r"^/files/large\?wrapped is answered by a file wrapper$")
        assert client.get("/files/small").content == SMALL


@needs_memory_peaks
@pytest.mark.promise("S34")
@pytest.mark.parametrize(
    ("application", "path"),
    [("falcon_app", "/static/large"), ("falcon_app", "/stream"), ("bottle_app", "/files/large")],
)
def test_the_memory_stays_flat_while_100_mb_are_given(application: str, path: str, large: LargeFile) -> None:
    with serving(f"{application}:application", large) as server, httpx_client(url_of(server)) as client:
        client.get("/nowhere")
        with flat_memory(server):
            assert download(client, path) == (LARGE_BYTES, large.digest)


def test_an_empty_file_has_length_0_and_costs_no_connection(falcon_url: str, bottle_url: str) -> None:
    for url in (f"{falcon_url}/static/empty", f"{bottle_url}/files/empty"):
        with requests_session() as session:
            for _ in range(2):
                answer = session.get(url)
                assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
                assert "Connection" not in answer.headers


def test_head_of_a_file_has_its_length_and_no_content(falcon_url: str, bottle_url: str) -> None:
    for url in (f"{falcon_url}/static/large", f"{bottle_url}/files/large"):
        with requests_session() as session:
            answer = session.head(url)
            assert (answer.content, answer.headers["Content-Length"]) == (b"", str(LARGE_BYTES))
            assert session.get(url.replace("large", "small")).content == SMALL


# --- ranges


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("0-0", 0, 1), ("100-70000", 100, 70_001), ("200000-", 200_000, len(SMALL)), ("-9", len(SMALL) - 9, len(SMALL))],
)
def test_a_range_of_a_file_comes_alone(asked: str, first: int, end: int, falcon_url: str, bottle_url: str) -> None:
    for url in (f"{falcon_url}/static/small", f"{bottle_url}/files/small"):
        with requests_session() as session:
            part = session.get(url, headers={"Range": f"bytes={asked}"})
            assert (part.status_code, part.content) == (206, SMALL[first:end])
            assert part.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(SMALL)}"
            assert part.headers["Content-Length"] == str(end - first)
            assert session.get(url).content == SMALL


def test_a_range_beyond_the_end_is_refused_and_costs_no_connection(falcon_url: str, bottle_url: str) -> None:
    for url in (f"{falcon_url}/static/small", f"{bottle_url}/files/small"):
        with requests_session() as session:
            refused = session.get(url, headers={"Range": f"bytes={len(SMALL)}-"})
            assert refused.status_code == 416
            assert "Connection" not in refused.headers
            assert session.get(url).content == SMALL


@needs_curl
def test_curl_resumes_a_download(bottle_url: str, large: LargeFile, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    with large.path.open("rb") as file:
        partial.write_bytes(file.read(LARGE_BYTES - 1_000_000))
    done = curl(
        "--continue-at",
        "-",
        "--output",
        partial,
        "--write-out",
        "%{http_code} %{size_download}",
        f"{bottle_url}/files/large",
    )
    assert done.text == "206 1000000"
    assert hashlib.sha256(partial.read_bytes()).hexdigest() == large.digest
    partial.unlink()  # pytest keeps its folders


def test_a_file_that_has_not_changed_is_not_sent_again(bottle_url: str) -> None:
    with requests_session() as session:
        first = session.get(f"{bottle_url}/files/small")
        again = session.get(f"{bottle_url}/files/small", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert session.get(f"{bottle_url}/files/small").content == SMALL


# --- what else


def test_falcon_reads_media_of_known_and_unknown_length(falcon_url: str) -> None:
    value = {"words": ["a", "ü", None], "number": 1.5}
    body = json.dumps(value).encode()
    with requests_session() as session:
        for data in (body, iter([body[:3], body[3:]])):
            answer = session.post(f"{falcon_url}/media", data=data, headers={"Content-Type": "application/json"})
            assert json_of(answer) == {"got": value}


def open_files(process: int) -> list[str]:
    """Return the paths that a process has open."""
    found = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return found


def test_a_download_that_the_client_breaks_off_leaves_no_file_open(
    bottle_url: str, bottle: Spawned, large: LargeFile
) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("this host lacks /proc, where the open files of a process can be read")
    with httpx_client(bottle_url) as client:
        for _ in range(3):
            with client.stream("GET", "/files/large") as answer:
                pieces = answer.iter_raw()  # which ends the connection when it goes
                assert next(pieces)
                assert str(large.path) in open_files(bottle.process.pid)
        # The server learns of each end in its own time, and answers others meanwhile.
        until = time.monotonic() + 20
        while str(large.path) in open_files(bottle.process.pid):
            assert time.monotonic() < until
            assert client.get("/files/small").content == SMALL
