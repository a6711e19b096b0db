"""The modules of waitress 3.0 as modules: names that one of them only imported, and names that a program rebinds.

Each module of 3.0 calls `old_module` once. What it had only because it imported it can then be imported from it, and is
looked for when it is asked for; rebinding such a name raises an error, because nothing here would notice.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

# Where such a name is at home: its module, or the module and its name there. Any other is a module with that name.
_HOMES = {
    "BytesIO": "io:BytesIO",
    "OverflowableBuffer": "waitress.buffers:OverflowableBuffer",
    "ReadOnlyFileBasedBuffer": "waitress.buffers:ReadOnlyFileBasedBuffer",
    "IPPROTO_IPV6": "waitress.compat:IPPROTO_IPV6",
    "IPV6_V6ONLY": "waitress.compat:IPV6_V6ONLY",
    "HTTPRequestParser": "waitress.parser:HTTPRequestParser",
    "proxy_headers_middleware": "waitress.proxy_headers:proxy_headers_middleware",
    "ChunkedReceiver": "waitress.receiver:ChunkedReceiver",
    "FixedStreamReceiver": "waitress.receiver:FixedStreamReceiver",
    "CHUNK_EXT_RE": "waitress.rfc7230:CHUNK_EXT_RE",
    "ONLY_DIGIT_RE": "waitress.rfc7230:ONLY_DIGIT_RE",
    "ONLY_HEXDIG_RE": "waitress.rfc7230:ONLY_HEXDIG_RE",
    "Adjustments": "waitress.adjustments:Adjustments",
    "ThreadedTaskDispatcher": "waitress.task:ThreadedTaskDispatcher",
    "serve": "waitress:serve",
    "utilities": "waitress.utilities",
    "wasyncore": "waitress.wasyncore",
    "deque": "collections:deque",
    "namedtuple": "collections:namedtuple",
    "parse": "urllib.parse",
    "unquote_to_bytes": "urllib.parse:unquote_to_bytes",
    **{
        name: f"waitress.utilities:{name}"
        for name in (
            "BadRequest",
            "InternalServerError",
            "RequestEntityTooLarge",
            "RequestHeaderFieldsTooLarge",
            "ServerNotImplemented",
            "build_http_date",
            "cleanup_unix_socket",
            "find_double_newline",
            "logger",
            "undquote",
        )
    },
    **{
        name: f"errno:{name}"
        for name in (
            "EAGAIN",
            "EBADF",
            "ECONNABORTED",
            "ECONNRESET",
            "EINTR",
            "ENOTCONN",
            "EPIPE",
            "ESHUTDOWN",
            "EWOULDBLOCK",
        )
    },
    **{
        name: f"waitress._relics:{name}"
        for name in (
            "Forwarded",
            "concat",
            "daymap",
            "group",
            "hms_reg",
            "join",
            "long_day_reg",
            "long_days",
            "monmap",
            "monthname",
            "months",
            "months_reg",
            "rename_headers",
            "rfc822_date",
            "rfc822_reg",
            "rfc850_date",
            "rfc850_reg",
            "short_day_reg",
            "short_days",
            "unpack_rfc822",
            "unpack_rfc850",
            "weekdayname",
        )
    },
}

_imported: dict[str, frozenset[str]] = {}  # the names, by module
_made: dict[tuple[str, str], Callable[[], Any]] = {}  # what makes a value, by the name of a module and a name in it
_calls: dict[tuple[str, str], Callable[[Any], object]] = {}  # by the name of a module and a name in it


class OldModule(ModuleType):
    """A module of waitress 3.0."""

    def __getattr__(self, name: str) -> Any:
        make = _made.get((self.__name__, name))
        if make is not None:
            return make()
        if name not in _imported.get(self.__name__, ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from importlib import import_module  # lazy import: few programs read such a name

        module, _, attribute = _HOMES.get(name, name).partition(":")
        found = import_module(module)
        return getattr(found, attribute) if attribute else found

    def __setattr__(self, name: str, value: Any) -> None:
        call = _calls.get((self.__name__, name))
        if call is None and name in _imported.get(self.__name__, ()) and name not in vars(self):
            home = _HOMES.get(name, name).replace(":", ".")
            raise AttributeError(
                f"{self.__name__}.{name} can be read, but not replaced: nothing in waitress uses this name, which is "
                f"{home} (see `The names of waitress 3.0.2` in the documentation)"
            )
        super().__setattr__(name, value)
        if call is not None:
            call(value)

    def __dir__(self) -> list[str]:
        made = {name for module, name in _made if module == self.__name__}
        return sorted({*super().__dir__(), *_imported.get(self.__name__, ()), *made})


def old_module(module: str, names: str, **made: Callable[[], Any]) -> None:
    """Offer names, separated by blanks, that a module of 3.0 had imported, and values that are made when asked for."""
    _imported[module] = frozenset(names.split())
    _made.update({(module, name): make for name, make in made.items()})
    sys.modules[module].__class__ = OldModule


def call_when_rebound(module: str, name: str, call: Callable[[Any], object]) -> None:
    """Call `call` with each value that a program binds to a global name of a module."""
    _calls[module, name] = call
    sys.modules[module].__class__ = OldModule
