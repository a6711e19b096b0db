"""Casts of settings: from the value as given (in Python, in an .ini file or on the command line) to the value as used.

Each raises ValueError or TypeError for a value that it cannot read. The table in `settings` names the cast of each.
"""

import math
import os
import re
import socket
from collections.abc import Iterable
from typing import Any

TRUE_WORDS = frozenset({"t", "true", "y", "yes", "on", "1"})
FALSE_WORDS = frozenset({"f", "false", "n", "no", "off", "0", ""})

# More processors than machines have today. Doubled: the memory that workers share is mapped for as many, 32 KiB each.
MOST_WORKERS = 500

# A text with a unit; compiled when there is one, as that takes as long as all casts. The sizes have the letters of
# nginx, which are powers of 1024 for it too.
SIZE = r"([0-9]+)([kmgKMG])(?:[iI][bB])?"
BYTES_BY_LETTER = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
DURATION = r"([0-9]+(?:\.[0-9]+)?)(ms|s|min|h|d)"
SECONDS_BY_UNIT = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}


def asbool(value: object) -> bool:
    """Return whether a word is one of t, true, y, yes, on, 1 in any case; None is false."""
    if value is None:
        return False
    return value if isinstance(value, bool) else str(value).strip().lower() in TRUE_WORDS


def as_boolean_or_text(value: object) -> bool | str:
    """Return a boolean for a word of `TRUE_WORDS` or `FALSE_WORDS` in any case, or None; otherwise the value as text.

    For settings that waitress 3.0 has not: there every word that is not true is false, also a misspelt one.
    """
    text = "" if value is None else str(value).strip()
    word = text.lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else text


def as_header_name(value: object) -> str | None:
    """Return the name of a header: `X-Request-ID` for a true word; None for a false one."""
    name = as_boolean_or_text(value)
    return name if isinstance(name, str) else "X-Request-ID" if name else None


def as_tls_context(value: object) -> Any:
    """Return an `ssl.SSLContext`, or a callable; None for what is empty."""
    if value is None or value == "":
        return None
    if not (callable(value) or hasattr(value, "wrap_bio")):  # without an import of `ssl`
        raise ValueError("an ssl.SSLContext is needed, or a callable that returns one")
    return value


def asoctal(value: object) -> int:
    """Return the number of a *string* of octal digits: `"660"` is 0o660."""
    if not isinstance(value, str):
        # An int is ambiguous: 600 may be meant as octal, or 384 written as 0o600. A guess could give wrong permissions.
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
    """Return the words of `aslist` as a set."""
    return set(aslist(value))


def as_words(value: object) -> list[str]:
    """Return the words of `aslist`, split at commas too."""
    return [word for words in aslist(value) for word in words.split(",") if word]


def as_paths(value: object) -> list[str]:
    """Return paths: a string is split on white space, of an iterable each item is one."""
    if value is None:
        return []
    if isinstance(value, str):
        return [filled_str(path) for path in value.split() or [""]]
    if isinstance(value, os.PathLike):
        return [os.fspath(value)]
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [filled_str(os.fspath(item)) for item in value]
    raise ValueError("a string or an iterable of paths is needed")


def as_path(value: object) -> str | None:
    """Return a path as a string; None for None."""
    return None if value is None else filled_str(os.fspath(value))  # type: ignore[call-overload]  # it raises on the rest


def as_filled_text(value: object) -> str | None:
    """Return the value as a string; None for None."""
    return None if value is None else filled_str(str(value))


def filled_str(text: str) -> str:
    """Return the text unless it is empty: a variable that should name a certificate, and is empty, is a mistake."""
    if not text.strip():
        raise ValueError("it is empty")
    return text


def as_word_set(value: object) -> set[str]:
    """Return the words of `as_words` as a set."""
    return set(as_words(value))


def str_iftruthy(value: object) -> str | None:
    """Return the value as a string, or None if it is empty."""
    return str(value) if value else None


def slash_fixed_str(value: object) -> str:
    """Return a path prefix: empty, or with exactly one leading slash and no trailing one."""
    stripped = str(value or "").strip().strip("/")
    return f"/{stripped}" if stripped else ""


def as_socket_list(value: object) -> list[socket.socket]:
    """Return the sockets of an iterable as a list; an empty string is an empty list."""
    if isinstance(value, str) and not value.strip():
        return []
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError("a list of sockets is needed")
    sockets = list(value)
    if not all(isinstance(item, socket.socket) for item in sockets):
        raise ValueError("a list of sockets is needed")
    return sockets


def as_address_words(value: object) -> str | None:
    """Return addresses and networks as one string, separated by spaces.

    They are given as a string (separated by spaces or commas), as an object of `ipaddress`, or as an iterable of such.
    """
    if not value:
        return None
    if hasattr(value, "max_prefixlen"):  # an object of `ipaddress`; to iterate over a network would give each address
        return str(value)
    return " ".join(as_words(value))


def as_whole_number(value: object) -> int:
    """Return an int; a float with a fraction is refused."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not a whole number")
    return int(value)  # type: ignore[call-overload,no-any-return]  # anything int() takes; it raises on the rest


def as_bytes(value: object) -> int:
    """Return a whole number of bytes: given as such, or as a text with a unit of `SIZE`: `10m`, `10MiB`."""
    match = re.fullmatch(SIZE, value.strip()) if isinstance(value, str) else None
    if match is None:
        return as_whole_number(value)
    return int(match[1]) * BYTES_BY_LETTER[match[2].lower()]


def as_worker_count(value: object) -> int:
    """Return a number of workers; for `auto`, the number that suits this machine."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        from .processors import default_worker_count  # lazy import: only servers with several workers need it

        return default_worker_count(MOST_WORKERS)
    return as_whole_number(value)


def as_lower_word(value: object) -> str:
    """Return the value as a string without blanks around it, in lower case."""
    return str(value).strip().lower()


def as_seconds(value: object) -> float:
    """Return a finite number of seconds, given as such, or as a text with a unit of `DURATION`: `2min`, `500ms`.

    It is an int if it is whole, as in waitress 3.0, otherwise a float.
    """
    match = re.fullmatch(DURATION, value.strip()) if isinstance(value, str) else None
    if match is None:
        seconds = float(value)  # type: ignore[arg-type]  # anything float() takes; it raises on the rest
    else:
        seconds = float(match[1]) * SECONDS_BY_UNIT[match[2]]
    if not math.isfinite(seconds):
        raise ValueError("not a finite number")
    return int(seconds) if seconds.is_integer() else seconds


def as_port_or_service(value: object) -> int | str:
    """Return a port number, or the name of a service; `addresses.resolve` checks the name."""
    if isinstance(value, str) and not value.strip().lstrip("+-").isdigit():
        if not value.strip():
            raise ValueError("it is empty")
        return value.strip()
    return as_whole_number(value)
