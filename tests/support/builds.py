"""Which build the tests run on, and tests that look into the interpreted one."""

import pytest

from waitress_core.connection import connection

IS_COMPILED = not str(connection.__file__).endswith(".py")


def interpreted_only(reason: str) -> pytest.MarkDecorator:
    """Skip a test on the compiled build; `reason` says what compiled code has not."""
    return pytest.mark.skipif(IS_COMPILED, reason=f"compiled: {reason}")
