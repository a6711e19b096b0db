"""What PasteDeploy calls for `use = egg:waitress` in a section `[server:main]`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .serve import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def serve_paste(app: "WSGIApplication", global_conf: Mapping[str, str] | None, **settings: Any) -> int:
    """Serve the application with the settings of the section, which are strings; return 0 at the end.

    `global_conf`, the section `[DEFAULT]`, is not used.

    Raises: see `serve`.
    """
    serve(app, **settings)
    return 0
