"""Checks of settings, after their cast: each returns None for an accepted value, otherwise what is accepted.

The table in `settings` names the check of each. What contradicts another setting is found in `adjustments`.
"""

from collections.abc import Callable
from typing import Any

from ..http.response_fields import HOP_BY_HOP, is_token
from .casts import MOST_WORKERS


def between(least: int, most: int) -> Callable[[Any], str | None]:
    """Return the check of a whole number."""

    def check(value: int) -> str | None:
        if least <= value <= most:
            return None
        return f"a whole number of at least {least}" + f", and at most {most}" * (value > most)

    return check


def host_fault(value: str) -> str | None:
    """Check a name or an address to listen on."""
    return None if value and "://" not in value else "an address or a name; listen takes http://HOST:PORT"


def permission_fault(value: int) -> str | None:
    """Check permissions of the unix socket."""
    return None if 0 <= value <= 0o7777 else "octal permissions between 0 and 7777"


def port_fault(value: str | int) -> str | None:
    """Check a port number; the name of a service is checked when it is looked up."""
    if isinstance(value, int) and not 0 <= value <= 65535:
        return "a port number between 0 and 65535"
    return None


def header_text_fault(value: str | None) -> str | None:
    """Check the value of a header."""
    if value is None or (value.isprintable() and value.isascii()):
        return None
    return "printable ASCII text"


def utf_8_fault(value: str) -> str | None:
    """Check a text that is encoded as UTF-8."""
    try:
        value.encode("utf-8", "surrogateescape")  # so the command line gives bytes that are not UTF-8
    except UnicodeEncodeError:
        return "text that has a form in UTF-8"
    return None


_NOT_OWN = HOP_BY_HOP | {"content-length", "content-type", "date", "host", "server", "via"}


def own_header_fault(value: str | None) -> str | None:
    """Check the name of the header for request ids."""
    if value is None or (is_token(value) and "_" not in value and value.lower() not in _NOT_OWN):
        return None
    return "true, false, or the name of a header that HTTP itself does not use, without an underscore"


LEAST_TOKEN_CHARACTERS = 16
A_TOKEN = f"{LEAST_TOKEN_CHARACTERS} or more visible ASCII characters"


def token_fault(value: str | None) -> str | None:
    """Check the token of the status server."""
    if value is None:
        return None
    if len(value) >= LEAST_TOKEN_CHARACTERS and value.isascii() and value.isprintable() and " " not in value:
        return None
    return A_TOKEN


_SCHEME_MARKS = str.maketrans("", "", "+-.")  # RFC 3986 3.1


def scheme_fault(value: str) -> str | None:
    """Check a URL scheme."""
    is_scheme = value.isascii() and value.translate(_SCHEME_MARKS).isalnum()
    return None if is_scheme else "a URL scheme, such as http or https"


def addresses_fault(value: str | None) -> str | None:
    """Check the addresses and networks of proxies."""
    import ipaddress  # lazy import: only servers behind a proxy need it

    for word in (value or "").split():
        if word in ("*", "localhost"):
            continue
        try:
            ipaddress.ip_network(word, strict=False)
        except ValueError:
            accepted = "IP addresses and CIDR networks, * for any peer, or localhost for peers on this machine"
            return f"{accepted}, not {word}"
    return None


def log_format_fault(text: str) -> str | None:
    """Check a format of the access log."""
    from .log_format import format_fault  # lazy import: only servers with a log format need it

    return format_fault(text)


LOG_SWITCH = "true or false, or the format of its lines: combined, json, or a text with {fields}"


def access_log_fault(value: bool | str) -> str | None:
    """Check what turns the access log on."""
    if isinstance(value, bool) or (fault := log_format_fault(value)) is None:
        return None
    if "{" in value:
        return f"true, false, {fault}"
    if "/" in value or "\\" in value or value.endswith(".log"):
        handler = f"logging.getLogger('waitress.access').addHandler(logging.FileHandler({value!r}))"
        return f"{LOG_SWITCH}. For a file, access_log_file of the command, or a handler of waitress.access: {handler}"
    return LOG_SWITCH


A_WORKER_COUNT = f"a whole number from 1 to {MOST_WORKERS}, or auto"


def worker_count_fault(value: int) -> str | None:
    """Check the number of workers."""
    return None if 1 <= value <= MOST_WORKERS else A_WORKER_COUNT
