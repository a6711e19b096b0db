"""What curl says of the server: kept-alive connections, uploads in chunks, Expect, HEAD, HTTP/1.0, unix sockets."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ecosystem.programs.commands import (
    IPV4,
    IPV6,
    curl,
    curl_command,
    curl_environment,
    needs_curl,
    needs_curl_feature,
    needs_unix_sockets,
    short_path,
    url_of,
    write_bytes,
)
from tests.ecosystem.programs.plain import application
from tests.support.servers import running

pytestmark = needs_curl

REUSED = "using existing"  # "Re-using existing connection #0", and other words around these in other versions
HOW_MANY_CONNECTIONS = "%{num_connects} "  # new ones that this transfer needed


@pytest.fixture
def url() -> Iterator[str]:
    with running(application) as server:
        yield server.url


def digest_of(body: bytes) -> tuple[int, str]:
    return len(body), hashlib.sha256(body).hexdigest()


def told_digest(told: dict[str, Any]) -> tuple[int, str]:
    return told["size"], told["sha256"]


# --- addresses


@pytest.mark.parametrize("listen", [IPV4, IPV6])
def test_curl_gets_a_page_over_tcp(listen: str) -> None:
    if "::1" in listen:
        needs_curl_feature("IPv6")
    with running(application, listen=listen) as server:
        done = curl("--verbose", f"{url_of(server)}/environ")
    environ = json.loads(done.output)
    assert environ["REMOTE_ADDR"] == listen.rpartition(":")[0].strip("[]")
    assert environ["SERVER_PORT"] == str(server.address[1])
    assert environ["HTTP_HOST"] == url_of(server).removeprefix("http://")
    assert done.received()[0] == "HTTP/1.1 200 OK"


@needs_unix_sockets
def test_curl_gets_a_page_over_a_unix_socket() -> None:
    needs_curl_feature("UnixSockets")
    with short_path() as path, running(application, unix_socket=str(path)):
        done = curl("--unix-socket", path, "http://localhost/environ", "http://localhost/", "--verbose")
    assert REUSED in done.said
    first, second = done.lines
    assert second == "hello"
    environ = json.loads(first)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("localhost", "")
    assert environ["HTTP_HOST"] == "localhost"


@needs_unix_sockets
def test_curl_uploads_over_a_unix_socket(tmp_path: Path) -> None:
    needs_curl_feature("UnixSockets")
    digest = write_bytes(tmp_path / "file", 2_000_000)
    with short_path() as path, running(application, unix_socket=str(path)):
        done = curl("--unix-socket", path, "--upload-file", tmp_path / "file", "http://localhost/digest")
    assert told_digest(json.loads(done.output)) == (2_000_000, digest)


@pytest.mark.parametrize("host", ["example.org:8080", "elsewhere.example"])
def test_a_request_by_way_of_a_proxy_is_for_the_host_of_its_url(host: str, url: str) -> None:
    """To a proxy curl writes the whole URL into the request line, and that counts, whatever the Host field says."""
    done = curl("--verbose", "--proxy", url, "--header", f"Host: {host}", "http://example.org:8080/environ?q=1")
    assert done.sent()[0] == "GET http://example.org:8080/environ?q=1 HTTP/1.1"
    assert f"Host: {host}" in done.sent()
    environ = json.loads(done.output)
    assert (environ["HTTP_HOST"], environ["PATH_INFO"]) == ("example.org:8080", "/environ")
    assert environ["REQUEST_URI"] == "http://example.org:8080/environ?q=1"


def test_dots_in_a_path_are_left_to_the_application(url: str) -> None:
    assert curl("--path-as-is", "--write-out", "%{http_code}", f"{url}/a/../environ").lines[-1] == "404"


# --- connections


@pytest.mark.promise("S92")
def test_curl_says_that_it_uses_the_connection_again(url: str) -> None:
    done = curl("--verbose", f"{url}/environ", f"{url}/environ")
    assert REUSED in done.said
    first, second = map(json.loads, done.lines)
    assert first["REMOTE_PORT"] == second["REMOTE_PORT"]
    assert not [line for line in done.received() if line.lower().startswith("connection")]


def test_curl_keeps_the_connection_after_every_kind_of_response(url: str) -> None:
    paths = ("/", "/pieces", "/nothing", "/release", "/not-modified", "/nowhere", "/")
    options = ("--write-out", "%{http_code}:%{num_connects} ", "--output", os.devnull)
    transfers: list[str | Path] = []
    for path in paths:
        transfers += [*options, f"{url}{path}", "--next"]
    transfers += [*options, "--head", f"{url}/pieces", "--next"]
    transfers += [*options, "--head", f"{url}/", "--next"]
    transfers += [*options, "--data", "a=1", f"{url}/echo"]
    assert curl(*transfers).text.split() == [
        "200:1", "200:0", "200:0", "204:0", "304:0", "404:0", "200:0", "200:0", "200:0", "200:0",
    ]  # fmt: skip


def test_curl_opens_a_new_connection_after_it_has_asked_for_the_end(url: str) -> None:
    options = ("--write-out", HOW_MANY_CONNECTIONS, "--output", os.devnull, "--header", "Connection: close")
    done = curl("--verbose", *options, f"{url}/", "--next", *options, f"{url}/")
    assert done.text.split() == ["1", "1"]
    assert done.received().count("Connection: close") == 2


# --- interim responses


def hinting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def test_curl_sees_early_hints_before_the_response() -> None:
    with running(hinting) as server:
        done = curl("--verbose", f"{server.url}/", f"{server.url}/")
        assert curl("--http1.0", server.url).text == "hello"
    assert done.text == "hello" * 2
    assert REUSED in done.said
    assert [line for line in done.received() if line.startswith(("HTTP/", "Link"))] == [
        "HTTP/1.1 103 Early Hints",
        "Link: </style.css>; rel=preload; as=style",
        "HTTP/1.1 200 OK",
    ] * 2


# --- HTTP/1.0 and other offers


@pytest.mark.promise("S03")
def test_http10_gets_the_whole_body_and_then_the_end(url: str) -> None:
    done = curl("--http1.0", "--verbose", f"{url}/pieces")
    assert done.text == "piece 0\npiece 1\npiece 2\n"
    received = done.received()
    assert received[0] == "HTTP/1.0 200 OK"
    assert "Connection: close" in received
    assert not [line for line in received if line.lower().startswith(("transfer-encoding", "content-length"))]


def test_http10_keeps_the_connection_when_it_asks_to(url: str) -> None:
    keep = ("--http1.0", "--header", "Connection: keep-alive", "--write-out", HOW_MANY_CONNECTIONS)
    done = curl("--verbose", *keep, f"{url}/", f"{url}/")
    assert done.text.split() == ["hello", "1", "hello", "0"]
    assert "Connection: Keep-Alive" in done.received()


def test_http10_posts_a_form(url: str) -> None:
    assert curl("--http1.0", "--data", "a=1&b=2", f"{url}/echo").text == "a=1&b=2"


def test_an_upgrade_to_http2_is_not_taken(url: str) -> None:
    needs_curl_feature("HTTP2")
    done = curl("--http2", "--verbose", f"{url}/environ")
    assert "Upgrade: h2c" in done.sent()
    assert done.received()[0] == "HTTP/1.1 200 OK"
    assert json.loads(done.output)["HTTP_UPGRADE"] == "h2c"


def test_the_offer_of_compression_does_no_harm(url: str) -> None:
    needs_curl_feature("libz")
    done = curl("--compressed", "--verbose", f"{url}/environ", f"{url}/pieces")
    environ, _, body = done.text.partition("\n")
    assert "gzip" in json.loads(environ)["HTTP_ACCEPT_ENCODING"]
    assert body == "piece 0\npiece 1\npiece 2\n"
    assert not [line for line in done.received() if line.lower().startswith("content-encoding")]


def test_the_offer_of_compressed_transfer_does_no_harm(url: str) -> None:
    needs_curl_feature("libz")
    done = curl("--tr-encoding", "--verbose", f"{url}/pieces", f"{url}/")
    assert "TE: gzip" in done.sent()
    assert done.text == "piece 0\npiece 1\npiece 2\nhello\n"
    assert REUSED in done.said


# --- HEAD


def fields(lines: list[str]) -> list[str]:
    return sorted(line for line in lines if line and not line.startswith("Date:"))


@pytest.mark.parametrize("path", ["/", "/environ", "/pieces", "/nowhere"])
def test_head_gives_the_fields_of_get(path: str, url: str) -> None:
    got = curl("--verbose", f"{url}{path}")
    head = curl("--verbose", "--head", f"{url}{path}")
    # The length of /environ differs: it shows the method and the port.
    different = ("Content-Length:",) if path == "/environ" else ()
    assert [line for line in fields(head.received()) if not line.startswith(different)] == [
        line for line in fields(got.received()) if not line.startswith(different)
    ]
    assert fields(head.lines) == fields(head.received())


# --- uploads


def test_standard_input_is_uploaded_in_chunks(url: str) -> None:
    body = bytes(range(256)) * 20_000
    done = curl("--verbose", "--upload-file", "-", f"{url}/digest", stdin=body)
    assert "Transfer-Encoding: chunked" in done.sent()
    told = json.loads(done.output)
    assert told["method"] == "PUT"
    assert told_digest(told) == digest_of(body)
    assert told["content_length"] == str(len(body))
    assert told["transfer_encoding"] is None


def test_empty_standard_input_is_an_empty_body(url: str) -> None:
    done = curl("--verbose", "--upload-file", "-", f"{url}/digest")
    told = json.loads(done.output)
    assert told_digest(told) == digest_of(b"")
    assert told["content_length"] == "0"


def test_a_connection_is_used_again_after_an_upload_in_chunks(url: str) -> None:
    again = ("--next", "--write-out", HOW_MANY_CONNECTIONS, f"{url}/")
    done = curl("--upload-file", "-", f"{url}/digest", *again, stdin=b"x" * 100_000)
    assert done.text.endswith("hello\n0 ")


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
def test_a_file_is_uploaded_with_its_length(size: int, url: str, tmp_path: Path) -> None:
    digest = write_bytes(tmp_path / "file", size)
    told = json.loads(curl("--upload-file", tmp_path / "file", f"{url}/digest").output)
    assert told_digest(told) == (size, digest)
    assert told["content_length"] == str(size)


# --- Expect


WAITING = ("--header", "Expect: 100-continue", "--expect100-timeout", "50")  # curl waits for the word of the server


@pytest.mark.promise("S55")
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_the_server_says_100_continue_to_curl_that_waits_for_it(how: str, url: str, tmp_path: Path) -> None:
    digest = write_bytes(tmp_path / "file", 3_000_000)
    chunked = ("--header", "Transfer-Encoding: chunked") if how == "chunks" else ()
    done = curl("--verbose", *WAITING, *chunked, "--upload-file", tmp_path / "file", f"{url}/digest")
    assert "Expect: 100-continue" in done.sent()
    received = done.received()
    assert received[0] == "HTTP/1.1 100 Continue"
    assert "HTTP/1.1 200 OK" in received
    assert told_digest(json.loads(done.output)) == (3_000_000, digest)


@pytest.mark.parametrize("size", [200_000, 20_000_000])
@pytest.mark.parametrize("how", ["length", "chunks"])
def test_curl_sees_why_an_upload_is_too_large_though_it_does_not_ask_first(how: str, size: int, tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", size)
    chunked = ("--header", "Transfer-Encoding: chunked") if how == "chunks" else ()
    upload = (*chunked, "--header", "Expect:", "--write-out", " %{http_code}", "--upload-file", tmp_path / "file")
    with running(application, max_request_body_size=100_000) as server:
        for _ in range(20):
            assert curl(*upload, f"{server.url}/digest").text.split()[-1] == "413"


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", 3_000_000)
    count = ("--write-out", " %{http_code} %{size_upload}")
    with running(application, max_request_body_size=2_999_999) as server:
        done = curl("--verbose", *WAITING, *count, "--upload-file", tmp_path / "file", f"{server.url}/digest")
    assert done.text.split()[-2:] == ["413", "0"]
    assert "HTTP/1.1 100 Continue" not in done.received()
    assert "Connection: close" in done.received()


def test_an_unknown_expectation_is_refused(url: str) -> None:
    done = curl("--verbose", "--header", "Expect: the-moon", "--data", "a=1", f"{url}/echo")
    assert done.received()[0] == "HTTP/1.1 417 Expectation Failed"


# --- streaming


def test_curl_prints_a_piece_before_the_next_one_is_made(url: str) -> None:
    command = curl_command("--no-buffer", f"{url}/stream")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=curl_environment()) as streaming:
        assert streaming.stdout is not None
        try:
            assert streaming.stdout.readline() == b"first\n"
            curl(f"{url}/release")
            assert streaming.stdout.read() == b"second\n"
            assert streaming.wait(30) == 0
        finally:
            streaming.kill()


def test_several_transfers_of_curl_at_once_do_not_mix(url: str, tmp_path: Path) -> None:
    bodies = {tmp_path / str(number): "-".join([str(number)] * 10_000) for number in range(12)}
    transfers: list[str | Path] = ["--parallel", "--parallel-immediate"]
    for path, body in bodies.items():
        transfers += ["--data-binary", body, "--output", path, f"{url}/echo", "--next"]
    curl(*transfers[:-1])
    assert {path: path.read_text(encoding="ascii") for path in bodies} == bodies
