"""Files by WebOb's FileApp and DirectoryApp and by WhiteNoise, which hand them to the server's file wrapper."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from webob.static import DirectoryApp, FileApp

from tests.ecosystem.programs.commands import httpx_client, write_bytes
from tests.ecosystem.programs.plain import application
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SIZE = 5_000_000


def file_app(folder: Path) -> Any:
    """WebOb's application for one file."""
    return FileApp(str(folder / "file.bin"))


def directory_app(folder: Path) -> Any:
    """WebOb's application for a folder."""
    return DirectoryApp(str(folder))


def white_noise(folder: Path) -> Any:
    """WhiteNoise before another application."""
    whitenoise = pytest.importorskip("whitenoise", reason="this environment lacks WhiteNoise: `make test-ecosystem`")
    return whitenoise.WhiteNoise(application, root=str(folder))


APPLICATIONS = [file_app, directory_app, pytest.param(white_noise, marks=pytest.mark.ecosystem)]


class Watched:
    """An application; `wrapped` has for each call whether its body was the server's file wrapper."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self.wrapped: list[bool] = []

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = self._application(environ, start_response)
        self.wrapped.append(isinstance(body, environ["wsgi.file_wrapper"]))
        return body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    write_bytes(folder / "file.bin", SIZE)
    return folder


@pytest.fixture(params=APPLICATIONS)
def watched(request: pytest.FixtureRequest, folder: Path) -> Watched:
    return Watched(request.param(folder))


@pytest.fixture
def client(watched: Watched) -> Iterator[httpx.Client]:
    with running(watched) as server, httpx_client(server.url) as client:
        yield client


def test_a_file_comes_whole_by_the_file_wrapper(client: httpx.Client, watched: Watched, folder: Path) -> None:
    answer = client.get("/file.bin")
    assert answer.content == (folder / "file.bin").read_bytes()
    assert answer.headers["Content-Length"] == str(SIZE)
    assert watched.wrapped == [True]


def test_a_file_comes_in_ranges(client: httpx.Client, folder: Path) -> None:
    content = (folder / "file.bin").read_bytes()
    for asked, part in (("0-9", content[:10]), ("100-4000000", content[100:4000001]), ("4999990-", content[-10:])):
        answer = client.get("/file.bin", headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, part)
    assert client.get("/file.bin", headers={"Range": f"bytes={SIZE}-"}).status_code == 416
    assert len(client.get("/file.bin").content) == SIZE


def test_head_and_a_file_that_has_not_changed_have_no_content(client: httpx.Client) -> None:
    head = client.head("/file.bin")
    assert (head.content, head.headers["Content-Length"]) == (b"", str(SIZE))
    since = {"If-Modified-Since": head.headers["Last-Modified"]}
    same = client.get("/file.bin", headers=since)
    assert (same.status_code, same.content) == (304, b"")
    assert len(client.get("/file.bin").content) == SIZE
