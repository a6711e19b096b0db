"""Message framing: how long the body of a request is (RFC 9112 section 6.3).

The steps of the RFC, for requests, with its numbers. Where it leaves a choice, this server takes the stricter one: a
request that two recipients end at different bytes carries a second request for one of them.

    1, 2.  Responses only.
    3.     Transfer-Encoding and Content-Length, whatever their values: refused (400).
    4.     Transfer-Encoding in HTTP/1.0: refused (400).
           Exactly one `chunked`: the body is chunked. `chunked` elsewhere than last, twice, with parameters or next to
           a malformed or empty member: refused (400). Any other coding: refused (501). A value longer than
           MAX_EXAMINED_CHARACTERS: refused (400).
    5.     A Content-Length that is not 1*DIGIT: refused (400). Repeated ones never get here (fields.py).
    6.     A valid Content-Length is the length; above the limit: refused (413) before anything is read.
    7.     Neither: no body.

The method does not matter: a GET with a body has a body. Pure: strings in, a length out.
"""

from .errors import (
    BodyTooLarge,
    InvalidContentLength,
    InvalidTransferCoding,
    LengthAndTransferCoding,
    TransferCodingInHttp10,
    UnknownTransferCoding,
)
from .grammar import MAX_EXAMINED_CHARACTERS, OWS, is_digits, is_token

# No body is longer. int() is quadratic in the digits, and raises ValueError for more than 4300 of them.
_MAX_LENGTH_DIGITS = 19


def body_length(
    version: str, transfer_encoding: str | None, content_length: str | None, max_body_bytes: int
) -> int | None:
    """Return the length of the body in bytes: 0 without a body, None if it is chunked.

    `transfer_encoding` and `content_length` are the values of these fields, None if absent. Source: RFC 9112 section
    6.3. Raises LengthAndTransferCoding, TransferCodingInHttp10, InvalidTransferCoding, InvalidContentLength (400),
    UnknownTransferCoding (501) or BodyTooLarge (413).
    """
    if transfer_encoding is not None:
        if content_length is not None:
            raise LengthAndTransferCoding  # step 3
        if version == "1.0":
            raise TransferCodingInHttp10  # step 4; RFC 9112 section 6.1 calls the framing of such a message faulty
        _check_transfer_coding(transfer_encoding)
        return None
    if content_length is None:
        return 0  # step 7
    if not is_digits(content_length):
        raise InvalidContentLength  # step 5; int() would accept "+3" and "1_0" (CVE-2022-24761)
    digits = content_length.lstrip("0")
    if len(digits) > _MAX_LENGTH_DIGITS or int(digits or "0") > max_body_bytes:
        raise BodyTooLarge(max_body_bytes)
    return int(digits or "0")  # step 6


def _check_transfer_coding(value: str) -> None:
    """Raise unless `value`, all Transfer-Encoding fields joined, is exactly one `chunked` (step 4)."""
    if len(value) > MAX_EXAMINED_CHARACTERS:
        raise InvalidTransferCoding
    if value.lower() == "chunked":
        return
    codings = []
    for member in value.lower().split(","):
        coding, semicolon, _ = member.strip(OWS).partition(";")
        coding = coding.rstrip(OWS)
        if not is_token(coding) or (coding == "chunked" and semicolon):
            raise InvalidTransferCoding
        codings.append(coding)
    if "chunked" in codings[:-1] or all(coding == "chunked" for coding in codings):
        raise InvalidTransferCoding
    raise UnknownTransferCoding
