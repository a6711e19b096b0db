"""Casts of settings: a value as it is given (from Python, an .ini file or the command line), as it is used.

Each raises ValueError or TypeError for what it cannot read; the setting's table (`settings`) says which one is whose.
"""

import socket
from collections.abc import Iterable

TRUE_WORDS = frozenset({"t", "true", "y", "yes", "on", "1"})


def asbool(value: object) -> bool:
    """Return the truth of a word: true iff it is one of t, true, y, yes, on, 1 in any case; None is false."""
    if value is None:
        return False
    return value if isinstance(value, bool) else str(value).strip().lower() in TRUE_WORDS


def asoctal(value: object) -> int:
    """Return the number that a *string* of octal digits stands for: `"660"` is 0o660."""
    if not isinstance(value, str):
        # The int 600 may be meant as octal or have been written as 0o600: guessing would give wrong permissions.
        raise ValueError("a string of octal digits is needed")
    return int(value, 8)


def aslist(value: object) -> list[str]:
    """Split a string on white space; flatten an iterable of such strings."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [word for item in value for word in str(item).split()]
    raise ValueError("a string or an iterable of strings is needed")


def asset(value: object) -> set[str]:
    """Split like `aslist`; each word once."""
    return set(aslist(value))


def str_iftruthy(value: object) -> str | None:
    """Return None for an empty value, else its string."""
    return str(value) if value else None


def slash_fixed_str(value: object) -> str:
    """Return a path prefix: empty, or with exactly one leading slash and no trailing one."""
    stripped = str(value or "").strip().strip("/")
    return f"/{stripped}" if stripped else ""


def as_socket_list(value: object) -> list[socket.socket]:
    """Return the sockets of an iterable; of a string only the empty one is a list of sockets."""
    if isinstance(value, str) and not value.strip():
        return []
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("a list of sockets is needed")
    sockets = list(value)
    if not all(isinstance(item, socket.socket) for item in sockets):
        raise ValueError("a list of sockets is needed")
    return sockets


def as_address_words(value: object) -> str | None:
    """Return blank-separated addresses and networks out of a string (blanks or commas) or an iterable of strings.

    Each may be an object of `ipaddress`.
    """
    if not value:
        return None
    if hasattr(value, "max_prefixlen"):  # one such object; of a network iteration would give each address
        return str(value)
    return " ".join(aslist(value.replace(",", " ") if isinstance(value, str) else value))


def as_whole_number(value: object) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)  # type: ignore[call-overload,no-any-return]  # anything int() takes; it raises on the rest


def as_port_or_service(value: object) -> int | str:
    """A number where it is one; else a service name, which resolving will accept or refuse."""
    if isinstance(value, str) and not value.strip().lstrip("+-").isdigit():
        if not value.strip():
            raise ValueError("it is empty")
        return value.strip()
    return as_whole_number(value)
