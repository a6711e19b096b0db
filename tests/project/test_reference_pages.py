"""Pages that list files, environ keys, errors or transitions of the code list all of them."""

import re
import socket
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from docs._extensions.errors_reference import tree_as_markdown
from docs._extensions.state_diagrams import Moves, machine_as_markdown

from tests.project.repository import BY_IMPORT_NAME, ROOT
from tests.support.certificates import authority_file, client_context, client_file, server_file
from tests.support.over_tls import TlsSocket
from tests.support.servers import running
from waitress_buffers import BufferStorageError
from waitress_core.connection import states as connection_states
from waitress_core.lifecycle import states as server_states
from waitress_core.processes import states as process_states
from waitress_parser import ProtocolError, machine

ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", re.MULTILINE)
CORE_TABLE = re.compile(r"^\| file of `waitress_core` \|.*\n\|.*\n((?:\|.*\n)+)", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


# --- files


def test_the_architecture_names_every_file_of_the_core_once_and_no_other() -> None:
    tables = CORE_TABLE.findall(page("explanation/architecture.md"))
    named = [name for table in tables for name, _ in ROW.findall(table)]
    assert sorted(named) == sorted(file_names("waitress_core"))


@pytest.mark.parametrize("package", ["waitress_parser", "waitress_buffers", "waitress_cli"])
def test_the_architecture_names_every_file_of_a_package(package: str) -> None:
    text = page("explanation/architecture.md")
    assert [name for name in file_names(package) if f"`{name}`" not in text] == []


def test_the_docstring_of_each_folder_of_the_core_names_its_files() -> None:
    source = BY_IMPORT_NAME["waitress_core"].source
    missing = [
        path
        for path in map(Path, file_names("waitress_core"))
        if path.parent != Path()
        if f"`{path.stem}`" not in (source / path.parent / "__init__.py").read_text(encoding="utf-8")
    ]
    assert missing == []


def test_the_picture_of_a_request_names_files_of_the_core() -> None:
    names = re.findall(r'class="name">(\w+/\w+)<', page("explanation/request.svg"))
    assert len(names) > 8
    assert [name for name in names if f"{name}.py" not in file_names("waitress_core")] == []


def file_names(package: str) -> list[str]:
    source = BY_IMPORT_NAME[package].source
    return [
        path.relative_to(source).as_posix() for path in BY_IMPORT_NAME[package].modules if path.name != "__init__.py"
    ]


def dotted_name(package: str, module: Path) -> str:
    parts = module.relative_to(BY_IMPORT_NAME[package].source).with_suffix("").parts
    return ".".join((package, *parts)).removesuffix(".__init__")


def test_every_class_and_method_that_the_architecture_names_is_there() -> None:
    classes = {
        name: value
        for package in ("waitress_core", "waitress_parser")
        for module in BY_IMPORT_NAME[package].modules
        for name, value in vars(import_module(dotted_name(package, module))).items()
        if isinstance(value, type)
    }
    text = page("explanation/architecture.md")
    methods = re.findall(r"`([A-Z]\w+)\.([a-z]\w*)`", text)
    assert len(methods) > 10
    assert [f"{name}.{method}" for name, method in methods if not hasattr(classes.get(name), method)] == []


# --- the environ


def test_the_page_on_the_environ_has_every_key_and_no_other() -> None:
    """Of a request that has them all."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    tls = {"tls_client_ca": authority_file(), "tls_client_certificate": "required"}
    with (
        running(application, tls_certificate=server_file(), **tls) as server,
        socket.create_connection(server.address, 20) as plain,
    ):
        client = TlsSocket(plain, client_context(client_file()))
        client.sendall(
            b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            b"X_Real_IP: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n0\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    text = page("reference/environ.md").partition("## Changed by a trusted proxy")[0]
    named = {
        name for name in re.findall(r"^\| (.*?) \|", text, re.MULTILINE) for name in re.findall(r"`([\w.]+)`", name)
    }
    named -= {"HTTP_..."}
    assert named == set(seen)


# --- errors


@pytest.mark.parametrize("root", [ProtocolError, BufferStorageError], ids=lambda root: root.__name__)
def test_the_table_of_errors_has_a_row_for_each_that_is_raised(root: type[Exception]) -> None:
    package = import_module(root.__module__.partition(".")[0])
    errors = [value for name in package.__all__ if isinstance(value := getattr(package, name), type)]
    raised = {error.__name__ for error in errors if issubclass(error, root) and not error.__subclasses__()}
    rows = dict(ROW.findall(tree_as_markdown(root)))
    assert set(rows) == raised
    assert all(text.rpartition("| ")[2] for text in rows.values())
    assert f"% errors {package.__name__}:{root.__name__}" in page("reference/errors.md")


def test_the_row_of_an_error_has_the_status_of_its_response() -> None:
    row = "| `RequestLineTooLong` | 414 | The request line is longer than its limit |"
    assert row in tree_as_markdown(ProtocolError)


# --- states

MACHINES: dict[str, Moves] = {
    "waitress_core.connection.states:RECEIVE_TRANSITIONS": connection_states.RECEIVE_TRANSITIONS,
    "waitress_core.connection.states:SEND_TRANSITIONS": connection_states.SEND_TRANSITIONS,
    "waitress_core.lifecycle.states:TRANSITIONS": server_states.TRANSITIONS,
    "waitress_core.processes.states:SUPERVISOR_TRANSITIONS": process_states.SUPERVISOR_TRANSITIONS,
    "waitress_core.processes.states:WORKER_TRANSITIONS": process_states.WORKER_TRANSITIONS,
    "waitress_parser.machine:TRANSITIONS": machine.TRANSITIONS,
}


@pytest.mark.parametrize("table", MACHINES)
def test_a_diagram_has_each_state_and_each_transition_of_its_table(table: str) -> None:
    moves = MACHINES[table]
    drawn = machine_as_markdown(moves)
    assert re.findall(r">(\w+)</text>", drawn) == [state.name for state in moves]
    assert drawn.count("marker-end") == sum(len(ends) for ends in moves.values())
    assert "<script" not in drawn
    for start, ends in moves.items():
        named = dict(ROW.findall(drawn))[start.name]
        assert set(re.findall(r"`(\w+)`", named)) == {end.name for end in ends}
    assert f"% states {table}" in page("explanation/threads.md") + page("explanation/processes.md")


def test_transitions_down_are_drawn_on_the_right_and_up_on_the_left() -> None:
    arcs = re.findall(
        r'd="M(\d+) (\d+)C(-?\d+) \d+ -?\d+ \d+ \d+ (\d+)"', machine_as_markdown(connection_states.RECEIVE_TRANSITIONS)
    )
    assert len(arcs) > 10
    for edge, leaves_at, out, arrives_at in arcs:
        assert (int(out) > int(edge)) == (int(arrives_at) > int(leaves_at))


def test_a_link_in_a_readme_leads_to_a_file() -> None:
    """Sphinx checks the links in docs/, but not those of the READMEs."""
    broken = []
    for readme in [ROOT / "README.md", *(package.folder / "README.md" for package in BY_IMPORT_NAME.values())]:
        for target in re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8")):
            if "://" not in target and not (readme.parent / target.partition("#")[0]).exists():
                broken.append(f"{readme.relative_to(ROOT)}: {target}")
    assert broken == []
