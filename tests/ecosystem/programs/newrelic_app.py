"""An application that shows what New Relic's agent knows of its request; as a program it calls `waitress.serve`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import newrelic.agent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the servers by which the transaction came; with null without a transaction."""
    transaction = newrelic.agent.current_transaction()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(None if transaction is None else sorted(transaction._dispatchers)).encode()]


def make_application(global_config: dict[str, str], **settings: str) -> object:
    """Return the application (PasteDeploy calls this)."""
    return application


if __name__ == "__main__":
    import logging

    import waitress

    logging.basicConfig(level=logging.INFO)
    waitress.serve(application, listen="127.0.0.1:0")
