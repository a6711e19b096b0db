"""A production WSGI server in pure Python, without dependencies."""

from typing import TYPE_CHECKING, Any

from waitress_cli import profile, serve_paste
from waitress_cli import serve as _serve

from .server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__version__ = "3.5.0"

__all__ = ["create_server", "profile", "serve", "serve_paste"]


def serve(app: "WSGIApplication", **settings: Any) -> None:
    """Serve the application until SIGTERM, SIGINT or Ctrl-C; the settings are those of `waitress.adjustments`.

    Gives the root logger a handler for standard error if it has none, and logs each address that is served.

    Raises:
        ValueError: the settings, or an application that is None.
        OSError: an address that cannot be had.
    """
    # Looked up in each call: programs put their own `waitress.create_server` there.
    settings.setdefault("_server", create_server)
    _serve(app, **settings)
