"""What a program may replace, how a server notices, and what it does then.

Programs written for waitress 3.0.2 patch classes, set attributes of objects, derive classes, and rebind names of
modules. Until one does, each request takes the fast path: a task of `waitress_core`, without a channel in between.

    what a program replaces               how it is noticed                  what changes then
    ------------------------------------  ---------------------------------  ----------------------------------------
    add_task of a server                  is_replaced, when a run starts     every request goes there, as its channel
    add_task of server.task_dispatcher    is_replaced, when a run starts     every request goes there, as its channel
    add_task of ThreadedTaskDispatcher    is_replaced, when a run starts     every request goes there, as its channel
    server.task_dispatcher, _dispatcher   not the server's own, likewise     the same; a signal's end shuts it down
    channel_class of a server             are_unchanged, when a run starts   HTTPChannel.service answers each request
    any of HTTPChannel, Task, WSGITask    are_unchanged, when a run starts   HTTPChannel.service answers each request
    HTTPChannel.received                  is_replaced, when a client comes   it is called first with what is received
    HTTPChannel.handle_close              is_replaced, when a client leaves  it is called, unless it was already
    TcpWSGIServer.__init__                looked up at each call             it makes each MultiSocketServer too
    waitress.server.TcpWSGIServer, ...    looked up at each call             create_server makes one of that class
    waitress.create_server                looked up at each call             waitress.serve makes its server by it
    waitress.serve                        looked up at each call             waitress.runner.run calls it
    waitress.task.hop_by_hop              call_when_rebound                  no application may send these fields
    waitress.wasyncore._DISCONNECTED      call_when_rebound                  these errors of a client are not logged
    parser_class, error_task_class        not noticed                        nothing: these are there to be read
    asyncore of a server                  not noticed                        nothing but what its own `run` does

A method is replaced on an object, on its class or by a subclass. Any other method that a program may override (`bind`,
`maintenance`, `set_socket_options` ...) is simply called.

Attributes are compared as they are in the class, by identity: a compiled method has no `__func__` to compare.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)

_recorded: dict[type, dict[str, object]] = {}  # the attributes of our classes, as they are defined
_calls: dict[tuple[str, str], Callable[[Any], object]] = {}  # by the name of a module and a name in it


def replaceable(kind: Class) -> Class:
    """Record the attributes of a class, as a decorator of it: what differs from them later is a program's."""
    _recorded[kind] = dict(vars(kind))
    return kind


def is_replaced(owner: object, name: str) -> bool:
    """Return whether this method is a program's: set on the object, patched into its class, or of a subclass."""
    if name in getattr(owner, "__dict__", ()):
        return True
    for kind in type(owner).__mro__:
        if name in kind.__dict__:
            return kind.__dict__[name] is not _recorded.get(kind, {}).get(name)
    raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")


def are_unchanged(*kinds: Any) -> bool:
    """Return whether these are classes of ours, and no attribute of them has been replaced, added or deleted."""
    return all(isinstance(kind, type) and kind in _recorded and _recorded[kind] == dict(vars(kind)) for kind in kinds)


def call_when_rebound(module: str, name: str, call: Callable[[Any], object]) -> None:
    """Call `call` with each value that a program binds to a global name of a module."""
    _calls[module, name] = call
    sys.modules[module].__class__ = _WatchedModule


class _WatchedModule(ModuleType):
    """A module that notices when a name in it is bound."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        call = _calls.get((self.__name__, name))
        if call is not None:
            call(value)
