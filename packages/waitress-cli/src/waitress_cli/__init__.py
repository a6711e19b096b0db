"""The command `waitress-serve`, and what PasteDeploy calls."""

from .main import main
from .paste import serve_paste
from .serve import profile, serve

__version__ = "1.1.0"

__all__ = ["main", "profile", "serve", "serve_paste"]
