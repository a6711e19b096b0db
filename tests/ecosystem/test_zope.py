"""Zope, as `mkwsgiinstance` sets it up: its ini file names waitress as the server, and `runwsgi` serves."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.ecosystem.programs.commands import command, requests_session, served, url_of, write_bytes

pytestmark = [pytest.mark.ecosystem, pytest.mark.xdist_group("zope")]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    instance = tmp_path_factory.mktemp("zope") / "instance"
    subprocess.run([command("mkwsgiinstance"), "-d", instance, "-u", "admin:secret"], check=True)
    ini = instance / "etc" / "zope.ini"
    text = ini.read_text(encoding="utf-8")
    assert "use = egg:waitress#main" in text
    ini.write_text(re.sub("^port = .*", "port = 0", text, flags=re.MULTILINE), encoding="utf-8")
    with served("runwsgi", ini) as server:
        yield url_of(server)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        session.auth = ("admin", "secret")
        yield session


def test_pages_come_from_waitress(url: str, session: requests.Session) -> None:
    answer = session.get(f"{url}/")
    assert (answer.status_code, answer.headers["Server"]) == (200, "waitress")
    assert "Zope" in answer.text
    assert session.get(f"{url}/manage_main").status_code == 200
    assert session.get(f"{url}/nowhere").status_code == 404
    session.auth = None
    assert session.get(f"{url}/manage_main").status_code == 401


def test_a_file_goes_into_the_database_and_comes_back(url: str, session: requests.Session, tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", 3_000_000)
    content = (tmp_path / "file").read_bytes()
    files = {"file": ("file", content, "application/octet-stream")}
    session.post(f"{url}/manage_addProduct/OFSP/manage_addFile", data={"id": "it"}, files=files).raise_for_status()
    assert session.get(f"{url}/it").content == content
    part = session.get(f"{url}/it", headers={"Range": "bytes=1000-70000"})
    assert (part.status_code, part.content) == (206, content[1000:70001])
