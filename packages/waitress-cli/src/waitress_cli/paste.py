"""What PasteDeploy calls for `use = egg:waitress` in a section `[server:main]`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .serve import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def serve_paste(app: "WSGIApplication", global_conf: Mapping[str, str] | None, **settings: Any) -> int:
    """Serve the application with the section's settings, which are strings; return 0 at the end.

    Nothing is taken from `global_conf`, the section `[DEFAULT]`.

    Raises: see `serve`.
    """
    serve(app, **settings)
    return 0
