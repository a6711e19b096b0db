"""An application like those that people write: Flask, a JSON body, a query of SQLite, a template.

python -m tests.benchmarks.shop prints the microseconds of one request without a server.
"""

from __future__ import annotations

import io
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


ORDER = Path(__file__).with_name("order.json").read_bytes()
CUSTOMERS, ORDERS_EACH = 200, 12
PAGE = """<!doctype html>
<title>Orders of {{ customer }}</title>
<h1>Orders of {{ customer }}</h1>
<table>
{% for number, item, price in orders %}<tr class="{{ loop.cycle("odd", "even") }}"><td>{{ number }}<td>{{ item }}
<td>{{ "%.2f"|format(price) }}
{% endfor %}</table>
<p>{{ wanted|length }} more: {{ wanted|join(", ") }}. In all {{ "%.2f"|format(total) }}.
"""

application = flask.Flask(__name__)
_local = threading.local()


def database() -> sqlite3.Connection:
    """Return this thread's connection to a database in memory."""
    if not hasattr(_local, "database"):
        _local.database = sqlite3.connect(":memory:")
        _local.database.execute("create table orders (number integer primary key, customer, item, price)")
        _local.database.execute("create index customers on orders (customer)")
        rows = [(number % CUSTOMERS, f"item <{number}>", number * 0.37) for number in range(CUSTOMERS * ORDERS_EACH)]
        _local.database.executemany("insert into orders (customer, item, price) values (?, ?, ?)", rows)
    connection: sqlite3.Connection = _local.database
    return connection


@application.post("/order")
def order() -> str:
    wanted = flask.request.get_json()
    query = "select number, item, price from orders where customer = ? order by number"
    orders = database().execute(query, (wanted["customer"],)).fetchall()
    total = sum(price for _, _, price in orders)
    return flask.render_template_string(
        PAGE, customer=wanted["customer"], orders=orders, wanted=wanted["items"], total=total
    )


def environ_of_an_order() -> WSGIEnvironment:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/order",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(ORDER)),
        "HTTP_HOST": "localhost",
        "wsgi.input": io.BytesIO(ORDER),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }


def microseconds_alone(seconds: float) -> float:
    """Return the processor time of a request that no server reads, with a response that none sends."""

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if not status.startswith("200"):
            raise RuntimeError(f"the application answered {status}")

    def ask(times: int) -> None:
        for _ in range(times):
            b"".join(application(environ_of_an_order(), start_response))

    ask(200)
    count, started_at = 0, time.process_time()
    while time.process_time() - started_at < seconds:
        ask(100)
        count += 100
    return (time.process_time() - started_at) / count * 1e6


if __name__ == "__main__":
    print(microseconds_alone(float(sys.argv[1])))
