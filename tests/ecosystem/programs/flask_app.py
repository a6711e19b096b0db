"""A Flask application, made by a factory.

waitress-serve --listen=127.0.0.1:0 --call flask_app:create_app
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, redirect, request, send_file, session, url_for
from werkzeug.wrappers import Response as BaseResponse

RELEASE_SECONDS = 30.0


def sha256_of(file: Any) -> tuple[int, str]:
    """Read a file in pieces; return its size and SHA-256."""
    size, digest = 0, hashlib.sha256()
    while piece := file.read(64 * 1024):
        size += len(piece)
        digest.update(piece)
    return size, digest.hexdigest()


def create_app() -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.secret_key = "for tests only"
    released = threading.Event()

    @app.get("/")
    def hello() -> str:
        return f"Hello, {request.args.get('name', 'world')}!"

    @app.get("/where")
    def where() -> dict[str, Any]:
        return {
            "hello": url_for("hello", _external=True),
            "remote_addr": request.remote_addr,
            "remote_port": request.environ["REMOTE_PORT"],
            "is_secure": request.is_secure,
        }

    @app.get("/visits")
    def visits() -> dict[str, Any]:
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"], "remote_port": request.environ["REMOTE_PORT"]}

    @app.post("/form")
    def form() -> dict[str, Any]:
        files = {}
        for name, file in request.files.items():
            size, digest = sha256_of(file.stream)
            files[name] = [file.filename, file.mimetype, size, digest]
        return {"fields": request.form.to_dict(flat=False), "files": files}

    @app.put("/upload")
    def upload() -> dict[str, Any]:
        size, digest = sha256_of(request.stream)
        return {"size": size, "sha256": digest, "content_length": request.content_length}

    @app.post("/json")
    def json_back() -> Any:
        return {"got": request.get_json()}

    @app.get("/stream")
    def stream() -> Response:
        released.clear()

        def pieces() -> Iterator[str]:
            yield "first\n"
            yield "second\n" if released.wait(RELEASE_SECONDS) else "nobody has asked for /release\n"

        return Response(pieces(), mimetype="text/plain")

    @app.post("/release")
    def release() -> tuple[str, int]:
        released.set()
        return "", 204

    @app.get("/file")
    def file() -> BaseResponse:
        return send_file(os.environ["FILE_TO_SEND"], mimetype="application/octet-stream", conditional=True)

    @app.get("/memory-file")
    def memory_file() -> BaseResponse:
        return send_file(io.BytesIO(b"0123456789" * 1000), mimetype="application/octet-stream")

    @app.get("/old")
    def old() -> BaseResponse:
        return redirect(url_for("hello", name="you"))

    return app
