"""Slow readings of small grammars, byte by byte, to compare the quick ones with."""

from __future__ import annotations

from waitress_parser import BareLineBreak, ForbiddenOctet, HeadTooLarge, ProtocolError, TooManyFields

STRUCTURE = (BareLineBreak, ForbiddenOctet, TooManyFields, HeadTooLarge)  # what `first_fault` may find

DIGIT_ALPHA = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TCHARS = DIGIT_ALPHA + b"!#$%&'*+-.^_`|~"
BLANKS = b"\t "


def up_to_its_end(section: bytes) -> bytes:
    """Return a field section without what follows the empty line that ends it."""
    end = (b"\r\n" + section).find(b"\r\n\r\n")
    return section if end < 0 else section[: end + 2]


def first_fault(section: bytes, max_bytes: int, max_lines: int) -> type[ProtocolError] | None:
    """Return the first fault of structure or limits in a field section, which starts with the CRLF before it."""
    line_count = 0
    for index in range(2, len(section)):
        byte, before = section[index : index + 1], section[index - 1 : index]
        if (before == b"\r") != (byte == b"\n"):
            return BareLineBreak
        if (byte < b" " and byte not in b"\t\r\n") or byte == b"\x7f":
            return ForbiddenOctet
        if section[index - 2 : index] == b"\r\n" and byte != b"\r":
            line_count += 1
        if line_count > max_lines:
            return TooManyFields
        if index >= max_bytes:
            return HeadTooLarge
        if section[index - 3 : index + 1] == b"\r\n\r\n":
            break
    return None


def are_extensions(text: bytes) -> bool:
    """Return whether `text` is chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )."""
    position = 0

    def skip(characters: bytes) -> int:
        """Return how many of these characters come next, and skip them."""
        nonlocal position
        start = position
        while position < len(text) and text[position] in characters:
            position += 1
        return position - start

    def skip_one(character: bytes) -> bool:
        nonlocal position
        is_next = text.startswith(character, position)
        position += is_next
        return is_next

    def skip_quoted() -> bool:
        """Skip a quoted string without its first quote; return whether it ends."""
        nonlocal position
        while position < len(text):
            byte = text[position]
            position += 1
            if byte == ord('"'):
                return True
            if byte == ord("\\"):
                if position == len(text):
                    return False
                byte = text[position]
                position += 1
            if byte == 0x7F or (byte < 0x20 and byte != 0x09):
                return False
        return False

    while position < len(text):
        skip(BLANKS)
        if not skip_one(b";"):
            return False
        skip(BLANKS)
        if not skip(TCHARS):
            return False
        after_name = position
        skip(BLANKS)
        if not skip_one(b"="):
            position = after_name  # these blanks belong to the next ";"
            continue
        skip(BLANKS)
        if not (skip_quoted() if skip_one(b'"') else skip(TCHARS)):
            return False
    return True
