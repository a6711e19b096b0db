"""A WSGI server.

The way of a request through the folders: `net` accepts a client, and `connection` reads its bytes when `reactor` says
that there are some, parses them, and makes a complete request of `http` a task. `threads` runs the task on an
application thread: `wsgi` calls the application, and `http` frames its response, which `connection` sends. `config`
has the settings, `observability` what the server reports, and `lifecycle` starts, drains and ends all of it for
`server`. With several workers, `processes` forks them and watches them; `status` is what a second server shows of it.

Layers, from the ground up; a folder imports only what is before it: http, reactor, threads; config; net,
observability; connection; wsgi; lifecycle, status; processes; server.py.
"""

from .config.adjustments import Adjustments, wants_worker_processes
from .config.application import CannotStartWorker, DeferredApplication
from .config.settings import SETTINGS, Setting
from .observability.stats import ServerStats
from .server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, UnixWSGIServer, create_server
from .threads.dispatcher import Dispatcher
from .threads.pool import CannotStartThread
from .threads.tasks import Task, TaskSink

__version__ = "1.1.0"

__all__ = [
    "SETTINGS",
    "Adjustments",
    "BaseWSGIServer",
    "CannotStartThread",
    "CannotStartWorker",
    "DeferredApplication",
    "Dispatcher",
    "MultiSocketServer",
    "ServerStats",
    "Setting",
    "Task",
    "TaskSink",
    "TcpWSGIServer",
    "UnixWSGIServer",
    "create_server",
    "wants_worker_processes",
]
