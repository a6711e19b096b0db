"""A production WSGI server in pure Python, without dependencies."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from waitress_cli import profile
from waitress_cli import serve as _serve
from waitress_cli import serve_paste as _serve_paste

from .server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    # For type checkers, and for programs that look into this file for what it may import: see `__getattr__`.
    from . import adjustments as adjustments
    from . import buffers as buffers
    from . import channel as channel
    from . import compat as compat
    from . import parser as parser
    from . import proxy_headers as proxy_headers
    from . import receiver as receiver
    from . import rfc7230 as rfc7230
    from . import runner as runner
    from . import server as server
    from . import task as task
    from . import trigger as trigger
    from . import utilities as utilities
    from . import wasyncore as wasyncore

__version__ = "3.6.0"

__all__ = ["create_server", "profile", "serve", "serve_paste"]

_SUBMODULES = (
    "adjustments",
    "buffers",
    "channel",
    "compat",
    "parser",
    "proxy_headers",
    "receiver",
    "rfc7230",
    "runner",
    "server",
    "task",
    "trigger",
    "utilities",
    "wasyncore",
)


def __getattr__(name: str) -> Any:
    # All of them are there after `import waitress`, as in waitress 3.0; imported when they are asked for.
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})


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


def serve_paste(app: "WSGIApplication", global_conf: Mapping[str, str] | None, **settings: Any) -> int:
    """Serve the application with the settings of a section `[server:main]`, which are strings; return 0 at the end.

    This is what PasteDeploy calls for `use = egg:waitress`; nothing is taken from `global_conf`. Raises: see `serve`.
    """
    settings.setdefault("_server", create_server)
    return _serve_paste(app, global_conf, **settings)
