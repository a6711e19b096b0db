"""The grammar of HTTP/1.1 as patterns, by the names of waitress 3.0.

For programs that check tokens, quoted strings or their own header lines with it; the parser here has its own. The
names of the strings are those of RFC 9110 section 5 and RFC 9112 section 7. None of the patterns can backtrack over
more than it has just read.
"""

import re

from waitress_parser.grammar import QUOTED_STRING, TCHAR

WS = "[ \t]"
OWS = f"{WS}*"
BWS = OWS
RWS = f"{WS}+"

DIGIT = "[0-9]"
HEXDIG = "[0-9A-Fa-f]"
VCHAR = r"\x21-\x7e"  # this and the next one are for use within brackets
OBS_TEXT = r"\x80-\xff"

TOKEN = f"{TCHAR}+"

QDTEXT = rf"[\t \x21\x23-\x5b\x5d-\x7e{OBS_TEXT}]"
QUOTED_PAIR = rf"\\([\t {VCHAR}{OBS_TEXT}])"
QUOTED_PAIR_RE = re.compile(QUOTED_PAIR)
QUOTED_STRING_RE = re.compile(QUOTED_STRING)

FIELD_VCHAR = f"[{VCHAR}{OBS_TEXT}]"
FIELD_CONTENT = f"{FIELD_VCHAR}+(?:{WS}+{FIELD_VCHAR}+)*"
FIELD_VALUE = f"(?:{FIELD_CONTENT})?"
# The value may not start with a blank: otherwise a line of blanks would be tried from each of them.
HEADER_FIELD_RE = re.compile(rf"^(?P<name>{TOKEN}):{OWS}(?P<value>(?!{WS}){FIELD_VALUE}){OWS}\Z".encode("latin-1"))

CHUNK_EXT_NAME = TOKEN
CHUNK_EXT_VAL = f"{TOKEN}|{QUOTED_STRING}"
CHUNK_EXT = f"(?:;(?P<extension>{CHUNK_EXT_NAME})(?:=(?P<value>{CHUNK_EXT_VAL}))?)*"
CHUNK_EXT_RE = re.compile(rf"^{CHUNK_EXT}\Z".encode("latin-1"))

ONLY_DIGIT_RE = re.compile(rf"^{DIGIT}+\Z".encode())
ONLY_HEXDIG_RE = re.compile(rf"^{HEXDIG}+\Z".encode())

__all__ = [
    "BWS",
    "CHUNK_EXT",
    "CHUNK_EXT_NAME",
    "CHUNK_EXT_RE",
    "CHUNK_EXT_VAL",
    "DIGIT",
    "FIELD_CONTENT",
    "FIELD_VALUE",
    "FIELD_VCHAR",
    "HEADER_FIELD_RE",
    "HEXDIG",
    "OBS_TEXT",
    "ONLY_DIGIT_RE",
    "ONLY_HEXDIG_RE",
    "OWS",
    "QDTEXT",
    "QUOTED_PAIR",
    "QUOTED_PAIR_RE",
    "QUOTED_STRING",
    "QUOTED_STRING_RE",
    "RWS",
    "TCHAR",
    "TOKEN",
    "VCHAR",
    "WS",
]
