"""A production WSGI server in pure Python, without dependencies.

`import waitress` imports nothing else: a program that imports it and then does not serve pays for nothing.
"""

TYPE_CHECKING = False  # type checkers take it for true; `typing` would cost more than all of this file

if TYPE_CHECKING:
    import logging as logging
    from collections.abc import Callable, Mapping
    from typing import Any

    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from waitress_cli import profile as profile
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
    from .server import create_server as create_server

__version__ = "3.6.0"

__all__ = ["create_server", "profile", "serve", "serve_paste"]

# Imported when a program asks for them. As in waitress 3.0, all are attributes after `import waitress`.
_MODULES = {
    "logging": "logging",
    **{
        name: f"waitress.{name}"
        for name in (
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
    },
}
_HOMES = {
    "Settings": ("waitress_core.config.keywords", "Settings"),  # the type of the keywords, which few programs name
    "create_server": ("waitress.server", "_create_server"),  # as in 3.0, whatever a program puts there
    "profile": ("waitress_cli", "profile"),
}


def __getattr__(name: str) -> "Any":
    if name not in _MODULES and name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys

    module, attribute = _HOMES.get(name) or (_MODULES[name], "")
    __import__(module)
    return getattr(sys.modules[module], attribute) if attribute else sys.modules[module]


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOMES})


def serve(
    app: "WSGIApplication",
    *,
    _server: "Callable[..., Any] | None" = None,
    _quiet: bool = False,
    _profile: bool = False,
    _on_serving: "Callable[[], None] | None" = None,
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
    from waitress_cli import serve as run_server

    if _server is None:
        from . import create_server  # in each call: programs put their own `waitress.create_server` there

        _server = create_server
    run_server(app, _server=_server, _quiet=_quiet, _profile=_profile, _on_serving=_on_serving, **settings)


def serve_paste(app: "WSGIApplication", global_conf: "Mapping[str, str] | None", **settings: "Any") -> int:
    """Serve the application with the settings of a section `[server:main]`, which are strings; return 0 at the end.

    PasteDeploy calls this for `use = egg:waitress`; `global_conf` is ignored. Raises: see `serve`.
    """
    serve(app, **settings)  # looked up in each call: programs put their own `waitress.serve` there
    return 0
