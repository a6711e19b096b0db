"""Checks of the status and headers that an application gives, before they can be sent.

Refused is what could end a line, interfere with the server's own framing, or is not latin-1. The application gets the
error from `start_response`, and the client gets a 500.
"""

from collections.abc import Set
from typing import Any

# PEP 3333: an application may not use the fields by which connections are managed (RFC 2616 13.5.1).
HOP_BY_HOP: Set[str] = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# Status as given -> as sent, for those that passed the checks. Bounded: an application may make up reason phrases.
STATUSES: dict[str, str] = {}
MAX_STATUSES = 256


class HeaderError(ValueError):
    """The application's status or header cannot be sent."""


def is_token(name: str) -> bool:
    """Whether a text is a token, as the names of fields are (RFC 9110 5.6.2)."""
    return bool(name) and _TOKEN_CHARACTERS.issuperset(name)


def checked_name(name: Any) -> str:
    """Return a header name as it is sent, with each part capitalised.

    Raises:
        AssertionError: not a str, or a hop-by-hop field (PEP 3333).
        HeaderError: not a token (RFC 9110 5.1).
    """
    if not isinstance(name, str):
        raise AssertionError(f"Header name {name!r} is not a str")
    if "\r" in name or "\n" in name:
        raise HeaderError("carriage return/line feed character present in header name")
    if not is_token(name):
        raise HeaderError(f"header name {name!r} is not a token: letters, digits and hyphens, without spaces")
    if name.lower() in HOP_BY_HOP:
        raise AssertionError(f'{name} is a "hop-by-hop" header; it cannot be used by a WSGI application (see PEP 3333)')
    return "-".join(part.capitalize() for part in name.split("-"))


def checked_value(value: Any, name: Any = "") -> str:
    """Return a header value or a status unchanged if it can be sent; `name`, the header's, is for the message.

    Raises:
        AssertionError: not a str.
        HeaderError: a control character other than HTAB, or a character outside latin-1.
    """
    of_name = f" of {name}" if name else ""
    if not isinstance(value, str):
        raise AssertionError(f"Header value {value!r}{of_name} is not a str")
    if value.isascii() and value.isprintable():
        return value
    if "\r" in value or "\n" in value:
        raise HeaderError(f"carriage return/line feed character present in header value{of_name}")
    for character in value:
        code = ord(character)
        if code > 0xFF or (code < 0x20 and code != 0x09) or code == 0x7F:
            raise HeaderError(f"character {character!r} in {value!r}{of_name} cannot be sent")
    return value


def checked_status(status: Any) -> str:
    """Return status code and reason phrase as they are sent.

    Raises:
        AssertionError: not a str.
        HeaderError: not three digits and a reason phrase, or a 1xx status, which applications must not send.
    """
    if not isinstance(status, str):
        raise AssertionError(f"status {status!r} is not a str")
    if "\r" in status or "\n" in status:
        raise HeaderError("carriage return/line feed character present in status")
    code = status[:3]
    if not (code.isdigit() and code.isascii() and len(code) == 3 and "2" <= code[0] <= "5"):
        raise HeaderError(f"status {status!r} does not start with a final status code, 200 to 599")
    if status[3:4] not in ("", " "):
        raise HeaderError(f"status {status!r} has no space after its code")
    # RFC 9112 4: the space is required even if no reason phrase follows.
    sent = checked_value(status if len(status) > 3 else f"{status} ")
    if len(STATUSES) < MAX_STATUSES:
        STATUSES[status] = sent
    return sent


def parse_content_length(value: str) -> int:
    """Return the value of an application's Content-Length as a number (RFC 9110 8.6).

    Raises:
        HeaderError: not a decimal number.
    """
    value = value.strip(" \t")  # blanks around a value are not part of it (RFC 9110 5.5)
    if not (value.isascii() and value.isdigit()):
        raise HeaderError(f"Content-Length {value!r} is not a decimal number")
    return int(value)
