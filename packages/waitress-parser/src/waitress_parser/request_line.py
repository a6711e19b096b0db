"""The request line: method, request target, version.

    request-line = method SP request-target SP HTTP-version          RFC 9112 section 3
    HTTP-version = %x48.54.54.50 "/" DIGIT "." DIGIT                 "HTTP" in capitals, one digit each

Exactly that: RFC 9112 lets a recipient split at any whitespace, but two recipients that split differently see different
targets. Pure: a str in, a tuple out. target.py reads the target later, when the fields are known.
"""

import re

from .errors import (
    BadTarget,
    Http2Preface,
    MethodNotUpperCase,
    ProtocolError,
    StartLineInvalid,
    VersionNotSupported,
    unencoded,
)
from .grammar import is_token

# Methods that need no check: those of RFC 9110 section 9, and PATCH (RFC 5789). Others are checked and accepted.
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"})

# RFC 9110 section 2.5: a higher minor version is served as the highest one that the server knows.
_VERSIONS = {"HTTP/1.0": "1.0", **{f"HTTP/1.{minor}": "1.1" for minor in range(1, 10)}}

# Text, which `re` compiles for the first odd line, and keeps.
_VERSION = r"HTTP/[0-9]\.[0-9]"
_NOT_VISIBLE = "[^!-~]"
# A target with spaces in it, which is a common mistake. Spaces at its ends may belong to the line as well.
_SPACED = r"[^ ]+ ([^ ]+) .*[^ ] HTTP/[0-9]\.[0-9]"


def parse_request_line(line: str) -> tuple[str, str, str]:
    """Return (method, target, version) of a request line without its CRLF; version is "1.0" or "1.1".

    Raises StartLineInvalid, MethodNotUpperCase, BadTarget (400) or VersionNotSupported (505).
    """
    try:
        method, target, version_sent = line.split(" ")
    except ValueError:
        spaced = re.fullmatch(_SPACED, line)
        raise StartLineInvalid(unencoded(0x20, len(spaced[1])) if spaced else "") from None
    try:
        # No `get`: without the global lock CPython 3.13 takes 30 us for it when another thread has made the dict.
        version = _VERSIONS[version_sent]
    except KeyError:
        version = ""
    if method not in _KNOWN_METHODS or not version or not target:
        if not is_token(method) or not target or not re.fullmatch(_VERSION, version_sent):
            raise StartLineInvalid
        if method != method.upper():
            raise MethodNotUpperCase(method)
    # Visible ASCII and nothing else. Control characters never get here, but HTAB and obs-text do.
    if not (target.isascii() and target.isprintable()):
        odd = re.search(_NOT_VISIBLE, target)
        assert odd is not None
        error: ProtocolError = BadTarget(unencoded(ord(odd[0]), odd.start()))
    elif not version:
        is_preface = line == "PRI * HTTP/2.0"  # RFC 9113 section 3.4
        error = Http2Preface() if is_preface else VersionNotSupported(version_sent)
    else:
        return method, target, version
    error.method = method  # an answer to HEAD has no content
    raise error
