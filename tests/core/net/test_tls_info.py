"""Names of certificates as text (RFC 4514)."""

from typing import Any

import pytest

from waitress_core.net.tls_info import as_text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ((), ""),
        (((("countryName", "GB"),), (("commonName", "Ada"),)), "CN=Ada,C=GB"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        (((("commonName", 'a,b+c"d\\e<f>g;h'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (((("commonName", "#a"),),), "CN=\\#a"),
        (((("commonName", " a "),),), "CN=\\ a\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "\u00fc"),),), "CN=\u00c3\u00bc"),
    ],
)
def test_a_name_is_written_last_part_first_and_escaped(name: Any, text: str) -> None:
    assert as_text(name) == text
