"""A production WSGI server in pure Python, without dependencies."""

import logging as logging  # as in waitress 3.0, for programs that read `waitress.logging`
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from waitress_cli import profile
from waitress_cli import serve as _serve

from .server import create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from waitress_core.config.keywords import Settings as Settings

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
    if name == "Settings":  # the type of the keywords, which few programs name
        from waitress_core.config.keywords import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})


def serve(
    app: "WSGIApplication",
    *,
    _server: Callable[..., Any] | None = None,
    _quiet: bool = False,
    _profile: bool = False,
    _on_serving: Callable[[], None] | None = None,
    **settings: "Unpack[Settings]",
) -> None:
    """Serve the application until SIGTERM, SIGINT or Ctrl-C, with the settings as keyword arguments.

    If the logger `waitress` has no handler, the root logger gets one for standard error. Each address is logged.

    Parameters with an underscore are private: `_server` makes the server, `_quiet` leaves logging alone, `_profile`
    prints a profile at the end, `_on_serving` is called when the server serves.

    Raises:
        ValueError: a setting is invalid, or the application is None.
        OSError: an address cannot be bound.
    """
    # Looked up in each call: programs put their own `waitress.create_server` there.
    make_server = create_server if _server is None else _server
    _serve(app, _server=make_server, _quiet=_quiet, _profile=_profile, _on_serving=_on_serving, **settings)


def serve_paste(app: "WSGIApplication", global_conf: Mapping[str, str] | None, **settings: Any) -> int:
    """Serve the application with the settings of a section `[server:main]`, which are strings; return 0 at the end.

    PasteDeploy calls this for `use = egg:waitress`; `global_conf` is ignored. Raises: see `serve`.
    """
    serve(app, **settings)  # looked up in each call: programs put their own `waitress.serve` there
    return 0
