"""The id of the request that a thread runs, for log records.

Give a handler the filter, and every record of a request, also those of the application, has `request_id`:

    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(request_id)s %(message)s"))

A context variable, and not a thread-local: asynchronous code and greenlets that the application runs see it too.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

current_request_id: ContextVar[str] = ContextVar("waitress.request_id")


@contextmanager
def records_of(request_id: str | None) -> Iterator[None]:
    """Return a context in which the records of a thread that runs no request have the id of one, if it has an id."""
    if request_id is None:
        yield
        return
    token = current_request_id.set(request_id)
    try:
        yield
    finally:
        current_request_id.reset(token)


class RequestIdFilter(logging.Filter):
    """A filter that gives each log record the id of the current request, as `request_id`; "-" outside a request.

    A record that has the attribute already keeps it. No record is dropped.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attribute; return True."""
        if not hasattr(record, "request_id"):
            record.request_id = current_request_id.get("-")
        return True
