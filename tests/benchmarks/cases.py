"""The cases of the benchmarks: servers, measurements and targets. Each target is a ratio to others in the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.benchmarks import measures
from tests.benchmarks.applications import LARGE_BYTES
from tests.benchmarks.measures import (
    ACCEPTED,
    CPU,
    FAILED,
    IDLE_BYTES,
    IMPORTED,
    MICROSECONDS,
    NEW,
    P50,
    P99,
    PEAK,
    REQUESTS,
    RESIDENT,
    RESPONDED,
    RESUMED,
    SHARE,
    SPEED,
    Measure,
    Open,
    Quantity,
)
from tests.benchmarks.servers import (
    BJOERN,
    GRANIAN,
    GRANIAN_LIMITED,
    HANDED_OFF,
    IN_C,
    LIMIT,
    OTHERS,
    ZOPE,
    Server,
    executable,
    tls_servers,
    waitress_servers,
)

OURS, _ = waitress_servers("--connection-limit=20000")
# Its default limit of 100 connections is no measure of its speed, and its select takes no descriptor above 1023.
_, OLD = waitress_servers("--connection-limit=20000", "--asyncore-use-poll")
# granian holds 1,024 connections at once by default; waitress 3.0.2 takes too long for a turn with more than 1,000.
PEERS = (OLD, *OTHERS, GRANIAN_LIMITED, ZOPE)
PURE_PYTHON = tuple(server.name for server in PEERS if server not in (GRANIAN, GRANIAN_LIMITED))
ANSWERS = (REQUESTS, P50, P99, CPU, PEAK, FAILED)
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)

BROWSER_FIELDS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://127.0.0.1/start"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; language=en"),
    ("DNT", "1"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
    ("Priority", "u=0, i"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
)

SETTINGS = {server.name: server.settings for server in (OURS, *PEERS, *IN_C)}


@dataclass(frozen=True)
class Contender:
    """One line of a table: a server or parser, and how it is measured."""

    name: str
    requirement: str
    """What `servers.install` installs for it."""
    open: Callable[[], AbstractContextManager[Measure]]
    """Starts it; for each round, calls what this gives; ends it."""


@dataclass(frozen=True)
class Target:
    """How many times better than the best of its peers one contender should be: more, or less where less is better."""

    quantity: Quantity
    peers: tuple[str, ...]
    whom: str
    """The peers in words."""
    at_least: float | None = None
    """None: the ratio is shown, without a target."""
    of: str = OURS.name


@dataclass(frozen=True)
class Case:
    """One table of the result."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    quantities: tuple[Quantity, ...]
    targets: tuple[Target, ...] = ()


def contenders(servers: Sequence[Server], measure: Open, **options: object) -> tuple[Contender, ...]:
    """Return a contender for each server, all with the same measurement."""
    return tuple(Contender(server.name, server.requirement, partial(measure, server, **options)) for server in servers)


def than_pure(quantity: Quantity, at_least: float | None = None) -> Target:
    return Target(quantity, PURE_PYTHON, "the best pure-Python peer", at_least)


def than_granian(at_least: float | None = None, quantity: Quantity = REQUESTS) -> Target:
    """Return the ratio to granian at the better of its two settings."""
    return Target(quantity, (GRANIAN.name, GRANIAN_LIMITED.name), "granian", at_least)


def than_limit(at_least: float | None = None, quantity: Quantity = REQUESTS) -> Target:
    return Target(quantity, (LIMIT.name,), "one loop", at_least)


def than_bjoern(at_least: float | None = None) -> Target:
    return Target(REQUESTS, (BJOERN.name,), "bjoern, in C", at_least)


def than_all(quantity: Quantity, at_least: float, servers: Sequence[Server] = PEERS) -> Target:
    return Target(quantity, tuple(server.name for server in servers), "the best of all", at_least)


def than_old(quantity: Quantity, at_least: float | None = None) -> Target:
    return Target(quantity, (OLD.name,), OLD.name, at_least)


def than_itself(*quantities: Quantity, at_least: float | None = None) -> tuple[Target, ...]:
    """Return the ratios to this server without running quick requests on the thread that has read them."""
    whom = "itself with every request handed off"
    return tuple(Target(quantity, (HANDED_OFF.name,), whom, at_least) for quantity in quantities)


def small(name: str, title: str, *targets: Target, **options: object) -> Case:
    """Return a case of many small requests to all servers, and to the limit of the interpreter."""
    servers = (OURS, HANDED_OFF, *PEERS, *IN_C, LIMIT)
    return Case(name, title, contenders(servers, measures.requests, **options), ANSWERS, targets)


def sleeping(name: str, title: str, path: str) -> Case:
    own = than_itself(REQUESTS, at_least=0.95)
    every = contenders((OURS, HANDED_OFF, *PEERS, *IN_C), measures.requests, path=path)
    return Case(name, title, every, ANSWERS, (than_granian(0.9), *own))


def shop(connections: int) -> Case:
    """Return a case of a real application, in which most of the work is not the server's."""
    servers = (OURS, *PEERS, *IN_C)
    every = contenders(servers, measures.orders, connections=connections)
    title = f"Flask with JSON, SQLite and a template, {connections} connections"
    quantities = (REQUESTS, P50, P99, CPU, SHARE, PEAK, FAILED)
    return Case(f"shop{connections}", title, every, quantities, (than_pure(REQUESTS), than_granian(), than_bjoern()))


def next_to_idle() -> Case:
    """Return a case of the same load next to more and more idle connections."""
    numbers = {OURS: (0, 100, 1000, 2000, 5000, 10_000), OLD: (0, 100, 1000), GRANIAN: (0, 1000)}
    lines = tuple(
        Contender(
            f"{server.name}, {idle:,} idle",
            server.requirement,
            partial(measures.requests_next_to_idle, server, idle=idle),
        )
        for server, counts in numbers.items()
        for idle in counts
    )
    none = f"{OURS.name}, 0 idle"
    targets = tuple(
        Target(REQUESTS, (none,), "itself with none", at_least, f"{OURS.name}, {idle:,} idle")
        for idle, at_least in ((2000, 0.9), (10_000, 0.85))
    )
    title = "13 bytes, 16 connections, next to idle ones"
    return Case("idle", title, lines, ANSWERS, targets)


def scaling(
    name: str,
    title: str,
    measure: Open,
    numbers: dict[Server, Sequence[int]],
    *quantities: Quantity,
) -> Case:
    """Return a case of the same measurement with growing numbers."""
    lines = tuple(
        Contender(f"{server.name}, {count:,}", server.requirement, partial(measure, server, count=count))
        for server, counts in numbers.items()
        for count in counts
    )
    return Case(name, title, lines, quantities)


def uploads() -> Case:
    """Return a case of a large upload; and of a smaller one, which must not take less memory."""
    smaller = f"{OURS.name}, 20 MB"
    lines = (
        *contenders((OURS, *PEERS, LIMIT), measures.upload, size=LARGE_BYTES),
        Contender(smaller, "", partial(measures.upload, OURS, size=LARGE_BYTES // 10)),
    )
    flat = Target(PEAK, (smaller,), "itself with 20 MB", 0.95)
    targets = (than_all(SPEED, 0.9), flat, than_limit(quantity=SPEED))
    return Case("upload", "200 MB upload", lines, (SPEED, CPU, PEAK), targets)


def downloads(name: str, title: str, path: str, at_least: float) -> Case:
    lines = contenders((OURS, *PEERS, LIMIT), measures.download, path=path)
    targets = (than_all(SPEED, at_least), than_old(SPEED), than_limit(quantity=SPEED))
    return Case(name, title, lines, (SPEED, CPU, PEAK), targets)


def parsing(
    data: str,
    title: str,
    h11_aim: float | None = None,
    httptools_aim: float | None = None,
) -> Case:
    """Return a case of one request to all parsers; the aims are those of this one."""
    h11, httptools = "h11==0.16.0", "httptools==0.7.1"
    lines = tuple(
        Contender(name, requirement, partial(measures.parse, python, parser=parser, data=data))
        for name, requirement, parser in (
            (OURS.name, "", "ours"),
            (OLD.name, OLD.requirement, "old"),
            ("h11", h11, "h11"),
            ("httptools (C)", httptools, "httptools"),
        )
        for python in [str(executable(requirement, "python")) if requirement else sys.executable]
    )
    targets = (
        Target(REQUESTS, (OLD.name,), OLD.name),
        Target(REQUESTS, ("h11",), "h11", h11_aim),
        Target(REQUESTS, ("httptools (C)",), "httptools, in C", httptools_aim),
    )
    return Case(f"parse-{data}", f"parse alone: {title}", lines, (MICROSECONDS, REQUESTS), targets)


TLS_SERVERS = tls_servers()
PURE_TLS = tuple(server.name for server in TLS_SERVERS[1:4])


def over_tls(
    name: str,
    title: str,
    measure: Open,
    *quantities: Quantity,
    servers: Sequence[Server] = TLS_SERVERS[:-1],
    **options: object,
) -> Case:
    """Return a case of all servers that speak TLS; what the first quantity should be depends on its kind."""
    first = quantities[0]
    aims = {REQUESTS: (5.0, 0.6), NEW: (None, 0.9), SPEED: (None, 0.8)}
    pure_aim, granian_aim = aims.get(first, (None, None))
    if options.get("connections") == 1:
        pure_aim = None  # one client waits for the system most of the time, whatever answers it
    targets = [
        Target(first, PURE_TLS, "the best of gunicorn, cheroot and uvicorn", pure_aim),
        Target(first, (GRANIAN.name,), "granian", granian_aim),
    ]
    if first is REQUESTS:
        servers = TLS_SERVERS
        targets.append(than_limit())
    return Case(name, f"TLS: {title}", contenders(servers, measure, **options), quantities, tuple(targets))


CASES = (
    small(
        *("hello1", "13 bytes, 1 connection"),
        *(than_limit(0.9), than_granian(1.0), than_pure(REQUESTS)),
        connections=1,
    ),
    small(
        *("hello16", "13 bytes, 16 connections"),
        *(than_pure(REQUESTS, 5.0), than_granian(1.0), than_bjoern(0.4)),
        *(than_all(P99, 1.0, (*PEERS, *IN_C)), than_limit(), *than_itself(REQUESTS, P99)),
        connections=16,
    ),
    small(
        *("hello100", "13 bytes, 100 connections"),
        *(than_pure(REQUESTS, 5.0), than_granian(0.7), than_bjoern(), than_limit()),
        connections=100,
    ),
    small(
        *("browser16", "a browser's fields, 10 KB, 16 connections"),
        *(than_pure(REQUESTS), than_granian(0.8), than_bjoern(), than_limit()),
        path="/json",
        fields=BROWSER_FIELDS,
    ),
    small(
        *("close16", "a connection for each request, 16 at once"),
        *(than_pure(REQUESTS), than_granian(0.8), than_bjoern(), than_limit()),
        fields=(("Connection", "close"),),
    ),
    shop(16),
    shop(100),
    sleeping("sleep20", "1 in 20 asleep for 20 ms, 16 connections", "/1-in-20"),
    sleeping("sleep300", "1 in 300 asleep for 20 ms, 16 connections", "/1-in-300"),
    downloads("generator", "200 MB download from a generator of 64 KiB pieces", "/generator", 0.95),
    downloads("file", "200 MB download by the file wrapper", "/file", 1.0),
    uploads(),
    next_to_idle(),
    Case(
        *("memory", "2,000 idle connections: the memory they take"),
        contenders((OURS, OLD, GRANIAN), measures.memory_of_idle, count=2000),
        (IDLE_BYTES, RESIDENT),
        (than_old(IDLE_BYTES, 1.0),),
    ),
    Case(
        *("start", "import waitress; start to the first response"),
        contenders((OURS, OLD), measures.start),
        (IMPORTED, RESPONDED),
        (than_old(IMPORTED, 1.0), than_old(RESPONDED, 1.0)),
    ),
    parsing("small", "a request line and Host"),
    parsing("browser", "a browser's 16 field lines", 6.0, 0.4),
    parsing("60-fields", "60 field lines"),
    parsing("fixed", "64 KiB with Content-Length"),
    parsing("chunked", "64 KiB in 16 chunks"),
    *(
        over_tls(
            *(f"tls{count}", f"13 bytes, {count} connection{'s' * (count > 1)}", measures.requests),
            *(REQUESTS, P50, P99, CPU, PEAK, FAILED),
            connections=count,
        )
        for count in (1, 16, 100)
    ),
    *(
        over_tls(
            *(name, f"handshakes with {kind}, one after the other", measures.handshakes, NEW, RESUMED, CPU),
            servers=tls_servers(kind)[:-1],
        )
        for name, kind in (("handshakes", "P-256"), ("handshakes-rsa", "RSA 2048"))
    ),
    over_tls("tls-generator", "200 MB download", measures.download, SPEED, CPU, PEAK, path="/generator"),
    over_tls("tls-file", "200 MB download by the file wrapper", measures.download, SPEED, CPU, PEAK, path="/file"),
    over_tls("tls-upload", "200 MB upload", measures.upload, SPEED, CPU, PEAK, size=LARGE_BYTES),
    over_tls("tls-memory", "idle connections", measures.memory_of_idle, IDLE_BYTES, RESIDENT, count=500),
    scaling(
        *("accept", "clients that come at once", measures.accept),
        {OURS: (100, 1000, 5000), OLD: (100, 1000), GRANIAN: (100, 1000)},
        *(ACCEPTED,),
    ),
    scaling(
        *("requests", "bytes in the body of a request, 4 connections", measures.request_bodies),
        dict.fromkeys((OURS, OLD, GRANIAN), SIZES),
        *(SPEED, REQUESTS, CPU, PEAK, FAILED),
    ),
    scaling(
        *("responses", "bytes in the body of a response, 4 connections", measures.response_bodies),
        dict.fromkeys((OURS, OLD, GRANIAN), SIZES),
        *(SPEED, REQUESTS, CPU, PEAK, FAILED),
    ),
)
