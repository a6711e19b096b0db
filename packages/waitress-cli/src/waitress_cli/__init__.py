"""The command `waitress-serve`, and what PasteDeploy calls."""

from typing import TYPE_CHECKING, Any

from .serve import profile, serve, serve_paste

if TYPE_CHECKING:
    from .command import main as main

__version__ = "1.1.0"

__all__ = ["main", "profile", "serve", "serve_paste"]


def __getattr__(name: str) -> Any:
    if name == "main":
        from .command import main  # lazy import: `import waitress` needs nothing of the command

        return main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
