"""The page on keep-alive: what it has one set is longer than what it says of the load balancer."""

from __future__ import annotations

import re

import pytest

from tests.support.pages import DOCS
from waitress_cli.options import parse
from waitress_core import Adjustments

TEXT = (DOCS / "how-to" / "keep-alive.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| (\d+) seconds[^|]*\| ([^|]+) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("front", "seconds", "advice"), ROWS, ids=[row[0].split(" (")[0] for row in ROWS])
def test_the_server_keeps_connections_longer(front: str, seconds: str, advice: str) -> None:
    option = re.search(r"`(--channel-timeout=\d+)`", advice)
    words = [option[1]] if option else []
    assert option or advice.startswith("nothing")
    settings = parse([*words, "shop:application"]).given
    assert Adjustments(listen="127.0.0.1:0", **settings).channel_timeout > int(seconds)


def test_the_page_has_the_fronts_that_people_ask_for() -> None:
    assert len(ROWS) == 8
    assert {"nginx", "ingress-nginx", "HAProxy", "AWS"} <= {row[0].split()[0] for row in ROWS}
    assert f"It is {Adjustments.channel_timeout} seconds by default" in TEXT
