"""What a program may replace, how a server notices, and what it does then.

Programs written for waitress 3.0.2 patch classes, set attributes of objects, derive classes, and rebind names of
modules. Until one does, each request takes the fast path: a task of `waitress_core`, without a channel in between. A
class that is changed while a server runs is seen by its channels, if it has any.

    what a program replaces               how it is noticed                  what changes then
    ------------------------------------  ---------------------------------  ----------------------------------------
    add_task of a server                  is_replaced, when a run starts     every request goes there, as its channel
    add_task of server.task_dispatcher    is_replaced, when a run starts     every request goes there, as its channel
    add_task of ThreadedTaskDispatcher    is_replaced, when a run starts     every request goes there, as its channel
    its other methods                     is_ours, when a server is made     the server makes a dispatcher of that class
    waitress.server.                      looked up when a server is made    the server makes a dispatcher of that class
      ThreadedTaskDispatcher
    server.task_dispatcher, _dispatcher   not the server's own, likewise     the same; a signal's end shuts it down
    channel_class of a server             are_unchanged, when a run starts   HTTPChannel.service answers each request
    any of HTTPChannel, Task, WSGITask    are_unchanged, when a run starts   HTTPChannel.service answers each request
    map, server._map, active_channels     given, or looked at                each client has a channel from then on
    HTTPChannel.received                  compared, when a channel is made   it is called first with what is received
    parser_class, HTTPRequestParser       is_ours, when a run starts         each request is parsed by it (_parsing)
    error_task_class, ErrorTask           is_ours, when a run starts         it answers faults (_parsing, task)
    add_channel, del_channel              is_ours, when a run starts         they enter a channel, and take it off
    HTTPChannel.handle_close              compared, when a channel ends      it is called, unless it was already
    TcpWSGIServer.__init__                looked up at each call             it makes each MultiSocketServer too
    waitress.server.TcpWSGIServer, ...    looked up at each call             create_server makes one of that class
    waitress.create_server                looked up at each call             waitress.serve makes its server by it
    waitress.serve                        looked up at each call             waitress.runner.run calls it
    waitress.task.hop_by_hop              call_when_rebound                  no application may send these fields
    waitress.wasyncore._DISCONNECTED      call_when_rebound                  these errors of a client are not logged
    asyncore of a server                  not noticed                        nothing but what its own `run` does
    what is left out, or has no effect    refuse_ineffective (_left_out),    NotImplementedError: nothing would call it
      (handle_read, readable ...)         when a run starts
    names that a module only imported     OldModule (_modules), at once      AttributeError: nothing uses them

A method is replaced on its class or by a subclass, and on an object where is_replaced notices it. Any other method that
a program may override (`bind`, `maintenance`, `set_socket_options` ...) is simply called.

Attributes are compared as they are in the class, by identity: one that is written in C has no `__func__` to compare.
The two that matter for each connection are compared in `channel`, which costs less.
"""

from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)

_recorded: dict[type, dict[str, object]] = {}  # the attributes of our classes, as they are defined


def replaceable(kind: Class) -> Class:
    """Record the attributes of a class, as a decorator of it: what differs from them later is a program's."""
    _recorded[kind] = dict(vars(kind))
    return kind


def is_replaced(owner: object, name: str) -> bool:
    """Return whether this method is a program's: set on the object, patched into its class, or of a subclass."""
    return name in getattr(owner, "__dict__", ()) or not is_ours(type(owner), name)


def is_ours(kind: type, name: str) -> bool:
    """Return whether objects of this class have this method from a class of ours, as it was defined."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name] is _recorded.get(base, {}).get(name)
    raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")


def own_attributes(kind: type) -> dict[str, object]:
    """Return the attributes of a class of ours, as they were defined; of another, nothing."""
    return _recorded.get(kind, {})


def are_unchanged(*kinds: Any) -> bool:
    """Return whether these are classes of ours, and no attribute of them has been replaced, added or deleted."""
    return all(isinstance(kind, type) and kind in _recorded and _recorded[kind] == dict(vars(kind)) for kind in kinds)
