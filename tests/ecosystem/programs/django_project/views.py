"""The pages of the project, and their addresses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

RELEASE_SECONDS = 30.0

_released = threading.Event()


def visits(request: Any) -> Any:
    """Count the visits of this session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "remote_port": request.META["REMOTE_PORT"]})


def upload(request: Any) -> Any:
    """Return what a form brought: its fields, and name, size and SHA-256 of each file."""
    files = {}
    for name, file in request.FILES.items():
        digest = hashlib.sha256()
        for piece in file.chunks():
            digest.update(piece)
        files[name] = [file.name, file.size, digest.hexdigest()]
    return JsonResponse({"fields": dict(request.POST.lists()), "files": files})


def stream(request: Any) -> Any:
    """Answer with a first piece; with the second once /release has been asked for."""

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        yield b"second\n" if _released.wait(RELEASE_SECONDS) else b"nobody has asked for /release\n"

    _released.clear()
    return StreamingHttpResponse(pieces(), content_type="text/plain")


def release(request: Any) -> Any:
    """Let /stream go on."""
    _released.set()
    return HttpResponse(status=204)


def file(request: Any) -> Any:
    """Return a file of the project's folder."""
    return FileResponse(Path(settings.SESSION_FILE_PATH, "download").open("rb"), filename="download.bin")


def where(request: Any) -> Any:
    """Return under which address this page was asked for."""
    return JsonResponse({"uri": request.build_absolute_uri(), "is_secure": request.is_secure()})


urlpatterns = [
    path("visits/", visits),
    path("upload/", upload),
    path("stream/", stream),
    path("release/", release),
    path("file/", file),
    path("where/<str:word>/", lambda request, word: where(request)),
]
