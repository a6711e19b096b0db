"""Bad input of every kind: malformed requests, settings that do not fit, ports in use, applications that misbehave.

The table of malformed requests follows sections A to F of the checklist that RFC 9112 amounts to. Each is answered
once, with one of its statuses and `Connection: close`; no application ever sees it or what follows it.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import Recorder, errors_in, get
from tests.support.client import Client, Response
from tests.support.platforms import unix_socket
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from waitress_core import Adjustments, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# --- malformed requests

NEVER = b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n"
MAX_BODY = 1000
MAX_HEAD = 100_000


def head(*lines: str) -> bytes:
    """Write lines and the empty one that ends a head."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def line(request_line: str) -> bytes:
    """Write a head with this request line."""
    return head(request_line, "Host: localhost")


def target(text: str, method: str = "GET") -> bytes:
    """Write a head with this request target."""
    return line(f"{method} {text} HTTP/1.1")


def version(text: str) -> bytes:
    """Write a head with this version."""
    return line(f"GET / {text}")


def host(text: str) -> bytes:
    """Write a head with this Host."""
    return head("GET / HTTP/1.1", f"Host:{text}")


def fields(*lines: str) -> bytes:
    """Write a head with these lines after Host."""
    return head("GET / HTTP/1.1", "Host: localhost", *lines)


def length(*values: str, body: bytes = b"hello") -> bytes:
    """Write a POST with a Content-Length field for each value."""
    return head("POST / HTTP/1.1", "Host: localhost", *(f"Content-Length:{value}" for value in values)) + body


def coding(*values: str, version: str = "1.1", more: tuple[str, ...] = ()) -> bytes:
    """Write a POST with a chunked body and a Transfer-Encoding field for each value."""
    codings = [f"Transfer-Encoding:{value}" for value in values]
    return head(f"POST / HTTP/{version}", "Host: localhost", *codings, *more) + b"5\r\nhello\r\n0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    """Write a POST with this for its chunked body."""
    return head("POST / HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked") + body


TLS_HELLO = bytes.fromhex("16030100c6010000c203036b3d") + bytes(range(200))
CONTROLS = (0, 1, 8, 11, 12, 14, 27, 31, 127)
UNFOLDABLE = (
    "Host: localhost",
    "Content-Length: 0",
    "Content-Type: text/plain",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Expect: 100-continue",
    "Authorization: Basic eDp5",
    "Forwarded: for=192.0.2.1",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: example.com",
    "X-Forwarded-Port: 443",
    "X-Forwarded-By: 192.0.2.1",
)

Row = tuple[str, bytes, set[int]]


def rows(section: str, statuses: set[int], **requests: bytes) -> list[Row]:
    """Make rows of the table, all with these statuses."""
    return [(f"{section}-{name.replace('_', '-')}", request, statuses) for name, request in requests.items()]


BAD = {400}

MALFORMED: list[Row] = [
    # A1: only CRLF ends a line
    *rows(
        "A1",
        BAD,
        lf_ends_request_line=b"GET / HTTP/1.1\nHost: localhost\r\n\r\n",
        lf_ends_every_line=b"GET / HTTP/1.1\nHost: localhost\n\n",
        lf_in_target=b"GET /a\nb HTTP/1.1\r\nHost: localhost\r\n\r\n",
        lf_before_request_line=b"\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        lf_ends_field=b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\nY: b\r\n\r\n",
        lf_for_the_empty_line=b"GET / HTTP/1.1\r\nHost: localhost\r\n\n",
        lf_begins_field=b"GET / HTTP/1.1\r\n\nHost: localhost\r\n\r\n",
        cr_ends_request_line=b"GET / HTTP/1.1\rHost: localhost\r\n\r\n",
        cr_ends_field=b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n",
        cr_doubled=b"GET / HTTP/1.1\r\nHost: localhost\r\r\n\r\n",
        cr_in_name=b"GET / HTTP/1.1\r\nHost: localhost\r\nX\r: a\r\n\r\n",
        cr_alone_begins_field=b"GET / HTTP/1.1\r\nHost: localhost\r\n\rX: a\r\n\r\n",
        cr_in_host=b"GET / HTTP/1.1\r\nHost: local\rhost\r\n\r\n",
        lf_cr=b"GET / HTTP/1.1\n\rHost: localhost\n\r\n\r",
        lf_ends_chunk_size=chunked(b"5\nhello\r\n0\r\n\r\n"),
        lf_before_crlf_of_chunk_size=chunked(b"5\n\r\nhello\r\n0\r\n\r\n"),
        lf_ends_chunk_extension=chunked(b"5;a=b\nhello\r\n0\r\n\r\n"),
        lf_ends_chunk_data=chunked(b"5\r\nhello\n0\r\n\r\n"),
        lf_ends_last_chunk=chunked(b"0\n\r\n"),
        lf_ends_trailer=chunked(b"0\r\nX: a\n\r\n"),
        lf_ends_trailer_section=chunked(b"0\r\nX: a\r\n\n"),
        cr_ends_chunk_size=chunked(b"5\rhello\r\n0\r\n\r\n"),
        cr_ends_chunk_data=chunked(b"5\r\nhello\r0\r\n\r\n"),
        cr_in_chunk_extension=chunked(b"5;a=b\rc\r\nhello\r\n0\r\n\r\n"),
        cr_in_trailer=chunked(b"0\r\nX: a\rb\r\n\r\n"),
    ),
    # A2: one empty line may stand before the request line, not more, and nothing else
    *rows(
        "A2",
        BAD,
        two_empty_lines=b"\r\n\r\n" + line("GET / HTTP/1.1"),
        many_empty_lines=b"\r\n" * 100 + line("GET / HTTP/1.1"),
        blank=b" " + line("GET / HTTP/1.1"),
        tab=b"\t" + line("GET / HTTP/1.1"),
        blank_line_of_blanks=b"  \r\n" + line("GET / HTTP/1.1"),
        vertical_tab=b"\x0b" + line("GET / HTTP/1.1"),
        nul=b"\0" + line("GET / HTTP/1.1"),
        byte_order_mark=b"\xef\xbb\xbf" + line("GET / HTTP/1.1"),
    ),
    # A3: method SP target SP version
    *rows(
        "A3",
        BAD,
        two_blanks_after_method=line("GET  / HTTP/1.1"),
        two_blanks_after_target=line("GET /  HTTP/1.1"),
        blank_at_end=line("GET / HTTP/1.1 "),
        tab_at_end=line("GET / HTTP/1.1\t"),
        tabs_for_blanks=line("GET\t/\tHTTP/1.1"),
        tab_before_version=line("GET /\tHTTP/1.1"),
        form_feed_for_blank=line("GET\x0c/\x0cHTTP/1.1"),
        no_break_space_for_blank=line("GET\xa0/\xa0HTTP/1.1"),
        blank_in_target=line("GET /a b HTTP/1.1"),
        four_words=line("GET / HTTP/1.1 HTTP/1.1"),
        no_target=line("GET HTTP/1.1"),
        empty_target=line("GET  HTTP/1.1"),
        no_method=line("/ HTTP/1.1"),
        empty_method=line(" / HTTP/1.1"),
        method_alone=line("GET"),
        no_version=line("GET /"),
        no_version_but_blank=line("GET / "),
        no_blanks=line("GET/HTTP/1.1"),
        field_for_request_line=head("Host: localhost"),
    ),
    # A4: the method is a token in upper case
    *rows(
        "A4",
        BAD,
        lower_case=line("get / HTTP/1.1"),
        mixed_case=line("Get / HTTP/1.1"),
        last_letter_lower=line("GEt / HTTP/1.1"),
        parenthesis=line("GE(T / HTTP/1.1"),
        colon=line("GET: / HTTP/1.1"),
        slash=line("GE/T / HTTP/1.1"),
        comma=line("GET,POST / HTTP/1.1"),
        quote=line('"GET" / HTTP/1.1'),
        brace=line("{GET} / HTTP/1.1"),
        equals=line("GET=1 / HTTP/1.1"),
        nul=line("G\0ET / HTTP/1.1"),
        del_octet=line("GET\x7f / HTTP/1.1"),
        latin_1=line("G\xc9T / HTTP/1.1"),
    ),
    # A5: the target is visible ASCII
    *((f"A5-octet-{octet:02x}", target(f"/a{chr(octet)}b"), BAD) for octet in (*CONTROLS, 9, 0x80, 0xA0, 0xE9, 0xFF)),
    *((f"A5-octet-{octet:02x}-in-query", target(f"/?a{chr(octet)}b"), BAD) for octet in (0, 9, 127, 0xE9)),
    *((f"A5-octet-{octet:02x}-absolute", target(f"http://localhost/{chr(octet)}"), BAD) for octet in (0, 9, 0xE9)),
    *rows("A5", BAD, utf_8=target("/\xc3\xa9"), utf_8_after_two_slashes=target("//\xc3\xa9")),
    # A6: the version
    *(
        (f"A6-{name}", version(text), BAD)
        for name, text in {
            "lower-case": "http/1.1",
            "mixed-case": "Http/1.1",
            "no-minor": "HTTP/1",
            "empty-minor": "HTTP/1.",
            "empty-major": "HTTP/.1",
            "two-digits-minor": "HTTP/1.10",
            "two-digits-major": "HTTP/11.1",
            "leading-zero": "HTTP/01.1",
            "three-parts": "HTTP/1.1.1",
            "comma": "HTTP/1,1",
            "sign": "HTTP/+1.1",
            "letters": "HTTP/x.y",
            "hexadecimal": "HTTP/1.a",
            "no-name": "1.1",
            "another-name": "FTP/1.1",
            "longer-name": "HTTPS/1.1",
            "no-slash": "HTTP1.1",
            "blank-before-slash": "HTTP /1.1",
            "blank-after-slash": "HTTP/ 1.1",
            "glued": "HTTP/1.1x",
            "nul": "HTTP/1.1\0",
            "arabic-digit": "HTTP/1.\xd9\xa1",
            "superscript": "HTTP/1.\xb9",
        }.items()
    ),
    *((f"A6-major-{text}", version(f"HTTP/{text}"), {505}) for text in ("2.0", "2.1", "3.0", "9.9")),
    *((f"A6-major-{text}", version(f"HTTP/{text}"), {400, 505}) for text in ("0.9", "0.0")),
    # A7: what is no HTTP/1 at all
    *rows(
        "A7",
        {400, 505},
        tls=TLS_HELLO,
        tls_without_line_ends=TLS_HELLO.replace(b"\n", b"").replace(b"\r", b""),
        http_2=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        ssh=b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        proxy_protocol=b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n" + line("GET / HTTP/1.1"),
        proxy_protocol_2=b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
        response=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        nuls=bytes(100) + b"\r\n\r\n",
        all_octets=bytes(range(256)) + b"\r\n\r\n",
        high_octets=b"\xff" * 100 + b"\r\n\r\n",
        one_character=b"x\r\n\r\n",
        smtp=b"EHLO localhost\r\n\r\n",
        socks=b"\x05\x01\x00",
    ),
    # B1: the forms of the target
    *rows(
        "B1",
        BAD,
        asterisk_with_get=target("*"),
        asterisk_and_more=target("*/a", "OPTIONS"),
        authority_with_get=target("localhost:80"),
        relative=target("index.html"),
        relative_with_dot=target("./x"),
        query_alone=target("?a=b"),
        fragment_alone=target("#a"),
        host_and_path=target("localhost/x"),
        backslash=target("\\x"),
        absolute_without_authority=target("http:///x"),
        absolute_with_userinfo=target("http://user@localhost/"),
        absolute_with_password=target("http://user:word@localhost/"),
        absolute_with_bad_port=target("http://localhost:abc/"),
        absolute_with_open_bracket=target("http://[::1/x"),
        absolute_with_closed_bracket=target("http://::1]/x"),
        absolute_with_empty_brackets=target("http://[]/x"),
        absolute_without_slashes=target("http:localhost"),
        absolute_with_one_slash=target("http:/localhost"),
        absolute_without_scheme=target("://localhost/"),
        absolute_with_comma=target("http://a,b/"),
    ),
    *rows(
        "B1",
        {501},
        connect=head("CONNECT localhost:80 HTTP/1.1", "Host: localhost:80"),
        connect_with_length=head("CONNECT localhost:80 HTTP/1.1", "Host: localhost:80", "Content-Length: 0"),
        connect_in_http10=head("CONNECT localhost:80 HTTP/1.0", "Host: localhost:80"),
    ),
    *rows(
        "B1",
        {400, 501},
        connect_with_path=target("/", "CONNECT"),
        connect_with_absolute_form=target("http://localhost/", "CONNECT"),
        connect_without_port=target("localhost", "CONNECT"),
    ),
    # B2, B3: Host
    *rows(
        "B2",
        BAD,
        no_host=head("GET / HTTP/1.1"),
        no_host_but_others=head("GET / HTTP/1.1", "Accept: */*", "Hosts: localhost"),
        no_host_in_http12=head("GET / HTTP/1.2", "Accept: */*"),
        no_host_but_absolute_form=head("GET http://localhost/ HTTP/1.1"),
        two_equal=fields("Host: localhost"),
        two_different=fields("Host: example.com"),
        two_in_other_case=fields("HOST: localhost"),
        two_far_apart=fields("X: y", "Accept: */*", "hOsT: localhost"),
        three=fields("Host: localhost", "Host: localhost"),
        two_one_empty=fields("Host:"),
        two_in_http10=head("GET / HTTP/1.0", "Host: localhost", "Host: localhost"),
        two_with_absolute_form=head("GET http://localhost/ HTTP/1.1", "Host: localhost", "Host: localhost"),
    ),
    *(
        (f"B3-{name}", host(text), BAD)
        for name, text in {
            "userinfo": "user@localhost",
            "password": "user:word@localhost",
            "path": "localhost/path",
            "query": "localhost?query",
            "fragment": "localhost#fragment",
            "blank": "local host",
            "tab": "local\thost",
            "comma": "localhost,example.com",
            "comma-and-blank": "localhost, example.com",
            "port-of-letters": "localhost:http",
            "port-negative": "localhost:-1",
            "port-signed": "localhost:+80",
            "port-twice": "localhost:80:80",
            "port-and-blank": "localhost:8 0",
            "open-bracket": "[::1",
            "closed-bracket": "::1]",
            "no-brackets": "::1",
            "empty-brackets": "[]",
            "brackets-of-letters": "[zz]",
            "after-brackets": "[::1]x",
            "before-brackets": "x[::1]",
            "brackets-of-ipv4": "[127.0.0.1]",
            "too-many-groups": "[1:2:3:4:5:6:7:8:9]",
            "two-elisions": "[1::2::3]",
            "latin-1": "loc\xe4lhost",
            "utf-8": "loc\xc3\xa4lhost",
            "url": "http://localhost",
            "backslash": "local\\host",
            "angle-brackets": "<localhost>",
            "quote": '"localhost"',
            "pipe": "local|host",
            "bad-percent": "local%zzhost",
            "percent-at-end": "localhost%",
            "nul": "local\0host",
            "vertical-tab": "localhost\x0b",
            "no-break-space": "\xa0localhost",
        }.items()
    ),
    *rows("B3", BAD, bad_in_http10=head("GET / HTTP/1.0", "Host: local host")),
    # C1: the name of a field
    *(
        (f"C1-{name}", fields(text), BAD)
        for name, text in {
            "blank-before-colon": "X : y",
            "tab-before-colon": "X\t: y",
            "blank-before-colon-of-length": "Content-Length : 0",
            "blank-before-colon-of-coding": "Transfer-Encoding : chunked",
            "empty": ": y",
            "no-colon": "X",
            "no-colon-but-equals": "X=y",
            "blank-inside": "X Y: z",
            "nul": "X\0: y",
            "control": "X\x01: y",
            "vertical-tab": "X\x0b: y",
            "del-octet": "X\x7f: y",
            "latin-1": "X\xe9: y",
            "utf-8": "X\xc3\xa9: y",
            "no-break-space": "X\xa0: y",
            "parenthesis": "X(y): z",
            "brackets": "X[]: y",
            "slash": "X/Y: z",
            "at-sign": "X@: y",
            "quote": '"X": y',
            "comma": "X,Y: z",
            "semicolon": "X;Y: z",
            "equals": "X=Y: z",
            "question-mark": "X?: y",
            "backslash": "X\\: y",
            "braces": "{X}: y",
        }.items()
    ),
    ("C1-blank-before-colon-of-host", head("GET / HTTP/1.1", "Host : localhost"), BAD),
    # C2: the value of a field
    *((f"C2-octet-{octet:02x}", fields(f"X: a{chr(octet)}b"), BAD) for octet in CONTROLS),
    *((f"C2-octet-{octet:02x}-at-end", fields(f"X: a{chr(octet)}"), BAD) for octet in CONTROLS),
    *((f"C2-octet-{octet:02x}-at-begin", fields(f"X:{chr(octet)}a"), BAD) for octet in CONTROLS),
    ("C2-hundred-thousand-characters-and-a-control", fields(f"X: {'x' * 90_000}\x10"), BAD),
    ("C2-many-words-and-a-control", fields(f"X: {'x ' * 40_000}\x10"), BAD),
    # C3: continuation lines
    *rows(
        "C3",
        BAD,
        blank_before_first_field=head("GET / HTTP/1.1", " Host: localhost"),
        tab_before_first_field=head("GET / HTTP/1.1", "\tHost: localhost"),
        blank_before_another_first_field=head("GET / HTTP/1.1", " X: y", "Host: localhost"),
        line_of_blanks_first=head("GET / HTTP/1.1", "  ", "Host: localhost"),
    ),
    *(
        (
            f"C3-folded-{text.partition(':')[0].lower()}",
            # Host stands first: a fold of another field must not pass for a missing one
            head("GET / HTTP/1.1", *(["Host: localhost"] if not text.startswith("Host") else []), text, " x"),
            BAD,
        )
        for text in UNFOLDABLE
    ),
    ("C3-folded-host-before-its-value", head("GET / HTTP/1.1", "Host:", " localhost"), BAD),
    ("C3-folded-length-before-its-value", fields("Content-Length:", " 0"), BAD),
    ("C3-folded-coding-before-its-value", fields("Transfer-Encoding:", "\tchunked"), BAD),
    ("C3-folded-coding-of-nothing", fields("Transfer-Encoding: chunked", " "), BAD),
    # C4: fields that come once
    *rows(
        "C4",
        BAD,
        two_types=fields("Content-Type: text/plain", "Content-Type: text/html"),
        two_equal_types=fields("Content-Type: text/plain", "content-type: text/plain"),
    ),
    # C6: limits
    ("C6-long-target", target(f"/{'a' * 70_000}"), {414}),
    ("C6-long-query", target(f"/?{'a' * 70_000}"), {414}),
    ("C6-long-head", fields(f"X: {'a' * MAX_HEAD}"), {431}),
    ("C6-long-name", fields(f"{'X' * MAX_HEAD}: a"), {431}),
    ("C6-long-head-of-short-fields", fields(*(f"X-{number}: {'a' * 90}" for number in range(1000))), {431}),
    ("C6-many-fields", fields(*(f"X-{number}: a" for number in range(5000))), {431}),
    ("C6-many-folds", fields("X: a", *([" a"] * 40_000)), {431}),
    # D1: Content-Length
    *(
        (f"D1-{name}", length(text), BAD)
        for name, text in {
            "plus": "+5",
            "minus": "-5",
            "minus-nothing": "-0",
            "empty": "",
            "blanks": "  ",
            "list": "5,5",
            "list-with-blank": "5, 5",
            "list-of-two-lengths": "5, 6",
            "comma-at-end": "5,",
            "hexadecimal": "0x5",
            "octal": "0o5",
            "hex-digit": "a",
            "fraction": "5.0",
            "exponent": "5e0",
            "underscore": "1_0",
            "blank-inside": "1 0",
            "semicolon": "5;",
            "quoted": '"5"',
            "word": "five",
            "arabic-digit": "\xd9\xa5",
            "superscript": "\xb2",
            "fullwidth-digit": "\xef\xbc\x95",
            "vertical-tab": "5\x0b",
            "form-feed": "\x0c5",
            "no-break-space": "\xa05",
            "next-line": "5\x85",
            "nul": "5\0",
            "infinity": "inf",
        }.items()
    ),
    *rows(
        "D1",
        BAD,
        two_equal=length("5", "5"),
        two_different=length("5", "6"),
        two_one_empty=length("5", ""),
        two_one_bad=length("x", "5"),
        two_in_other_case=head("POST / HTTP/1.1", "Host: localhost", "Content-Length: 5", "CONTENT-LENGTH: 5")
        + b"hello",
        two_in_http10=head("POST / HTTP/1.0", "Content-Length: 5", "Content-Length: 5") + b"hello",
        bad_with_get=fields("Content-Length: x"),
    ),
    *rows(
        "D1",
        {413},
        one_too_many=length(str(MAX_BODY + 1)),
        two_gibibytes=length(str(2**31)),
        beyond_64_bits=length(str(2**64 + 5)),
        hundred_digits=length("9" * 100),
        five_thousand_digits=length("9" * 5000),
        with_expect=head(
            "POST / HTTP/1.1", "Host: localhost", f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue"
        ),
        in_http10=head("POST / HTTP/1.0", f"Content-Length: {MAX_BODY + 1}"),
        with_get=fields(f"Content-Length: {MAX_BODY + 1}"),
    ),
    # D2: Transfer-Encoding
    *(
        (f"D2-{name}", coding(text), {501})
        for name, text in {
            "gzip": "gzip",
            "deflate": "deflate",
            "identity": "identity",
            "unknown": "cow",
            "longer": "chunkedx",
            "shorter": "chunke",
            "prefixed": "x-chunked",
            "gzip-then-chunked": "gzip, chunked",
            "unknown-then-chunked": "cow,chunked",
        }.items()
    ),
    *rows("D2", {501}, gzip_then_chunked_in_two_fields=coding("gzip", "chunked")),
    *(
        (f"D2-{name}", coding(text), BAD)
        for name, text in {
            "empty": "",
            "blanks": "   ",
            "twice": "chunked, chunked",
            "twice-in-other-case": "chunked, CHUNKED",
            "comma-after": "chunked,",
            "comma-before": ",chunked",
            "commas": ",",
            "parameter": "chunked;q=1",
            "semicolon": "chunked;",
            "quoted": '"chunked"',
            "blank-inside": "chun ked",
            "two-words": "chunked foo",
            "vertical-tab-before": "\x0bchunked",
            "vertical-tab-after": "chunked\x0b",
            "form-feed": "\x0cchunked",
            "next-line": "\x85chunked",
            "no-break-space": "\xa0chunked",
            "nul": "chunked\0",
            "brackets": "[chunked]",
            "colon": ":chunked",
            "equals": "=chunked",
        }.items()
    ),
    *rows("D2", BAD, two_fields=coding("chunked", "chunked"), two_fields_one_empty=coding("chunked", "")),
    *(
        (f"D2-{name}", coding(*values), {400, 501})
        for name, values in {
            "chunked-then-gzip": ("chunked, gzip",),
            "chunked-then-identity": ("chunked, identity",),
            "chunked-then-gzip-in-two-fields": ("chunked", "gzip"),
            "chunked-then-unknown-in-two-fields": ("chunked", "cow"),
            "chunked-in-the-middle": ("gzip, chunked, gzip",),
        }.items()
    ),
    # D3: both lengths
    *rows(
        "D3",
        BAD,
        both=coding("chunked", more=("Content-Length: 5",)),
        both_and_length_zero=coding("chunked", more=("Content-Length: 0",)),
        both_and_length_of_the_chunks=coding("chunked", more=("Content-Length: 15",)),
        both_and_length_bad=coding("chunked", more=("Content-Length: x",)),
        both_and_length_empty=coding("chunked", more=("Content-Length:",)),
        both_and_length_first=head(
            "POST / HTTP/1.1", "Host: localhost", "Content-Length: 5", "Transfer-Encoding: chunked"
        )
        + b"0\r\n\r\n",
        both_and_coding_unknown=coding("gzip", more=("Content-Length: 5",)),
        both_and_coding_identity=coding("identity", more=("Content-Length: 5",)),
        both_and_coding_empty=coding("", more=("Content-Length: 5",)),
        both_and_two_lengths=coding("chunked", more=("Content-Length: 5", "Content-Length: 5")),
        both_in_http10=coding("chunked", version="1.0", more=("Content-Length: 5",)),
    ),
    # D4: Transfer-Encoding in HTTP/1.0
    *rows(
        "D4",
        BAD,
        chunked=coding("chunked", version="1.0"),
        chunked_and_keep_alive=coding("chunked", version="1.0", more=("Connection: keep-alive",)),
        identity=coding("identity", version="1.0"),
    ),
    # E1: the size of a chunk
    *(
        (f"E1-{name}", chunked(text.encode("latin-1") + b"\r\nhello\r\n0\r\n\r\n"), BAD)
        for name, text in {
            "S54-letters": "zz",
            "letter-after-digits": "5g",
            "prefix": "0x5",
            "prefix-capital": "0X5",
            "plus": "+5",
            "minus": "-5",
            "minus-nothing": "-0",
            "underscore": "0_5",
            "blank-before": " 5",
            "blank-after": "5 ",
            "tab-after": "5\t",
            "two-words": "5 5",
            "comma": "5,5",
            "fraction": "5.0",
            "quoted": '"5"',
            "arabic-digit": "\xd9\xa5",
            "superscript": "\xb2",
            "fullwidth-digit": "\xef\xbc\x95",
            "vertical-tab": "5\x0b",
            "no-break-space": "\xa05",
            "nul": "5\0",
            "S54-empty": "",
            "empty-with-extension": ";a=b",
        }.items()
    ),
    ("E1-negative-to-the-left", chunked(b"5\r\nhello\r\n-5\r\n0\r\n\r\n"), BAD),
    ("E1-many-digits", chunked(b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    ("E1-thousand-zeros", chunked(b"0" * 1000 + b"5\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    ("E1-64-bits", chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    ("E1-wraps-to-five", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), {400, 413}),
    ("E1-beyond-the-body-limit", chunked(b"%x\r\n" % (MAX_BODY + 1) + b"a" * (MAX_BODY + 1) + b"\r\n0\r\n\r\n"), {413}),
    ("E1-sum-beyond-the-body-limit", chunked(b"a\r\n0123456789\r\n" * (MAX_BODY // 10 + 1) + b"0\r\n\r\n"), {413}),
    # E2: extensions
    *(
        (f"E2-{name}", chunked(b"5" + text.encode("latin-1") + b"\r\nhello\r\n0\r\n\r\n"), BAD)
        for name, text in {
            "empty": ";",
            "two-semicolons": ";;a=b",
            "empty-name": ";=b",
            "empty-value": ";a=",
            "blank-in-name": ";a b",
            "blank-after-semicolon": "; a=b",
            "blank-before-semicolon": " ;a=b",
            "blank-around-equals": ";a = b",
            "open-quote": ';a="b',
            "quote-in-token": ';a=b"c"',
            "after-quote": ';a="b"c',
            "control": ";a=\x01",
            "nul": ";a=\0",
            "nul-in-quotes": ';a="\0"',
            "del-octet": ";a=\x7f",
            "latin-1-token": ";a=\xe9",
            "colon": ";a:b",
            "comma": ";a,b",
            "brackets": ";[a]",
        }.items()
    ),
    ("E2-long-line", chunked(b"5;a=" + b"b" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"), BAD),
    ("E2-long-in-total", chunked((b"1;a=" + b"b" * 1000 + b"\r\nx\r\n") * 60 + b"0\r\n\r\n"), BAD),
    ("E2-long-line-without-end", chunked(b"5;a=" + b"b" * 50_000), BAD),
    # E3: the end of a chunk's data
    *rows(
        "E3",
        BAD,
        S54_data_too_long=chunked(b"5\r\nhello!\r\n0\r\n\r\n"),
        S54_data_too_short=chunked(b"5\r\nhell\r\n0\r\n\r\n"),
        no_end=chunked(b"5\r\nhello0\r\n\r\n"),
        end_twice=chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n"),
        empty_line_first=chunked(b"\r\n5\r\nhello\r\n0\r\n\r\n"),
        no_size_between=chunked(b"5\r\nhello\r\nhello\r\n0\r\n\r\n"),
        body_without_chunks=chunked(b"hello, world\r\n"),
    ),
    # E4: trailers
    *rows(
        "E4",
        BAD,
        no_colon=chunked(b"0\r\nX\r\n\r\n"),
        blank_before_colon=chunked(b"0\r\nX : y\r\n\r\n"),
        blank_in_name=chunked(b"0\r\nX Y: z\r\n\r\n"),
        empty_name=chunked(b"0\r\n: y\r\n\r\n"),
        nul=chunked(b"0\r\nX: \0\r\n\r\n"),
        control=chunked(b"0\r\nX: a\x0bb\r\n\r\n"),
        blank_first=chunked(b"0\r\n X: y\r\n\r\n"),
        request_line=chunked(b"0\r\nGET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ),
    ("E4-long", chunked(b"0\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n"), {400, 431}),
    ("E4-many", chunked(b"0\r\n" + b"X: a\r\n" * 5000 + b"\r\n"), {400, 431}),
    # F6: expectations
    *rows(
        "F6",
        {417},
        unknown_expectation=fields("Expect: cow"),
        unknown_beside_continue=head(
            "POST / HTTP/1.1", "Host: localhost", "Content-Length: 5", "Expect: 100-continue, cow"
        )
        + b"hello",
        expectation_with_another_number=fields("Expect: 200-ok"),
    ),
]

BIG = 4096  # octets: such a request is not sent one by one


def send_whole(client: Client, data: bytes) -> None:
    client.send(data)


def send_in_cuts(client: Client, data: bytes) -> None:
    """Two cuts, with time for the server to read what comes before each."""
    third = max(1, len(data) // 3)
    for piece in (data[:third], data[third : 2 * third], data[2 * third :]):
        client.send(piece)
        time.sleep(0.002)


def send_octets(client: Client, data: bytes) -> None:
    for octet in data:
        client.send(bytes([octet]))


Send = Callable[[Client, bytes], None]
MANNERS: dict[str, Send] = {"whole": send_whole, "in-cuts": send_in_cuts, "octet-by-octet": send_octets}

CASES = [
    pytest.param(request, statuses, send, id=f"{'S87-' if manner == 'whole' else ''}{name}-{manner}")
    for name, request, statuses in MALFORMED
    for manner, send in MANNERS.items()
    if send is not send_octets or len(request) <= BIG
]


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def server(recorder: Recorder) -> Iterator[Running]:
    """One server for the whole table: none of its rows does it any harm."""
    with running(recorder, threads=1, max_request_body_size=MAX_BODY, max_request_header_size=MAX_HEAD) as server:
        yield server


def refusal(client: Client, data: bytes, send: Send) -> Response:
    """Send it, and read the one answer up to the end of the connection."""
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        send(client, data)
    except ConnectionError:
        pass  # the server has said what it had to say before all of it was sent
    response = client.response()
    assert client.rest() == b"", "there is more than one answer"
    return response


@pytest.mark.parametrize(("request_", "statuses", "send"), CASES)
def test_a_malformed_request_is_refused(
    request_: bytes, statuses: set[int], send: Send, server: Running, recorder: Recorder
) -> None:
    recorder.environs.clear()
    with server.client() as client, server.client() as other:
        response = refusal(client, request_ + NEVER, send)
        assert response.status in statuses, response
        assert response.header("Connection") == "close"
        assert response.header("Content-Type") == "text/plain; charset=utf-8"
        assert response.header("Date") is not None
        assert response.body.startswith(f"{response.reason}\r\n\r\n".encode())
        assert response.body.endswith(b"\r\n\r\n(generated by waitress)")
        assert other.get("/other").status == 200
    assert recorder.paths == ["/other"]


def test_the_names_of_the_table_differ() -> None:
    names = [name for name, _, _ in MALFORMED]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("send", [pytest.param(send, id=manner) for manner, send in MANNERS.items()])
def test_answers_that_are_due_come_before_the_refusal(send: Send, server: Running, recorder: Recorder) -> None:
    recorder.environs.clear()
    with server.client() as client:
        send(client, get(target="/first") + get(target="/second") + b"GET / HTTP/1.1\r\nBad line\r\n\r\n" + NEVER)
        assert [client.response().status for _ in range(3)] == [200, 200, 400]
        assert client.rest() == b""
    assert recorder.paths == ["/first", "/second"]


NOTHING_MORE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nBad line\r\n\r\n", 400, id="refused"),
        pytest.param(length(str(MAX_BODY + 1)), 413, id="body-too-large"),
        pytest.param(NOTHING_MORE, 200, id="answered"),
    ],
)
def test_the_last_answer_can_be_read_while_more_is_on_its_way(request_: bytes, status: int, server: Running) -> None:
    """It comes without a reset, which would overtake it, and the end comes with it: the best of a few attempts."""
    times: list[float] = []
    while not times or (min(times) > 1 and len(times) < 5):
        with server.client() as client:
            client.send(request_ + b"x" * 30_000)
            assert client.response().status == status
            began = time.monotonic()
            assert client.socket.recv(1) == b""
            times.append(time.monotonic() - began)
            # The server still takes what the client has not yet stopped sending, and throws it away.
            client.send(b"x" * 20_000)
            time.sleep(0.05)
            client.send(b"x")
    assert min(times) < 1


def test_a_client_that_sends_on_after_its_last_answer_is_not_listened_to_for_long(server: Running) -> None:
    def send_on(client: Client) -> None:
        for _ in range(1000):  # 2 seconds or 64 KiB are the end of it, whichever comes first
            client.send(b"x" * 1000)
            time.sleep(0.01)

    with server.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.response().status == 400
        with pytest.raises(ConnectionError):
            send_on(client)


INCOMPLETE = {
    "D6-half-a-request-line": b"GET / HT",
    "D6-request-line": b"GET / HTTP/1.1\r\n",
    "D6-half-a-field": b"GET / HTTP/1.1\r\nHost: local",
    "D6-no-empty-line": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "D6-cr-of-the-empty-line": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r",
    "D6-no-body": head("POST / HTTP/1.1", "Host: localhost", "Content-Length: 5"),
    "D6-half-a-body": head("POST / HTTP/1.1", "Host: localhost", "Content-Length: 5") + b"hel",
    "D6-half-a-body-http10": head("POST / HTTP/1.0", "Content-Length: 5") + b"hel",
    "D6-no-chunk": chunked(b""),
    "D6-half-a-chunk-size": chunked(b"5"),
    "D6-half-a-chunk": chunked(b"5\r\nhel"),
    "D6-chunk-without-end": chunked(b"5\r\nhello"),
    "D6-no-last-chunk": chunked(b"5\r\nhello\r\n"),
    "D6-no-end-of-trailers": chunked(b"5\r\nhello\r\n0\r\n"),
    "D6-half-a-trailer": chunked(b"0\r\nX: y"),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in INCOMPLETE.items()])
def test_an_incomplete_request_is_never_run(data: bytes, server: Running, recorder: Recorder) -> None:
    """At the end of input it is refused, or the connection is just closed."""
    recorder.environs.clear()
    with server.client() as client:
        client.send(data)
        client.end_output()
        answer = client.rest()
    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    with server.client() as other:
        assert other.get("/other").status == 200
    assert recorder.paths == ["/other"]


# --- settings

NO_NUMBERS: list[Any] = ["many", "", "1.5", 1.5, None, [], float("nan"), float("inf"), "1 2", b"\xff"]

BAD_SETTINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"port": 65536}, ["port", "65536", "65535"]),
    ({"port": -1}, ["port", "-1", "65535"]),
    ({"port": "-1"}, ["port", "-1", "65535"]),
    ({"port": "99999"}, ["port", "99999", "65535"]),
    ({"port": ""}, ["port", "''"]),
    ({"port": 80.5}, ["port", "80.5"]),
    ({"port": None}, ["port", "None"]),
    ({"listen": "127.0.0.1:99999"}, ["127.0.0.1:99999", "65535"]),
    ({"listen": "127.0.0.1:-1"}, ["127.0.0.1:-1", "65535"]),
    ({"listen": ":8080"}, [":8080", "HOST:PORT"]),
    ({"listen": "127.0.0.1:"}, ["127.0.0.1:", "HOST:PORT"]),
    ({"listen": "127.0.0.1:no-such-service"}, ["127.0.0.1:no-such-service"]),
    ({"listen": ""}, ["listen", "''"]),
    ({"listen": 8080}, ["listen", "8080", "list"]),
    ({"listen": "127.0.0.1:0 300.0.0.1:99999"}, ["300.0.0.1:99999"]),
    ({"host": ""}, ["host"]),
    *(
        ({name: value}, [name, repr(value), "at least"])
        for name in (
            "threads",
            "trusted_proxy_count",
            "connection_limit",
            "channel_timeout",
            "backlog",
            "recv_bytes",
            "inbuf_overflow",
            "outbuf_overflow",
            "outbuf_high_watermark",
            "request_head_timeout",
            "request_body_timeout",
            "request_body_rate",
            "response_timeout",
            "response_rate",
            "linger_timeout",
        )
        for value in (0, -1, "-1")
    ),
    *(
        ({name: -1}, [name, "-1", "at least"])
        for name in (
            "max_request_header_size",
            "max_request_body_size",
            "channel_request_lookahead",
            "shutdown_delay",
            "shutdown_timeout",
            "log_slow_requests",
            "send_bytes",
            "cleanup_interval",
            "asyncore_loop_timeout",
        )
    ),
    *(
        ({name: value}, [name, repr(value), "whole number"])
        for name in ("threads", "connection_limit", "max_request_body_size", "channel_timeout")
        for value in NO_NUMBERS
    ),
    ({"shutdown_delay": 26}, ["shutdown_delay", "26", "shutdown_timeout", "25"]),
    ({"access_log_format": "{path}"}, ["access_log_format", "{path}", "{remote_addr}", "{target}", "{user_agent}"]),
    ({"unix_socket_perms": 600}, ["unix_socket_perms", "600", "octal"]),
    ({"unix_socket_perms": "888"}, ["unix_socket_perms", "888", "octal"]),
    ({"unix_socket_perms": "rw"}, ["unix_socket_perms", "rw", "octal"]),
    ({"unix_socket_perms": "-600"}, ["unix_socket_perms", "-600", "octal"]),
    ({"unix_socket_perms": "77777"}, ["unix_socket_perms", "77777", "7777"]),
    ({"ident": "a\r\nX-Evil: b"}, ["ident", "X-Evil"]),
    ({"ident": "snowman \u2603"}, ["ident", "ASCII"]),
    ({"url_scheme": ""}, ["url_scheme", "''", "http"]),
    ({"url_scheme": "http://"}, ["url_scheme", "http://"]),
    ({"server_name": "a\nb"}, ["server_name"]),
    ({"trusted_proxy": "nonsense"}, ["trusted_proxy", "nonsense", "CIDR"]),
    ({"trusted_proxy": "10.0.0.0/33"}, ["trusted_proxy", "10.0.0.0/33", "CIDR"]),
    ({"trusted_proxy": "127.0.0.1 nonsense"}, ["trusted_proxy", "nonsense", "CIDR"]),
    (
        {"trusted_proxy": "*", "trusted_proxy_headers": "x-bogus"},
        ["trusted_proxy_headers", "x-bogus", "x-forwarded-for"],
    ),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "x-forwarded-for,x-forwarded-host"}, ["trusted_proxy_headers"]),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "forwarded x-forwarded-for"}, ["mutually exclusive"]),
    ({"trusted_proxy_count": 2}, ["trusted_proxy_count has no meaning without setting trusted_proxy"]),
    ({"trusted_proxy_headers": "forwarded"}, ["trusted_proxy_headers has no meaning without setting trusted_proxy"]),
    ({"sockets": "nonsense"}, ["sockets", "nonsense"]),
    ({"sockets": 5}, ["sockets", "5"]),
    ({"sockets": [5]}, ["sockets", "5"]),
    ({"no_such_setting": 1}, ["Unknown adjustment 'no_such_setting'"]),
    ({"listen": "127.0.0.1:0", "host": "127.0.0.1"}, ["host or port may not be set if listen is set."]),
    ({"listen": "127.0.0.1:0", "port": 0}, ["host or port may not be set if listen is set."]),
    ({"listen": "127.0.0.1:0", "sockets": []}, ["socket may not be set if listen is set."]),
    ({"sockets": [], "host": "127.0.0.1"}, ["host or port may not be set if sockets is set."]),
    ({"sockets": [], "port": 0}, ["host or port may not be set if sockets is set."]),
    ({"sockets": [], "unix_socket": "/x"}, ["unix_socket may not be set if sockets is set"]),
    ({"unix_socket": "/x", "host": "127.0.0.1"}, ["unix_socket may not be set if host or port is set"]),
    ({"unix_socket": "/x", "port": 0}, ["unix_socket may not be set if host or port is set"]),
    ({"unix_socket": "/x", "listen": "127.0.0.1:0"}, ["unix_socket may not be set if listen is set"]),
]


@pytest.mark.parametrize(
    ("settings", "said"), [pytest.param(settings, said, id=repr(settings)) for settings, said in BAD_SETTINGS]
)
def test_a_bad_setting_is_a_value_error_that_says_what_is_wrong(settings: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        create_server(Recorder(), **settings)
    assert [words for words in said if words not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_host_that_does_not_resolve_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ValueError, match=r"Invalid host/port specified.*no-such-host.*Name or service not known"):
        Adjustments(host="no-such-host")


def test_sockets_that_are_no_listening_streams_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(ValueError, match="stream"):
        Adjustments(sockets=[datagrams])


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_sockets_of_both_kinds_are_refused() -> None:
    with (
        socket.socket(socket.AF_INET) as inet,
        unix_socket() as unix,
        pytest.raises(ValueError, match=r"Internet and UNIX sockets may not be mixed."),
    ):
        Adjustments(sockets=[inet, unix])


# --- addresses that cannot be had


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("by", ["listen", "host-and-port"])
def test_a_port_in_use_names_the_address_and_the_cause(by: str, taken: int) -> None:
    given: dict[str, Any] = {"listen": f"127.0.0.1:{taken}"} if by == "listen" else {"host": "127.0.0.1", "port": taken}
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), **given)
    assert caught.value.errno == errno.EADDRINUSE
    assert f"127.0.0.1:{taken}" in str(caught.value)
    assert os.strerror(errno.EADDRINUSE) in str(caught.value)


def test_an_address_of_another_machine_is_named_with_the_cause() -> None:
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), listen="192.0.2.77:0")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert "192.0.2.77:0" in str(caught.value)
    assert os.strerror(errno.EADDRNOTAVAIL) in str(caught.value)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: that of a unix socket may have a hundred characters or so."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
@pytest.mark.parametrize(
    ("name", "cause"),
    [("no-such-folder/socket", errno.ENOENT), ("file", errno.EADDRINUSE), ("folder", errno.EADDRINUSE)],
)
def test_a_unix_socket_that_can_not_be_is_named_with_the_cause(name: str, cause: int, folder: Path) -> None:
    (folder / "file").write_text("precious")
    (folder / "folder").mkdir()
    path = str(folder / name)
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), unix_socket=path)
    assert caught.value.errno == cause
    assert path in str(caught.value)
    assert os.strerror(cause) in str(caught.value)
    assert (folder / "file").read_text() == "precious"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_a_unix_socket_path_that_is_too_long_is_named(folder: Path) -> None:
    path = str(folder / ("long" * 100))
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), unix_socket=path)
    assert path in str(caught.value)


# --- applications


class Gone(BaseException):
    """Derives from no Exception."""


class Unprintable(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def raising(error: BaseException) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    return application


def raising_after_start(error: BaseException) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        raise error

    return application


def raising_in_iteration(error: BaseException, *pieces: bytes) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield from pieces
        raise error

    return application


def returning(body: Any, *headers: tuple[str, str], starts: bool = True, status: Any = "200 OK") -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if starts:
            start_response(status, list(headers))
        return body

    return application


def starting_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"body"]


def writing_before_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response.__self__.write  # type: ignore[attr-defined]  # what an application could do
    write(b"body")
    return []


def recursing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return recursing(environ, start_response)


def calling_start_response_badly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response()  # type: ignore[call-arg]  # the fault
    return []


class BadIterator:
    """An iterable that fails when it is asked for its iterator."""

    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError("no iterator")


class BadClose:
    """An iterable whose close fails."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"body"])

    def close(self) -> None:
        raise RuntimeError("no close")


FAILING: dict[str, WSGIApplication] = {
    "raises": raising(ValueError("fault")),
    "raises-unprintable": raising(Unprintable()),
    "raises-no-exception": raising(Gone()),
    "raises-memory-error": raising(MemoryError()),
    "raises-connection-error": raising(ConnectionResetError("not the client's connection")),
    "raises-broken-pipe": raising(BrokenPipeError("not the client's connection")),
    "raises-timeout": raising(TimeoutError()),
    "raises-would-block": raising(BlockingIOError()),
    "raises-generator-exit": raising(GeneratorExit()),
    "recurses": recursing,
    "exits": raising(SystemExit(3)),
    "is-interrupted": raising(KeyboardInterrupt()),
    "raises-after-start": raising_after_start(ValueError("fault")),
    "exits-after-start": raising_after_start(SystemExit(3)),
    "raises-before-a-piece": raising_in_iteration(ValueError("fault")),
    "raises-before-a-piece-that-is-not-empty": raising_in_iteration(ValueError("fault"), b"", b""),
    "exits-before-a-piece": raising_in_iteration(SystemExit()),
    "is-interrupted-before-a-piece": raising_in_iteration(KeyboardInterrupt()),
    "returns-none": returning(None),
    "returns-none-without-start": returning(None, starts=False),
    "returns-str": returning("text"),
    "returns-number": returning(5),
    "returns-no-iterator": returning(BadIterator()),
    "never-starts": returning([b"body"], starts=False),
    "never-starts-and-is-empty": returning([], starts=False),
    "yields-str": returning(["text"]),
    "yields-number": returning([5]),
    "yields-none": returning([None]),
    "yields-lists": returning([[b"text"]]),
    "starts-twice": starting_twice,
    "starts-badly": calling_start_response_badly,
    "status-bytes": returning([b""], status=b"200 OK"),
    "status-number": returning([b""], status=200),
    "status-none": returning([b""], status=None),
    "status-crlf": returning([b""], status="200 OK\r\nX: y"),
    "status-1xx": returning([b""], status="101 Switching Protocols"),
    "header-crlf": returning([b""], ("X", "a\r\nY: b")),
    "header-number": returning([b""], ("X", 5)),  # type: ignore[arg-type]  # the fault
    "header-none": returning([b""], None),  # type: ignore[arg-type]  # the fault
    "header-hop-by-hop": returning([b""], ("Transfer-Encoding", "chunked")),
    "length-no-number": returning([b"body"], ("Content-Length", "four")),
    "length-negative": returning([b"body"], ("Content-Length", "-4")),
}


class Site:
    """Serves `/bad` by one application, and all else well; keeps the threads it was called in."""

    def __init__(self, bad: WSGIApplication) -> None:
        self.bad = bad
        self.threads: set[threading.Thread] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.add(threading.current_thread())
        if environ["PATH_INFO"] == "/bad":
            return self.bad(environ, start_response)
        start_response("200 OK", [])
        return [b"well"]


def waitress_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("waitress")}


@pytest.mark.parametrize("application", [pytest.param(app, id=name) for name, app in FAILING.items()])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_failing_application_gets_its_client_a_500_and_the_log_the_path(
    application: WSGIApplication, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(application)
    with running(site, threads=1) as server:
        with server.client() as client:
            client.get("/good")
        threads = waitress_threads()
        for _ in range(3):
            with server.client() as client:
                response = client.get("/bad", version=version)
                assert response.status == 500
                assert response.version == f"HTTP/{version}"
                assert response.header("Connection") == "close"
                assert response.body.startswith(b"Internal Server Error\r\n\r\n")
                assert b"fault" not in response.body
                assert client.rest() == b""
        with server.client() as client:
            assert client.get("/good").body == b"well"
        assert waitress_threads() == threads, "a thread was lost or replaced"
    assert len(site.threads) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "Exception while serving /bad"
    ] * 3
    assert all(record.exc_info for record in caplog.records if record.levelname == "ERROR")


# After output it is too late for a 500: the client must see that the message is not complete.
LATE: dict[str, WSGIApplication] = {
    "raises": raising_in_iteration(ValueError("fault"), b"begun"),
    "exits": raising_in_iteration(SystemExit(), b"begun"),
    "is-interrupted": raising_in_iteration(KeyboardInterrupt(), b"begun"),
    "yields-str": returning([b"begun", "text"]),
    "yields-none": returning([b"begun", None]),
    "raises-with-length": returning([b"begun", None], ("Content-Length", "50")),
}


@pytest.mark.parametrize("application", [pytest.param(app, id=name) for name, app in LATE.items()])
def test_a_failure_after_output_cuts_the_connection_and_tells_the_log_the_path(
    application: WSGIApplication, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(application)
    with running(site, threads=1) as server:
        with server.client() as client:
            client.send(get(target="/bad") + NEVER)
            answer = client.rest()
            assert answer.count(b"HTTP/1.1 ") == 1
            assert answer.partition(b"\r\n\r\n")[2] in (b"5\r\nbegun\r\n", b"begun"), "the message looks complete"
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    assert "Exception while serving /bad" in errors_in(caplog.records)


@pytest.mark.parametrize("pieces", [pytest.param([b"ab"], id="one-piece"), pytest.param([b"a", b"b"], id="two-pieces")])
def test_a_body_shorter_than_its_length_ends_the_connection_and_is_logged_with_the_path(
    pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(returning(pieces, ("Content-Length", "5")))
    with running(site, threads=1) as server:
        with server.client() as client:
            client.send(get(target="/bad") + NEVER)
            answer = client.rest()
            assert answer.endswith(b"\r\n\r\nab"), "the gap is filled"
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    [said] = errors_in(caplog.records)
    assert "application returned too few bytes (2) for specified Content-Length (5) via app_iter" in said
    assert "/bad" in said


@pytest.mark.parametrize(
    "pieces", [pytest.param([b"abcdefg"], id="one-piece"), pytest.param([b"abc", b"defg"], id="two-pieces")]
)
def test_a_body_longer_than_its_length_is_cut_and_logged_with_the_path(
    pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(returning(pieces, ("Content-Length", "5")))
    with running(site, threads=1) as server:
        with server.client() as client:
            assert client.get("/bad").body == b"abcde"
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    [said] = errors_in(caplog.records)
    assert "application-written content exceeded the number of bytes specified by Content-Length header (5)" in said
    assert "/bad" in said


def test_a_close_that_raises_costs_nothing_but_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(returning(BadClose()))
    with running(site, threads=1) as server:
        with server.client() as client:
            assert client.get("/bad").status == 200
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    assert "Exception while serving /bad" in errors_in(caplog.records)


def test_an_application_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="You forgot to return a WSGI app"):
        create_server(None)  # type: ignore[arg-type]  # the fault


def test_an_endless_lie_about_the_length_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """The application of a client that has all it was promised is not iterated for ever."""
    closed = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        try:
            while True:
                yield b"ab"
        finally:
            closed.set()

    with running(Site(application), threads=1) as server, server.client() as client:
        assert client.get("/bad").body == b"ababa"
        assert closed.wait(20)
        assert client.get("/good").body == b"well"
    assert becomes_true(lambda: "exceeded" in caplog.text)
