"""The clients requests, httpx and urllib3: connections used again, pools, uploads by each, memory that stays flat."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import urllib3

from tests.ecosystem.programs import plain
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
)
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CLIENTS = 20
UPLOADS = 20
THREADS = 4


@pytest.fixture
def url() -> Iterator[str]:
    with running(plain.application) as server:
        yield server.url


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


# --- connections used again


@pytest.mark.promise("S92")
def test_a_session_of_requests_uses_one_connection_for_every_kind_of_exchange(
    url: str, session: requests.Session
) -> None:
    def port() -> str:
        return str(json_of(session.get(f"{url}/environ"))["REMOTE_PORT"])

    first = port()
    exchanges = [
        session.get(f"{url}/"),
        session.head(f"{url}/"),
        session.head(f"{url}/pieces"),
        session.get(f"{url}/pieces"),
        session.get(f"{url}/nothing"),
        session.get(f"{url}/release"),
        session.get(f"{url}/not-modified"),
        session.get(f"{url}/nowhere"),
        session.post(f"{url}/echo", data=b"fixed"),
        session.post(f"{url}/echo", data=iter([b"in ", b"chunks"])),
        session.put(f"{url}/echo", data=bytes(1_000_000)),
        session.request("OPTIONS", f"{url}/"),
    ]
    assert [(answer.status_code, len(answer.content)) for answer in exchanges] == [
        (200, 6),
        (200, 0),
        (200, 0),
        (200, 24),
        (200, 0),
        (204, 0),
        (304, 0),
        (404, 13),
        (200, 5),
        (200, 9),
        (200, 1_000_000),
        (200, 6),
    ]
    assert all("Connection" not in answer.headers for answer in exchanges)
    assert port() == first


def test_a_session_opens_a_new_connection_after_connection_close(url: str, session: requests.Session) -> None:
    first = session.get(f"{url}/environ", headers={"Connection": "close"})
    assert first.headers["Connection"] == "close"
    assert json_of(session.get(f"{url}/environ"))["REMOTE_PORT"] != json_of(first)["REMOTE_PORT"]


@pytest.mark.parametrize("listen", [IPV4, IPV6])
def test_both_clients_talk_over_tcp(listen: str, session: requests.Session) -> None:
    with running(plain.application, listen=listen) as server:
        url = url_of(server)
        with httpx_client(url) as client:
            for environ in (json_of(session.get(f"{url}/environ")), json_of(client.get("/environ"))):
                assert environ["REMOTE_ADDR"] == server.address[0]
                assert environ["HTTP_HOST"] == url.removeprefix("http://")


@needs_unix_sockets
def test_httpx_talks_over_a_unix_socket() -> None:
    body = bytes(range(256)) * 10_000
    with short_path() as path, running(plain.application, unix_socket=str(path)):
        with httpx_client("http://example.org", uds=path) as client:
            environ = json_of(client.get("/environ"))
            assert (environ["HTTP_HOST"], environ["REMOTE_ADDR"]) == ("example.org", "localhost")
            assert client.post("/echo", content=body).content == body


# --- a pool


class Counting:
    """An application that counts how many of its calls run at once, and answers each with the query it came with.

    Calls of /together end only when THREADS of them run at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self.most_running = 0
        self.threads: set[str] = set()
        self._together = threading.Barrier(THREADS)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with self._lock:
            self._running += 1
            self.most_running = max(self.most_running, self._running)
            self.threads.add(threading.current_thread().name)
        try:
            if environ["PATH_INFO"] == "/together":
                self._together.wait(60)
            body = json.dumps([environ["QUERY_STRING"], environ["REMOTE_PORT"]]).encode()
        finally:
            with self._lock:
                self._running -= 1
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]


def test_a_pool_of_20_connections_is_served_by_4_threads() -> None:
    """First each client waits until all are there, and the application until all its threads are."""
    application = Counting()
    all_there = threading.Barrier(CLIENTS)
    with running(application, threads=THREADS) as server, httpx_client(server.url, connections=CLIENTS) as client:

        def converse(number: int) -> set[str]:
            all_there.wait(60)
            query, port = json_of(client.get(f"/together?{number}"))
            assert query == str(number)
            ports = {port}
            for turn in range(25):
                query, port = json_of(client.get(f"/?{number}-{turn}"))
                assert query == f"{number}-{turn}"
                ports.add(port)
            return ports

        with ThreadPoolExecutor(CLIENTS) as pool:
            ports: set[str] = set().union(*pool.map(converse, range(CLIENTS)))
    assert application.most_running == THREADS
    assert len(application.threads) == THREADS
    assert len(ports) <= CLIENTS  # every connection of the pool was kept alive


def test_more_clients_than_threads_upload_at_once(url: str) -> None:
    all_there = threading.Barrier(CLIENTS)

    def upload(number: int) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"begun"
            all_there.wait(60)  # every upload has started before any ends: none of them holds a thread meanwhile
            yield bytes([number]) * 300_000

        with httpx_client(url) as client:
            told = json_of(client.put("/digest", content=pieces()))
        assert told["sha256"] == hashlib.sha256(b"begun" + bytes([number]) * 300_000).hexdigest()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(upload, range(CLIENTS)))


# --- streaming


def test_requests_reads_a_piece_before_the_next_one_is_made(url: str, session: requests.Session) -> None:
    with session.get(f"{url}/stream", stream=True, timeout=20) as answer, requests_session() as other:
        pieces = answer.iter_content(chunk_size=None)
        assert next(pieces) == b"first\n"
        assert other.get(f"{url}/release").status_code == 204
        assert list(pieces) == [b"second\n"]


def test_httpx_reads_a_piece_before_the_next_one_is_made(url: str) -> None:
    with httpx_client(url) as client, client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert client.get("/release").status_code == 204
        assert list(pieces) == [b"second\n"]


def test_urllib3_reads_each_piece_when_it_is_made_and_uses_the_connection_again(url: str) -> None:
    with urllib3.PoolManager(timeout=20, retries=False) as pool:
        first = pool.request("GET", f"{url}/environ").json()["REMOTE_PORT"]
        answer = pool.request("GET", f"{url}/stream", preload_content=False)
        pieces = answer.read_chunked()
        assert next(pieces) == b"first\n"
        assert pool.request("GET", f"{url}/release").status == 204
        assert list(pieces) == [b"second\n"]
        answer.release_conn()
        sent = pool.request("PUT", f"{url}/digest", body=iter([b"in ", b"chunks"]), chunked=True).json()
        assert sent["sha256"] == hashlib.sha256(b"in chunks").hexdigest()
        assert pool.request("GET", f"{url}/environ").json()["REMOTE_PORT"] in (first, sent["remote_port"])


# --- a process and its memory


@pytest.mark.parametrize("size", [200_000, 20_000_000])
@pytest.mark.parametrize("how", ["length", "chunks"])
@pytest.mark.parametrize("client", ["requests", "urllib3", "httpx"])
def test_each_upload_that_is_too_large_sees_why(client: str, how: str, size: int) -> None:
    """They read only when they have sent all, which the server must let them do."""

    def body() -> Any:
        return bytes(size) if how == "length" else (bytes(50_000) for _ in range(size // 50_000))

    with running(plain.application, max_request_body_size=100_000) as server:
        url = f"{server.url}/digest"
        for _ in range(UPLOADS):
            if client == "requests":
                status = requests.post(url, data=body(), timeout=20).status_code
            elif client == "urllib3":
                status = urllib3.request("POST", url, body=body(), timeout=20, retries=False).status
            else:
                status = httpx.post(url, content=body(), timeout=20, trust_env=False, verify=False).status_code
            assert status == 413


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeFile]:
    with large_file(tmp_path_factory.mktemp("clients")) as file:
        yield file


def in_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 18):
            yield piece


@needs_memory_peaks
@pytest.mark.xdist_group("programs-clients-large")
@pytest.mark.parametrize("client", ["requests", "httpx"])
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_100_mb_arrive_while_the_memory_stays_flat(client: str, how: str, large: LargeFile) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(served("waitress-serve", "--listen=127.0.0.1:0", "plain:application"))
        url = url_of(server)
        session = stack.enter_context(requests_session())
        pool = stack.enter_context(httpx_client(url))

        def put(body: Any, size: int) -> dict[str, Any]:
            if client == "requests":
                answer: requests.Response | httpx.Response = session.put(f"{url}/digest", data=body)
            else:
                length = {"Content-Length": str(size)} if how == "length" else {}
                answer = pool.put("/digest", content=body, headers=length)
            told: dict[str, Any] = json_of(answer)
            return told

        def body() -> Any:
            return stack.enter_context(large.path.open("rb")) if how == "length" else in_pieces(large.path)

        put(iter([bytes(1 << 20)] * 3), 3 << 20)  # what a first upload into a file imports is no growth
        with flat_memory(server):
            told = put(body(), LARGE_BYTES)
        assert (told["size"], told["sha256"], told["content_length"]) == (LARGE_BYTES, large.digest, str(LARGE_BYTES))
