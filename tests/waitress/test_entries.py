"""What is in the map of a server, as a program sees it."""

import logging

import pytest

from tests.support.client import Client
from tests.waitress.serving import address_of, application, running
from waitress.server import create_server
from waitress.utilities import logger


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"], ids=["one listener", "two listeners"])
def test_a_server_and_what_is_in_its_map_log_as_a_dispatcher_does(
    listen: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = create_server(application, listen=listen)
    with running(server), Client(address_of(server)) as client:
        client.get()
        entries = [server, *server._map.values()]
        assert [entry for entry in entries if entry in server.active_channels.values()]
        caplog.set_level(logging.DEBUG)
        for entry in entries:
            assert entry.logger is logger
            caplog.clear()
            entry.log("a detail")
            entry.log_info("tea")
            entry.log_info("no tea", "warning")
            assert caplog.record_tuples == [
                ("waitress", logging.DEBUG, "a detail"),
                ("waitress", logging.INFO, "tea"),
                ("waitress", logging.WARNING, "no tea"),
            ]
