"""A Pyramid application, made by the factory that an ini file names: `pserve pyramid.ini`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.response import Response

RELEASE_SECONDS = 30.0

_released = threading.Event()


def hello(request: Any) -> Any:
    """Greet by the path, with the setting of the ini file."""
    return Response(text=f"{request.registry.settings['greeting']}, {request.matchdict['name']}!")


def environ(request: Any) -> Any:
    """Return what the environ has about the server and the client."""
    return {name: value for name, value in request.environ.items() if isinstance(value, str)}


def echo(request: Any) -> Any:
    """Return the body."""
    return Response(body=request.body, content_type="application/octet-stream")


def stream(request: Any) -> Any:
    """Answer with a first piece; with the second once /release has been asked for."""

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        yield b"second\n" if _released.wait(RELEASE_SECONDS) else b"nobody has asked for /release\n"

    _released.clear()
    return Response(app_iter=pieces(), content_type="text/plain")


def release(request: Any) -> Any:
    """Let /stream go on."""
    _released.set()
    return Response(status=204)


def main(global_config: dict[str, str], **settings: str) -> Any:
    """Make the application (PasteDeploy calls this)."""
    with Configurator(settings=settings) as config:
        config.add_route("hello", "/hello/{name}")
        config.add_view(hello, route_name="hello")
        config.add_route("environ", "/environ")
        config.add_view(environ, route_name="environ", renderer="json")
        config.add_route("echo", "/echo")
        config.add_view(echo, route_name="echo", request_method="POST")
        config.add_route("stream", "/stream")
        config.add_view(stream, route_name="stream")
        config.add_route("release", "/release")
        config.add_view(release, route_name="release")
        return config.make_wsgi_app()
