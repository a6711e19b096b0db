"""A WSGI server: settings, listeners, reactor, dispatcher, tasks and responses."""

from .adjustments import Adjustments
from .dispatcher import CannotStartThread, Dispatcher, Task, TaskSink
from .server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, UnixWSGIServer, create_server
from .settings import SETTINGS, Setting
from .stats import ServerStats

__version__ = "1.0.0"

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
