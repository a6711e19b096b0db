"""A WSGI server: settings, listeners, reactor, dispatcher, tasks and responses."""

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
