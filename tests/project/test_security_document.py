"""The document on security names tests, settings and constants that there are."""

import re

import waitress_core.connection.acceptor
import waitress_core.connection.context
import waitress_core.connection.data_rate
import waitress_core.connection.manager
import waitress_core.connection.receiver
import waitress_core.connection.room
import waitress_core.net.tls
import waitress_core.observability.access_log
import waitress_core.reactor.reactor
import waitress_core.wsgi.trusted_headers
import waitress_parser.errors
from tests.project.repository import ROOT
from tests.support.rows import each_row
from waitress_core import SETTINGS
from waitress_parser import Limits

TEXT = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)))
SETTINGS_AND_LIMITS = {setting.name for setting in SETTINGS} | set(Limits._fields)


@each_row(("path", "name"), TESTS)
def test_every_test_that_is_named_is_there(path: str, name: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name}(" in source if name else "def test_" in source


def test_every_name_in_quotes_is_a_setting_or_a_limit() -> None:
    quoted = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", TEXT))
    assert quoted - SETTINGS_AND_LIMITS == {"repr"}


def test_every_constant_is_in_its_file() -> None:
    modules = (
        waitress_core.observability.access_log,
        waitress_core.connection.acceptor,
        waitress_core.connection.receiver,
        waitress_core.connection.manager,
        waitress_core.connection.context,
        waitress_core.wsgi.trusted_headers,
        waitress_core.connection.data_rate,
        waitress_core.connection.room,
        waitress_core.reactor.reactor,
        waitress_core.net.tls,
        waitress_parser.errors,
    )
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", TEXT))
    assert named
    for name in named:
        assert any(hasattr(module, name) for module in modules), name
