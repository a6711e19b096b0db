"""A Falcon application that gives files: `waitress-serve --listen=127.0.0.1:0 falcon_app:application`.

FOLDER is where they are: each under /static/, by Falcon itself, and the one named `large` as /stream, by a resource.
"""

from __future__ import annotations

import os
from pathlib import Path

import falcon

FOLDER = Path(os.environ["FOLDER"])


class Streamed:
    """A file that Falcon hands to the server's file wrapper."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Return the file, from an open file and a length."""
        path = FOLDER / "large"
        response.content_type = "application/octet-stream"
        response.set_stream(path.open("rb"), path.stat().st_size)


class Media:
    """JSON in, JSON out."""

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Return what was posted."""
        response.media = {"got": request.get_media()}


application = falcon.App()
application.add_static_route("/static", str(FOLDER))
application.add_route("/stream", Streamed())
application.add_route("/media", Media())
