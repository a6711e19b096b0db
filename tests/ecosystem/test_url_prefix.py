"""An application under a path: what it is told, behind each front, and with PasteDeploy's filter for it."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from paste.deploy import loadapp
from paste.deploy.loadwsgi import SERVER, loadcontext

from tests.ecosystem.fronts import CLIENT, HOST, Kind, behind, each_kind
from tests.ecosystem.programs.commands import INI_LOGGING, PROGRAMS, json_of, requests_session, served, url_of
from tests.ecosystem.programs.plain import show_environ
from tests.support.pages import DOCS, blocks
from tests.support.servers import running

PAGE = "how-to/url-prefix.md"
ROW = re.compile(r"^\| `(/\S*)` \| `(\S+)` \| (?:`(\S+)`)? ?\|$", re.MULTILINE)
ROWS = ROW.findall((DOCS / PAGE).read_text(encoding="utf-8"))


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def test_the_table_of_the_page_is_what_the_application_is_told(session: requests.Session) -> None:
    assert len(ROWS) == 5
    with running(show_environ, url_prefix="/shop") as server:
        told = [json_of(session.get(f"{server.url}{path}")) for path, _, _ in ROWS]
    assert [(environ["SCRIPT_NAME"], environ["PATH_INFO"]) for environ in told] == [row[1:] for row in ROWS]


@each_kind
def test_the_configuration_of_the_page_passes_the_path_on(kind: Kind) -> None:
    (part,) = blocks(PAGE, kind.language)
    configuration = kind.merge(kind.configurations.tcp, part)
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for x-forwarded-proto"}
    with behind(kind, configuration, show_environ, url_prefix="/shop", **settings) as client:
        environ = json_of(client.get("/shop/a%20b?c"))
        assert client.get("/elsewhere").status_code in (404, 503)
        bare = client.get("/shop")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/shop", "/a b", "/shop/a%20b?c")
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", HOST)
    if bare.is_redirect:
        assert urlsplit(bare.headers["Location"]).path == "/shop/"
    else:
        assert json_of(bare)["PATH_INFO"] == ""


# --- PasteDeploy's filter

(PIPELINE,) = blocks(PAGE, "ini")

# What Apache sends along; none of it is the host that the client asked for.
FROM_APACHE = {
    "Host": HOST,
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "proxy.internal",
}


def ini_file(text: str, folder: Path) -> Path:
    """Write the ini file, with an application that there is."""
    ini = folder / "shop.ini"
    text = text.replace("shop:make_application", "plain:make_show_environ").replace(":8080", ":0")
    ini.write_text(text + INI_LOGGING, encoding="utf-8")
    return ini


def asked_of_pserve(text: str, folder: Path, session: requests.Session) -> dict[str, str]:
    """Serve by an ini file; return the environ of one request."""
    with served("pserve", ini_file(text, folder), env={"PYTHONPATH": str(PROGRAMS)}) as server:
        environ: dict[str, str] = json_of(session.get(f"{url_of(server)}/shop/tea", headers=FROM_APACHE))
    return environ


def test_the_pipeline_of_the_page_serves_under_its_prefix(tmp_path: Path, session: requests.Session) -> None:
    environ = asked_of_pserve(PIPELINE, tmp_path, session)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/tea")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("192.0.2.1", "https", HOST)


@each_kind
def test_the_pipeline_of_the_page_serves_behind_each_front(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROGRAMS)
    ini = ini_file(PIPELINE, tmp_path)
    application = loadapp(f"config:{ini}")
    settings = loadcontext(SERVER, f"config:{ini}").local_conf
    with behind(kind, kind.configurations.tcp, application, **settings) as client:
        environ = json_of(client.get("/shop/tea"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/tea")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == (CLIENT, "https", HOST)


def test_a_filter_that_reads_the_headers_itself_gets_them(tmp_path: Path, session: requests.Session) -> None:
    text = re.sub(r"^translate_.*\n", "", PIPELINE, flags=re.MULTILINE)
    text = re.sub(r"^trusted_proxy = .*\n.*\n", "clear_untrusted_proxy_headers = false\n", text, flags=re.MULTILINE)
    environ = asked_of_pserve(text, tmp_path, session)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/tea")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.1", "https")
    assert environ["HTTP_HOST"] == "evil.example"  # as the page warns
