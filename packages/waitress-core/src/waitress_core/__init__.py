"""A WSGI server.

The way of a request through the folders: `net` accepts a client, and `connection` reads its bytes when `reactor` says
that there are some, parses them, and makes a complete request of `http` a task. `threads` runs the task on an
application thread: `wsgi` calls the application, and `http` frames its response, which `connection` sends. `config`
has the settings, `observability` what the server reports, and `lifecycle` starts, drains and ends all of it for
`server`.

Layers, from the ground up; a folder imports only what is before it: http, reactor, threads; config; net,
observability; connection; wsgi; lifecycle; server.py.
"""

from .config.adjustments import Adjustments
from .config.settings import SETTINGS, Setting
from .observability.stats import ServerStats
from .server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, UnixWSGIServer, create_server
from .threads.dispatcher import CannotStartThread, Dispatcher
from .threads.tasks import Task, TaskSink

__version__ = "1.1.0"

__all__ = [
    "SETTINGS",
    "Adjustments",
    "BaseWSGIServer",
    "CannotStartThread",
    "Dispatcher",
    "MultiSocketServer",
    "ServerStats",
    "Setting",
    "Task",
    "TaskSink",
    "TcpWSGIServer",
    "UnixWSGIServer",
    "create_server",
]
