"""Lines of the access log: their format, and that no value can pose as another."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ids import short_id
from waitress_core.config.log_format import COMBINED, FIELDS, Access, format_fault, make_format

USUAL = Access(
    remote_addr="192.0.2.7",
    remote_user="ann",
    time=1_700_000_000.25,
    method="GET",
    target="/tea?cup=1",
    version="1.1",
    status=200,
    bytes=1234,
    duration=0.0123456,
    queue_time=0.0005,
    referer="http://example.org/",
    user_agent="Mozilla/5.0 (X11; Linux)",
)
REFUSED = Access(
    remote_addr="::1",
    remote_user=None,
    time=1_700_000_000.0,
    method=None,
    target=None,
    version=None,
    status=None,
    bytes=0,
    duration=0.0,
    queue_time=0.0,
    referer=None,
    user_agent=None,
)
COMBINED_LINE = re.compile(
    r'(?P<remote_addr>\S+) - (?P<remote_user>\S+) \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\S+) '
    r'(?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<user_agent>[^"]*)"'
)

values = st.text() | st.text(st.sampled_from('\n\r\x00\x1b\x7f\x85\xff\u2028\ud800\U0001f375"\\ -{}[]a')) | st.none()
accesses = st.builds(
    Access,
    remote_addr=st.text(min_size=1),
    remote_user=values,
    time=st.floats(0, 4e9),
    method=values,
    target=values,
    version=values,
    status=st.integers(100, 999) | st.none(),
    bytes=st.integers(0),
    duration=st.floats(0, 1e6),
    queue_time=st.floats(0, 1e6),
    referer=values,
    user_agent=values,
    tls_version=values,
    tls_cipher=values,
    client_dn=values,
)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time zone west of UTC with hours and minutes, where the system can change it."""
    monkeypatch.setenv("TZ", "NST3:30")
    if hasattr(time, "tzset"):
        time.tzset()


def unescaped(text: str) -> str:
    """Read an escaped value."""
    return re.sub(r"\\(x..|u....|U........)", lambda match: chr(int(match[1][1:], 16)), text)


def is_one_line(text: str) -> bool:
    return text.isascii() and text.isprintable()


def stamp_of(line: str) -> str:
    match = COMBINED_LINE.fullmatch(line)
    assert match is not None
    return match["time"]


def test_combined_is_the_format_of_apache_and_nginx() -> None:
    line = make_format("combined")(USUAL)
    stamp = "14/Nov/2023:18:43:20 -0330" if hasattr(time, "tzset") else stamp_of(line)
    assert line == (
        f'192.0.2.7 - ann [{stamp}] "GET /tea?cup=1 HTTP/1.1" 200 1234 "http://example.org/" "Mozilla/5.0 (X11; Linux)"'
    )
    assert make_format(COMBINED)(USUAL) == line


def test_an_unknown_value_is_a_hyphen_in_a_text() -> None:
    line = make_format("combined")(REFUSED)
    assert line.replace(stamp_of(line), "") == '::1 - - [] "-" - 0 "-" "-"'


def test_json_names_every_value() -> None:
    assert json.loads(make_format("json")(USUAL)) == {
        "remote_addr": "192.0.2.7",
        "remote_user": "ann",
        "time": "2023-11-14T22:13:20.250+00:00",
        "method": "GET",
        "target": "/tea?cup=1",
        "version": "1.1",
        "status": 200,
        "bytes": 1234,
        "duration": 0.012346,
        "queue_time": 0.0005,
        "referer": "http://example.org/",
        "user_agent": "Mozilla/5.0 (X11; Linux)",
        "request_id": None,
        "trace_id": None,
        "tls_version": None,
        "tls_cipher": None,
        "client_dn": None,
    }


def test_an_unknown_value_is_null_in_json() -> None:
    line = json.loads(make_format("json")(REFUSED))
    assert [name for name, value in line.items() if value is None] == [
        "remote_user", "method", "target", "version", "status", "referer", "user_agent",
        "request_id", "trace_id", "tls_version", "tls_cipher", "client_dn",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{method}", "GET"),
        ("{target} took {duration} s", "/tea?cup=1 took 0.012346 s"),
        ("{queue_time}|{version}|{status}{bytes}", "0.000500|1.1|2001234"),
        ("{{{remote_user}}} {{}}", "{ann} {}"),
        ('{tls_version} "{client_dn}"', '- "-"'),
    ],
)
def test_a_text_has_its_fields_in_braces(text: str, line: str) -> None:
    assert make_format(text)(USUAL) == line


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{path}", "{path} is not a field"),
        ("{status} {}", "{} is not a field"),
        ("{status:>5}", "{status:>5} is not a field"),
        ("{target!r}", "{target!r} is not a field"),
        ("{target.__class__}", "{target.__class__} is not a field"),
        ("{target[0]}", "{target[0]} is not a field"),
        ("{status", "expected '}' before end of string"),
        ("status}", "Single '}' encountered in format string"),
        ("", "it has no field"),
        ("Combined", "it has no field"),
        ("{status}\n{target}", "it has a line break or another character that is not printable ASCII"),
        ("{status}\u2192{target}", "it has a line break or another character that is not printable ASCII"),
    ],
    ids=short_id,
)
def test_an_invalid_format_is_refused_with_the_names_of_the_fields(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        make_format(text)
    message = format_fault(text)
    assert message is not None
    assert message.endswith(fault)
    assert is_one_line(message)
    assert all(f"{{{name}}}" in message for name in FIELDS)


@pytest.mark.parametrize(
    ("value", "word", "text"),
    [
        ("a b", r"a\x20b", "a b"),
        ('a"b', r"a\x22b", r"a\x22b"),
        ("a\\b", r"a\x5Cb", r"a\x5Cb"),
        ("a\r\nb", r"a\x0D\x0Ab", r"a\x0D\x0Ab"),
        ("\x00\x1b\x7f\x9b", r"\x00\x1B\x7F\x9B", r"\x00\x1B\x7F\x9B"),
        ("\u2028\U0001f375", r"\u2028\U0001F375", r"\u2028\U0001F375"),
        ("", "-", "-"),
    ],
)
def test_a_value_is_escaped(value: str, word: str, text: str) -> None:
    access = USUAL._replace(remote_addr=value, user_agent=value)
    assert make_format("{remote_addr}|{user_agent}")(access) == f"{word}|{text}"


@given(accesses)
def test_a_combined_line_is_one_line_and_every_value_can_be_read_back(access: Access) -> None:
    line = make_format("combined")(access)
    assert is_one_line(line)
    match = COMBINED_LINE.fullmatch(line)
    assert match is not None
    assert unescaped(match["remote_addr"]) == access.remote_addr
    for name, value in (
        ("remote_user", access.remote_user),
        ("referer", access.referer),
        ("user_agent", access.user_agent),
    ):
        assert match[name] == "-" if not value else unescaped(match[name]) == value
    if access.method and access.target and access.version:
        method, target, version = match["request"].split(" ")
        assert [unescaped(method), unescaped(target), unescaped(version.removeprefix("HTTP/"))] == [
            access.method, access.target, access.version,
        ]  # fmt: skip
    else:
        assert match["request"] == "-"


@given(accesses)
def test_a_text_of_words_has_as_many_words_as_fields(access: Access) -> None:
    words = [name for name in FIELDS if name not in ("time", "request", "referer", "user_agent", "client_dn")]
    line = make_format(" ".join(f"{{{name}}}" for name in words))(access)
    assert is_one_line(line)
    assert len(line.split(" ")) == len(words)


@given(accesses)
def test_a_line_of_json_is_one_line_and_every_value_can_be_read_back(access: Access) -> None:
    line = make_format("json")(access)
    assert is_one_line(line)
    read = json.loads(line)
    expected = {**access._asdict(), "duration": round(access.duration, 6), "queue_time": round(access.queue_time, 6)}
    del expected["time"], read["time"]
    assert read == expected
