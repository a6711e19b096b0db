"""What holds behind nginx, HAProxy and Apache, with the configurations of their pages, over TCP and a unix socket."""

import hashlib
import re
import shlex
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.ecosystem.chromium import CHROMIUM, page
from tests.ecosystem.fronts import APACHE, CLIENT, HAPROXY, HOST, KINDS, NGINX, Kind, behind, each_kind
from tests.ecosystem.programs.commands import (
    CLIENT_SECONDS,
    curl,
    json_of,
    needs_curl,
    needs_curl_feature,
    needs_ipv6,
    write_bytes,
)
from tests.ecosystem.programs.plain import PAGES, RELEASE_SECONDS, show_environ
from tests.support.pages import DOCS, blocks
from waitress_cli.options import parse
from waitress_core import Adjustments

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="the fronts are started as on Debian")

X_FORWARDED = "x-forwarded-for x-forwarded-proto"
# What a client may send to pass for somebody else.
HOSTILE = {
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "666",
    "Forwarded": "for=192.0.2.66;host=evil.example;proto=http",
}
PIECE = bytes(range(256)) * 256
PIECES = 320  # of 64 KiB: 20 MiB, more than the server or a front keeps in memory


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer as `plain` does, by a large body on two paths, and by the environ on any other."""
    path = environ["PATH_INFO"]
    if path == "/large":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (PIECE for _ in range(PIECES))
    if path == "/large-file":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        file = open(environ["QUERY_STRING"], "rb")  # noqa: SIM115  # the server closes it
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    return PAGES.get(path, show_environ)(environ, start_response)


@dataclass(frozen=True)
class Case:
    """A front, and how it reaches the server."""

    kind: Kind
    upstream: str

    @property
    def configuration(self) -> str:
        return self.kind.configurations.tcp if self.upstream == "tcp" else self.kind.configurations.unix

    @property
    def peer(self) -> str:
        """The front as the server sees it."""
        return "127.0.0.1" if self.upstream == "tcp" else "localhost"


CASES = [
    pytest.param(case, id=f"{kind.name}-{upstream}", marks=pytest.mark.xdist_group(f"front-{kind.name}-{upstream}"))
    for kind in KINDS
    for upstream in ("tcp", "unix")
    for case in [Case(kind, upstream)]
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def client(case: Case) -> Iterator[httpx.Client]:
    settings = {"trusted_proxy": case.peer, "trusted_proxy_headers": X_FORWARDED}
    with behind(case.kind, case.configuration, application, **settings) as client:
        yield client


# --- who asked, and for what


def test_the_application_learns_client_host_and_scheme_whatever_the_client_says(client: httpx.Client) -> None:
    environ = json_of(client.get("/where", headers=HOSTILE))
    assert (environ["REMOTE_ADDR"], environ["HTTP_HOST"], environ["wsgi.url_scheme"]) == (CLIENT, HOST, "https")
    assert environ["SERVER_PORT"] == "443"
    left = {name for name in environ if "FORWARDED" in name}
    assert left - {"HTTP_X_FORWARDED_SERVER"} == {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"}
    assert environ["HTTP_X_FORWARDED_FOR"] == CLIENT


@each_kind
def test_without_trust_the_front_is_the_client_and_its_headers_are_hidden(kind: Kind) -> None:
    with behind(kind, kind.configurations.tcp, application) as client:
        environ = json_of(client.get("/where", headers=HOSTILE))
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert not [name for name in environ if name.startswith(("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"))]


@each_kind
@pytest.mark.parametrize(
    ("host", "client", "node"),
    [("127.0.0.1", CLIENT, CLIENT), pytest.param("[::1]", "::1", '"[::1]"', marks=needs_ipv6)],
    ids=["IPv4", "IPv6"],
)
def test_the_header_forwarded_says_it_too(host: str, client: str, node: str, kind: Kind) -> None:
    trust = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "forwarded"}
    with behind(kind, kind.configurations.forwarded, application, host, **trust) as asking:
        environ = json_of(asking.get("/where", headers=HOSTILE))
    assert (environ["REMOTE_ADDR"], environ["HTTP_HOST"], environ["wsgi.url_scheme"]) == (client, HOST, "https")
    assert environ["HTTP_FORWARDED"] == f"for={node};proto=https"


@pytest.mark.parametrize("page", [*(kind.page for kind in KINDS), "how-to/url-prefix.md"])
def test_the_commands_of_a_page_are_such_as_the_server_takes(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^    waitress-serve (.*)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        line = parse(shlex.split(command))
        settings = Adjustments(**line.settings)
        assert line.applications == ["shop:application"]
        peer = "localhost" if settings.unix_socket else "127.0.0.1"
        assert settings.trusted_proxy == peer or settings.shutdown_delay


def test_the_path_arrives_as_it_was_sent(client: httpx.Client) -> None:
    sent = "/%65n/a%2Fb%20c/~d;e=1?q=%2F&r=+"
    assert json_of(client.get(sent))["REQUEST_URI"] == sent


# --- rules for a path

# All of them reach the application as /admin.
DISGUISED = ["/admin", "//admin", "///admin", "/%2Fadmin", "/%2f%2Fadmin", "//%2Fadmin", "/%2F/admin"]


def show_path(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def ask(client: httpx.Client, path: str) -> tuple[int, str]:
    """Ask for a path that is sent as it is; return the status, and the body if it is 200."""
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    response = client.send(request)
    return response.status_code, response.text if response.status_code == 200 else ""


@each_kind
def test_a_path_is_one_for_the_application_however_it_starts(kind: Kind) -> None:
    with behind(kind, kind.configurations.tcp, show_path) as client:
        for path in DISGUISED:
            assert ask(client, path) == (200, "/admin"), path


@each_kind
def test_the_rule_of_the_page_protects_a_path_however_it_starts(kind: Kind) -> None:
    with behind(kind, kind.configurations.rules, show_path) as client:
        for path in DISGUISED:
            assert ask(client, path) == (403, ""), path
        for path, seen in [("/tea", "/tea"), ("/tea/admin", "/tea/admin"), ("/tea//a", "/tea//a"), ("/a%2Fb", "/a/b")]:
            assert ask(client, path) == (200, seen), path


def test_nginx_sees_them_only_where_it_merges_slashes() -> None:
    rules = NGINX.configurations.rules
    assert "merge_slashes on;" in rules
    with behind(NGINX, rules.replace("merge_slashes on;", "merge_slashes off;"), show_path) as client:
        assert [ask(client, path)[0] for path in ("/admin", "//admin", "/%2Fadmin")] == [403, 200, 200]


def test_haproxy_merges_slashes_and_decodes_none() -> None:
    with behind(HAPROXY, HAPROXY.configurations.merging, show_path) as client:
        for path in DISGUISED:
            is_seen = "%2" not in path
            assert ask(client, path)[0] == (403 if is_seen else 200), path
        assert ask(client, "//tea//a") == (200, "/tea/a")


def test_a_rule_of_haproxy_for_the_path_as_it_came_sees_none_of_them() -> None:
    rule = "backend shop\n    http-request deny if { path_beg /admin }\n"
    configuration = HAPROXY.configurations.tcp.replace("backend shop\n", rule)
    with behind(HAPROXY, configuration, show_path) as client:
        assert ask(client, "/admin") == (403, "")
        for path in (*DISGUISED[1:], "/%61dmin"):
            assert ask(client, path) == (200, "/admin"), path


def test_a_location_of_apache_sees_slashes_and_no_encoded_ones() -> None:
    rule = "<Location /admin>\nRequire all denied\n</Location>\n</VirtualHost>"
    with behind(APACHE, APACHE.configurations.tcp.replace("</VirtualHost>", rule), show_path) as client:
        assert [ask(client, path)[0] for path in ("/admin", "//admin", "/%2Fadmin")] == [403, 403, 200]


# --- connections


def test_every_kind_of_exchange_leaves_the_connection_to_the_server_for_the_next(
    case: Case, client: httpx.Client
) -> None:
    first = json_of(client.get("/environ"))["REMOTE_PORT"]
    exchanges = [
        client.get("/"),
        client.head("/"),
        client.head("/pieces"),
        client.get("/pieces"),
        client.get("/nothing"),
        client.get("/release"),
        client.get("/not-modified"),
        client.post("/echo", content=b"fixed"),
        client.post("/echo", content=iter([b"in ", b"chunks"])),
        client.request("OPTIONS", "/"),
    ]
    assert [(answer.status_code, len(answer.content)) for answer in exchanges] == [
        (200, 6),
        (200, 0),
        (200, 0),
        (200, 24),
        (200, 0),
        (204, 0),
        (304, 0),
        (200, 5),
        (200, 9),
        (200, 6),
    ]
    if case.upstream == "tcp":  # a client of a unix socket has no port to be known by
        assert json_of(client.get("/environ"))["REMOTE_PORT"] == first


def test_a_piece_arrives_before_the_next_one_is_made(client: httpx.Client) -> None:
    with client.stream("GET", "/stream", timeout=RELEASE_SECONDS - 10) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert client.get("/release").status_code == 204
        assert b"".join(pieces) == b"second\n"


# --- large bodies


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_20_mb_go_up(how: str, client: httpx.Client) -> None:
    length = {"Content-Length": str(PIECES * len(PIECE))} if how == "length" else {}
    told = json_of(client.put("/digest", content=(PIECE for _ in range(PIECES)), headers=length))
    assert (told["size"], told["sha256"]) == (PIECES * len(PIECE), hashlib.sha256(PIECE * PIECES).hexdigest())


def test_20_mb_come_down(client: httpx.Client) -> None:
    came = hashlib.sha256()
    with client.stream("GET", "/large") as answer:
        for piece in answer.iter_raw():
            came.update(piece)
    assert came.hexdigest() == hashlib.sha256(PIECE * PIECES).hexdigest()


def test_a_file_of_20_mb_comes_down(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("front") / "file"
    digest = write_bytes(path, PIECES * len(PIECE))
    came = hashlib.sha256()
    with client.stream("GET", f"/large-file?{path}") as answer:
        assert answer.headers["Content-Length"] == str(PIECES * len(PIECE))
        for piece in answer.iter_raw():
            came.update(piece)
    assert came.hexdigest() == digest


@each_kind
def test_the_refusal_of_a_body_that_is_too_large_reaches_the_client(kind: Kind) -> None:
    """Of a body that the server discards to its end; of one beyond that, a front may learn by a reset."""
    with behind(kind, kind.configurations.tcp, application, max_request_body_size=1000) as client:
        assert client.put("/digest", content=bytes(50_000)).status_code == 413


def test_the_location_of_the_tutorial_serves_below_the_server_of_the_page() -> None:
    (location,) = blocks("tutorial/first-application.md", "nginx")
    page = re.sub(r"^    location / \{.*?^    \}\n", lambda _: location, NGINX.configurations.tcp, flags=re.M | re.S)
    trust = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": X_FORWARDED}
    with behind(NGINX, page, application, **trust) as client:
        environ = json_of(client.get("/where", headers=HOSTILE))
    assert (environ["REMOTE_ADDR"], environ["HTTP_HOST"], environ["wsgi.url_scheme"]) == (CLIENT, HOST, "https")


def hinting(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_haproxy_passes_early_hints_on(version: str) -> None:
    needs_curl_feature("HTTP2")
    configuration = HAPROXY.configurations.tcp.replace("example.pem", "example.pem alpn h2,http/1.1")
    with behind(HAPROXY, configuration, hinting) as client:
        done = curl("--insecure", "--verbose", version, str(client.base_url))
    assert done.text == "hello"
    lines = [line.strip().lower() for line in done.received()]
    name = "http/2" if version == "--http2" else "http/1.1"
    assert f"{name} 103" in [" ".join(line.split()[:2]) for line in lines]
    assert lines.count("link: </style.css>; rel=preload; as=style") == 1


@pytest.mark.ecosystem
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_fetches_what_early_hints_name_before_the_response(tmp_path: Path) -> None:
    """By HTTP/2, from HAProxy: over HTTP/1.1 browsers ignore a 103."""
    is_fetched = threading.Event()
    paths: list[str] = []

    def page_of_style(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        paths.append(environ["PATH_INFO"])
        body, kind = b"", "text/plain"
        if environ["PATH_INFO"] == "/style.css":
            is_fetched.set()
            body, kind = b"body { color: rgb(1, 2, 3) }", "text/css"
        elif environ["PATH_INFO"] == "/":
            environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
            text = "fetched" if is_fetched.wait(CLIENT_SECONDS) else "not fetched"
            body, kind = f"<link rel=stylesheet href=/style.css><title>{text}</title>".encode(), "text/html"
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    configuration = HAPROXY.configurations.tcp.replace("example.pem", "example.pem alpn h2,http/1.1")
    with (
        behind(HAPROXY, configuration, page_of_style) as client,
        page(tmp_path, "--ignore-certificate-errors") as shown,
    ):
        shown.show(str(client.base_url), 800, 600)
        shown.wait_for("document.title === 'fetched'")
        shown.wait_for("getComputedStyle(document.body).color === 'rgb(1, 2, 3)'")
    assert paths.index("/style.css") == 1
