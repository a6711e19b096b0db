"""Importing `waitress`: light, isolated, and where the system lacks something."""

import importlib
import subprocess
import sys

import pytest

import waitress


def python(*arguments: str) -> str:
    """Run this interpreter; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_there() -> None:
    assert sorted(waitress.__all__) == ["create_server", "profile", "serve", "serve_paste"]
    assert all(callable(getattr(waitress, name)) for name in waitress.__all__)


@pytest.mark.promise("S01")
@pytest.mark.parametrize("module", ["waitress", "waitress.server", "waitress.adjustments", "waitress.runner"])
def test_an_isolated_interpreter_imports_it_without_a_warning(module: str) -> None:
    assert python("-I", "-W", "error", "-c", f"import {module}") == ""


def test_the_command_line_and_the_profiler_are_not_imported_before_they_are_needed() -> None:
    loaded = python("-c", "import sys, waitress, waitress.runner; print(*sys.modules)").split()
    assert not {"argparse", "cProfile", "getopt", "gettext", "pstats", "waitress_cli.options"} & set(loaded)


WITHOUT_UNIX_SOCKETS = """\
import socket, threading
if hasattr(socket, "AF_UNIX"):
    del socket.AF_UNIX
import waitress, waitress.server
assert not hasattr(waitress.server, "UnixWSGIServer")

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"tea"]

server = waitress.create_server(application, listen="127.0.0.1:0")
thread = threading.Thread(target=server.run)
thread.start()
with socket.create_connection((server.effective_host, int(server.effective_port)), 5) as client:
    client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(client.makefile("rb").read().decode().splitlines())
server.close()
thread.join()
try:
    waitress.create_server(application, unix_socket="it.sock")
except OSError as error:
    print(error)
"""


@pytest.mark.promise("S10")
def test_without_unix_sockets_it_imports_and_serves_tcp_and_refuses_a_path() -> None:
    response, refusal = python("-c", WITHOUT_UNIX_SOCKETS).splitlines()
    assert response.startswith("['HTTP/1.0 200 OK', ")
    assert response.endswith(", '', 'tea']")
    assert "Cannot listen on it.sock: this system has no unix sockets" in refusal


SUBMODULES = sorted(set(waitress._MODULES) - {"logging"})


def test_all_modules_are_attributes_after_a_bare_import_and_are_imported_only_then() -> None:
    program = f"import sys, waitress; print(*sys.modules); [getattr(waitress, name).__name__ for name in {SUBMODULES}]"
    loaded = python("-W", "error", "-c", program).split()
    assert not {f"waitress.{name}" for name in SUBMODULES} & set(loaded)
    assert set(SUBMODULES) <= set(dir(waitress))


def test_create_server_of_the_package_is_ours_whatever_its_module_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = waitress.create_server
    monkeypatch.setattr(waitress.server, "create_server", lambda *arguments, **settings: None)
    assert waitress.create_server is ours


def test_no_other_name_is_an_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'waitress' has no attribute 'kettle'"):
        waitress.kettle  # noqa: B018  # looking is what is tested


@pytest.mark.parametrize("name", SUBMODULES)
def test_each_module_says_who_needs_it(name: str) -> None:
    assert importlib.import_module(f"waitress.{name}").__doc__
