"""Which build the tests run on, and tests that look into the interpreted one."""

import pytest

from waitress_core.connection import connection
from waitress_parser import machine

IS_COMPILED = not str(connection.__file__).endswith(".py")
IS_PARSER_COMPILED = not str(machine.__file__).endswith(".py")  # `make test-compiled-parser` compiles it alone


def interpreted_only(reason: str) -> pytest.MarkDecorator:
    """Skip a test where anything is compiled; `reason` says what compiled code does not have."""
    return pytest.mark.skipif(IS_COMPILED or IS_PARSER_COMPILED, reason=f"compiled: {reason}")
