"""What `import waitress`, making a server and serving a request import: no more than each needs.

Modules for features that are off by default, and for programs that use names outside the public API, are imported where
they are used.
"""

import subprocess
import sys

import pytest

from tests.project.repository import PACKAGES

# The server uses each of these, and the modules that they import.
NEEDED = """
array atexit collections.abc contextlib contextvars enum errno io logging math os re select signal socket stat sys
threading time typing
"""
NEEDED_TO_SERVE = "queue"
if sys.platform != "win32":
    NEEDED += "resource"  # the limit of open files

# Modules of the packages that are imported when they are needed.
LAZY = """
waitress.__main__
waitress._parsing
waitress._protocols
waitress._relics
waitress.parser
waitress.proxy_headers
waitress.receiver
waitress.rfc7230
waitress.runner
waitress.utilities
waitress.wasyncore
waitress_cli.access_log
waitress_cli.app_loader
waitress_cli.command
waitress_cli.command_logging
waitress_cli.command_settings
waitress_cli.completion
waitress_cli.configuration
waitress_cli.current
waitress_cli.log_config
waitress_cli.options
waitress_cli.other_servers
waitress_cli.pid_file
waitress_cli.pure_profile
waitress_cli.remedies
waitress_cli.reports
waitress_cli.status
waitress_core.config.keywords
waitress_core.config.log_format
waitress_core.config.processors
waitress_core.config.sources
waitress_core.config.status_settings
waitress_core.config.tls
waitress_core.config.toml_file
waitress_core.connection.prelude
waitress_core.connection.request_ids
waitress_core.http.request_id
waitress_core.lifecycle.notify
waitress_core.lifecycle.observer
waitress_core.lifecycle.requested
waitress_core.net.activation
waitress_core.net.handover
waitress_core.net.proxy_protocol
waitress_core.net.tls
waitress_core.net.tls_contexts
waitress_core.net.tls_info
waitress_core.observability.access_log
waitress_core.observability.histograms
waitress_core.observability.process
waitress_core.observability.refusals
waitress_core.observability.request_ids
waitress_core.observability.request_measures
waitress_core.observability.request_timeout
waitress_core.observability.slow_requests
waitress_core.observability.snapshot
waitress_core.processes
waitress_core.processes.child
waitress_core.processes.figures
waitress_core.processes.forking
waitress_core.processes.lifeline
waitress_core.processes.plan
waitress_core.processes.reloading
waitress_core.processes.scoreboard
waitress_core.processes.side_by_side
waitress_core.processes.states
waitress_core.processes.starting
waitress_core.processes.status_process
waitress_core.processes.successor
waitress_core.processes.supervised
waitress_core.processes.supervisor
waitress_core.processes.takeover
waitress_core.processes.waiting
waitress_core.processes.worker
waitress_core.processes.worker_handle
waitress_core.processes.worker_pipes
waitress_core.processes.workers
waitress_core.status
waitress_core.status.app
waitress_core.status.document
waitress_core.status.metrics
waitress_core.status.second_server
waitress_core.status.threads_text
waitress_core.threads.queue_limit
waitress_core.wsgi.bounded_task
waitress_core.wsgi.error_stream
waitress_core.wsgi.identified_task
waitress_core.wsgi.logged_task
waitress_core.wsgi.proxied_task
waitress_core.wsgi.trusted_headers
waitress_parser.proxy_protocol
"""

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1].split("|")
for name in sys.argv[2].split():
    __import__(name)
class Record(sys.modules["typing"].NamedTuple):  # such records are used too; Python 3.15 imports more to make one
    field: int
before = set(sys.modules)
import socket, waitress
{then}
print(*sorted(set(sys.modules) - before))
"""
SERVE = """
import waitress_cli  # as `waitress.serve` does

def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode("latin-1")]

server = waitress.create_server(application, listen="127.0.0.1:0")
with server:
    with socket.socket() as client:
        client.connect((server.effective_host, int(server.effective_port)))
        client.sendall(b"GET /a HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
assert answer.endswith(b"/a"), answer
"""


MAKE = "import waitress.server, waitress_cli  # as `waitress.serve` does"


@pytest.fixture(scope="module", params=[(MAKE, ""), (SERVE, NEEDED_TO_SERVE)], ids=["make", "serve"])
def imported(request: pytest.FixtureRequest) -> set[str]:
    """Return the names of the modules that are imported."""
    sources = "|".join(str(package.source.parent) for package in PACKAGES)
    then, needed = request.param
    command = [sys.executable, "-S", "-c", PROGRAM.format(then=then), sources, f"{NEEDED} {needed}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


IMPORT = """
import sys
before = set(sys.modules)
sys.path[:0] = sys.argv[1].split("|")
import waitress
print(*sorted(set(sys.modules) - before))
"""


def test_import_waitress_imports_nothing_else() -> None:
    sources = "|".join(str(package.source.parent) for package in PACKAGES)
    command = [sys.executable, "-S", "-c", IMPORT, sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("waitress\n", "")


def test_only_needed_modules_of_the_standard_library_are_imported(imported: set[str]) -> None:
    assert {name for name in imported if not name.startswith("waitress")} == set()


def test_each_module_of_the_packages_is_imported_or_listed_as_lazy(imported: set[str]) -> None:
    own = {
        ".".join((package.import_name, *module.relative_to(package.source).with_suffix("").parts))
        for package in PACKAGES
        for module in package.modules
    }
    assert {name for name in imported if name.startswith("waitress")} == {
        name.removesuffix(".__init__") for name in own
    } - set(LAZY.split())


COMPILING = """
import builtins, sys
import typing
sys.path[:0] = sys.argv[1].split("|")
compile_source = builtins.compile

def compile_no_annotation(source, filename, mode, *arguments, **keywords):
    if mode == "eval":
        print(source)
    return compile_source(source, filename, mode, *arguments, **keywords)

builtins.compile = compile_no_annotation
import waitress.server, waitress_cli
"""


def test_no_annotation_is_compiled_by_an_import() -> None:
    # As typing does with text in a NamedTuple or in the bound of a TypeVar. The first one makes a class for each kind
    # of syntax node, which takes as long as importing the parser.
    sources = "|".join(str(package.source.parent) for package in PACKAGES)
    command = [sys.executable, "-S", "-c", COMPILING, sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


PATTERNS = """
import re, sys
sys.path[:0] = sys.argv[1].split("|")
for name in sys.argv[2].split():
    __import__(name)
compile_pattern = re.compile

def report_and_compile(pattern, flags=0):
    print(sys._getframe(1).f_globals["__name__"])
    return compile_pattern(pattern, flags)

re.compile = report_and_compile
import waitress.server, waitress_cli
"""

# Each plain request may use these patterns. What few requests use is compiled for the first of them.
COMPILED_AT_IMPORT = [
    "waitress_parser.authority",
    "waitress_parser.body",
    "waitress_parser.grammar",
    "waitress_parser.lines",
]


def test_only_patterns_of_plain_requests_are_compiled_by_an_import() -> None:
    sources = "|".join(str(package.source.parent) for package in PACKAGES)
    command = [sys.executable, "-S", "-c", PATTERNS, sources, NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == COMPILED_AT_IMPORT
