"""Settings from environment variables and TOML files: what they give, and what is said of their faults."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waitress_core import SETTINGS, Adjustments, Setting
from waitress_core.config.sources import Given, Reading, expand, merge, read_environment, read_file, read_text
from waitress_core.config.toml_file import as_toml

BY_NAME = {setting.name: setting for setting in SETTINGS}
FORMATS = "combined, json, or a text with {fields}"
NO_NAME = "${NAME} has a name between its braces, and nothing else"
A_LIST = "a list of texts, or one text with spaces or commas between them"


def from_file(folder: Path, text: str | bytes, name: str = "w.toml", **environ: str) -> Reading:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    reading = read_file(str(path), SETTINGS, environ)
    reading.faults = [fault.replace(str(path), name) for fault in reading.faults]
    return reading


def parts(reading: Reading) -> tuple[dict[str, Given], list[str], list[str]]:
    return reading.given, reading.faults, reading.ignored


def values(reading: Reading) -> dict[str, Any]:
    assert reading.faults == []
    return {name: given.value for name, given in reading.given.items()}


# --- the environment


def test_every_setting_has_a_variable() -> None:
    for setting in SETTINGS:
        variable = f"WAITRESS_{setting.name.upper()}"
        reading = read_environment({variable: "\0"}, SETTINGS)
        given = reading.given.get(setting.name, Given("\0", variable))
        assert given == Given("\0", variable)
        shown = "..." if setting.is_secret else "'\\x00'"
        assert all(fault.startswith(f"{variable}={shown}: expected ") for fault in reading.faults)
        assert reading.ignored == []


def test_variables_are_texts_that_the_settings_read() -> None:
    environ = {"WAITRESS_THREADS": "8", "WAITRESS_IPV6": "Off", "WAITRESS_MAX_REQUEST_BODY_SIZE": "10m", "HOME": "/"}
    given = values(read_environment(environ, SETTINGS))
    assert given == {"threads": "8", "ipv6": "Off", "max_request_body_size": "10m"}
    assert Adjustments(**given, listen="127.0.0.1:0").max_request_body_size == 10485760


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("WAITRESS_THREADS", "0", "WAITRESS_THREADS='0': expected a whole number of at least 1"),
        ("WAITRESS_THREADS", "", "WAITRESS_THREADS='': expected a whole number of at least 1"),
        ("WAITRESS_IPV6", "maybe", "WAITRESS_IPV6='maybe': expected true or false"),
        ("WAITRESS_TREADS", "4", "WAITRESS_TREADS is not a setting; did you mean WAITRESS_THREADS?"),
        ("WAITRESS_LISTEN", "*:${PORT}", "WAITRESS_LISTEN='*:${PORT}': there is no environment variable 'PORT'"),
        (
            "WAITRESS_SOCKETS",
            "3",
            "WAITRESS_SOCKETS='3': expected a list of sockets, which only Python code can give",
        ),
    ],
)
def test_a_fault_names_the_variable_what_was_given_and_what_is_accepted(variable: str, value: str, fault: str) -> None:
    assert parts(read_environment({variable: value}, SETTINGS)) == ({}, [fault], [])


@pytest.mark.parametrize(
    "variable", ["WAITRESS_SERVICE_HOST", "WAITRESS_SERVICE_PORT", "WAITRESS_SERVICE_PORT_HTTP", "WAITRESS_PORT_80_TCP"]
)
def test_what_kubernetes_says_of_a_service_waitress_is_no_setting(variable: str) -> None:
    environ = {variable: "tcp://10.0.0.1:80", "WAITRESS_PORT": "tcp://10.0.0.1:80"}
    assert parts(read_environment(environ, SETTINGS)) == ({}, [], [])


def test_a_variable_that_resembles_no_setting_belongs_to_somebody_else() -> None:
    reading = read_environment(
        {"WAITRESS_OPTS": "--threads=8", "WAITRESS_CONFIG": "x"}, SETTINGS, others=["WAITRESS_CONFIG"]
    )
    assert parts(reading) == ({}, [], ["WAITRESS_OPTS"])


@given(st.dictionaries(st.sampled_from([f"WAITRESS_{s.name.upper()}" for s in SETTINGS]), st.text(), max_size=4))
def test_any_environment_gives_settings_that_can_be_read_or_faults(environ: dict[str, str]) -> None:
    reading = read_environment(environ, SETTINGS)
    assert len(reading.given) + len(reading.faults) == len(environ)
    for name, value in reading.given.items():
        BY_NAME[name].read(value.value)
    assert all("\n" not in fault for fault in reading.faults)


@given(st.text(min_size=1), st.text())
def test_any_variable_after_the_prefix_is_read_ignored_or_a_fault(name: str, value: str) -> None:
    reading = read_environment({f"WAITRESS_{name}": value}, SETTINGS)
    assert len(reading.given) + len(reading.faults) + len(reading.ignored) <= 1


# --- variables in a text


def test_variables_are_expanded() -> None:
    environ = {"PORT": "80", "HOST": "::1", "EMPTY": ""}
    assert expand("[${HOST}]:${PORT}${EMPTY} $PORT $${PORT} {PORT}", environ) == "[::1]:80 $PORT ${PORT} {PORT}"


@pytest.mark.parametrize("name", ["PORT", "", "PORT:-80", "a\0b", "\ud800", "{"])
def test_a_variable_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there is no environment variable"):
        expand(f"*:${{{name}}}", os.environ)


def test_of_texts_only_listen_is_expanded() -> None:
    assert read_text(BY_NAME["listen"], "*:${PORT}", "--listen", {"PORT": "80"}) == "*:80"
    assert read_text(BY_NAME["ident"], "${PORT}", "--ident", {}) == "${PORT}"


# --- a file


def test_a_file_gives_values_of_the_types_of_toml(tmp_path: Path) -> None:
    text = """
        listen = ["127.0.0.1:${PORT}", "[::1]:8080"]
        threads = 8
        channel_timeout = 0.5
        shutdown_timeout = "2min"
        max_request_body_size = "10m"
        expose_tracebacks = true
        access_log = "json"
        ident = ""
        unix_socket_perms = "660"
        trusted_proxy = ["10.0.0.1", "::1"]
        trusted_proxy_headers = "x-forwarded-for x-forwarded-proto"
    """
    given = values(from_file(tmp_path, text, PORT="0"))
    assert given["listen"] == ["127.0.0.1:0", "[::1]:8080"]
    adjustments = Adjustments(**given)
    assert adjustments.threads == 8
    assert adjustments.shutdown_timeout == 120
    assert adjustments.trusted_proxy == "10.0.0.1 ::1"
    assert adjustments.access_log_format == "json"
    assert adjustments.unix_socket_perms == 0o660


@pytest.mark.parametrize("name", ["pyproject.toml", "w.toml"])
def test_of_a_pyproject_file_it_is_the_table_tool_waitress(name: str, tmp_path: Path) -> None:
    assert values(from_file(tmp_path, "[tool.waitress]\nthreads = 8\n", "pyproject.toml")) == {"threads": 8}


@pytest.mark.parametrize("text", ["", "tool = 1", "[tool.other]", "[tool]\nwaitress = 1"])
def test_a_pyproject_file_without_the_table_is_refused(text: str, tmp_path: Path) -> None:
    assert from_file(tmp_path, text, "pyproject.toml").faults == ["pyproject.toml: it has no table [tool.waitress]"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("treads = 4", "treads is not a setting; did you mean threads?"),
        ("unix-socket = 'x'", "unix-socket is not a setting; did you mean unix_socket?"),
        ("tls_cert = 'x'", "tls_cert is not a setting; did you mean tls_certificate?"),
        ("tls_c = 'x'", "tls_c is not a setting"),
        ("threads = 0", "threads=0: expected a whole number of at least 1"),
        ("threads = '4'", 'threads="4": expected a whole number of at least 1, without quotation marks'),
        ("threads = 'many'", "threads='many': expected a whole number of at least 1"),
        ("threads = true", "threads=true: expected a whole number of at least 1"),
        ("threads = 4.0", "threads=4.0: expected a whole number of at least 1"),
        ("threads = [4]", "threads=[4]: expected a whole number of at least 1"),
        ("ipv6 = 'yes'", 'ipv6="yes": expected true or false, without quotation marks'),
        ("ipv6 = 1", "ipv6=1: expected true or false"),
        ("ident = 5", "ident=5: expected a text"),
        ("ident = 2026-11-28", "ident=2026-11-28: expected a text"),
        ("listen = 8080", f"listen=8080: expected {A_LIST}"),
        ("listen = [8080]", f"listen=[8080]: expected {A_LIST}"),
        ("listen = [['a:1']]", f'listen=[["a:1"]]: expected {A_LIST}'),
        ("listen = [{host = 'a'}]", f'listen=[{{"host" = "a"}}]: expected {A_LIST}'),
        ("listen = '*:$PORT'", 'listen="*:$PORT": $PORT is not replaced by the variable: write ${PORT}'),
        ("listen = '*:${PORT'", 'listen="*:${PORT": ${PORT is not replaced by the variable: write ${PORT}'),
        ("listen = '*:${A:-80}'", f"listen=\"*:${{A:-80}}\": there is no environment variable 'A:-80'; {NO_NAME}"),
        ("access_log = 1", "access_log=1: expected true or false, or the format of its lines: " + FORMATS),
        ("config = 'x'", "config is not a setting"),
        ("'' = 1", "an empty key is not a setting"),
        ("listen = '*:${PORT}'", "listen=\"*:${PORT}\": there is no environment variable 'PORT'"),
        (
            "unix_socket_perms = 660",
            "unix_socket_perms=660: expected octal permissions between 0 and 7777, such as '660'",
        ),
        (
            "sockets = []",
            "sockets=[]: expected a list of sockets, which only Python code can give",
        ),
        ("threads = {a = 1}", 'threads={"a" = 1}: expected a whole number of at least 1'),
        (
            "channel_timeout = 0",
            "channel_timeout=0: expected a number of seconds above 0, or one with a unit: 500ms, 2min, 1h",
        ),
    ],
)
def test_a_fault_names_file_line_setting_what_was_given_and_what_is_accepted(
    line: str, fault: str, tmp_path: Path
) -> None:
    reading = from_file(tmp_path, f"# settings\n\n{line}\nbacklog = 7\n")
    assert reading.faults == [f"w.toml, line 3: {fault}"]
    assert {name: given.value for name, given in reading.given.items()} == {"backlog": 7}


@pytest.mark.parametrize("table", ["[waitress]", "[tool.waitress]", "[[server]]", "[a.b]"])
def test_a_table_in_which_nothing_is_read_is_a_fault(table: str, tmp_path: Path) -> None:
    name = re.split(r"[].]", table.strip("["))[0]
    assert from_file(tmp_path, f"ident = 'a'\n{table}\nthreads = 4\n").faults == [
        f"w.toml, line 2: the table [{name}] is not a setting; write settings at the top of the file, in no table"
    ]


def test_a_name_of_another_server_is_told_by_its_name_here(tmp_path: Path) -> None:
    names = {"timeout": "worker_timeout"}
    (tmp_path / "w.toml").write_text("timeout = 30\ntimeouts = 1\n")
    reading = read_file(str(tmp_path / "w.toml"), SETTINGS, {}, counterpart=names.get)
    assert [fault.partition(": ")[2] for fault in reading.faults] == [
        "timeout is not a setting; here it is worker_timeout",
        "timeouts is not a setting",
    ]
    environ = {"WAITRESS_TIMEOUT": "30", "WAITRESS_OPTS": ""}
    reading = read_environment(environ, SETTINGS, counterpart=names.get)
    assert parts(reading) == ({}, [], ["WAITRESS_OPTS", "WAITRESS_TIMEOUT (here it is WAITRESS_WORKER_TIMEOUT)"])


def test_a_variable_in_small_letters_is_not_read_and_not_passed_over_in_silence() -> None:
    environ = {"waitress_threads": "8", "Waitress_Threads": "8", "waitress_home": "/", "WAITRESS_Threads": "8"}
    reading = read_environment(environ, SETTINGS)
    assert parts(reading) == (
        {},
        ["WAITRESS_Threads is not a setting; did you mean WAITRESS_THREADS?"],
        ["Waitress_Threads (only WAITRESS_THREADS is one)", "waitress_threads (only WAITRESS_THREADS is one)"],
    )


def test_a_key_that_is_written_in_an_odd_way_has_no_line(tmp_path: Path) -> None:
    assert from_file(tmp_path, '"thr\\u0065ads\\n" = 0').faults == [
        "w.toml: threads\\n is not a setting; did you mean threads?"
    ]


def test_every_fault_of_a_file_is_told(tmp_path: Path) -> None:
    faults = from_file(tmp_path, "threads = 0\r\nipv6 = 0\r\n").faults
    assert [fault[:16] for fault in faults] == ["w.toml, line 1: ", "w.toml, line 2: "]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"threads = 4\nident = '\xff'", "line 2 is not UTF-8"),
        (b"\xef\xbb\xbfthreads =", r"Invalid value.*"),
        (b"\n[threads", r"Expected .*"),
    ],
)
def test_a_file_that_is_not_toml_is_refused(text: bytes, fault: str, tmp_path: Path) -> None:
    (said,) = from_file(tmp_path, text).faults
    assert re.fullmatch(f"w.toml(, line [0-9]+)?: {fault}", said)


def test_a_key_given_twice_is_named_with_its_second_line(tmp_path: Path) -> None:
    text = "ident = '''\nthreads = 1'''\nthreads = 4\nipv6 = false\n\nthreads = 5\nbacklog = 3\n"
    assert from_file(tmp_path, text).faults == ["w.toml, line 6: threads is given twice"]


@pytest.mark.parametrize("path", ["none.toml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_fault(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (fault,) = read_file(path, SETTINGS, {}).faults
    assert fault.startswith(f"{path}: ")
    assert "Errno" not in fault


TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.times() | st.sampled_from(["1k", "${A}"]),
    lambda items: st.lists(items, max_size=2) | st.dictionaries(st.text(), items, max_size=2),
    max_leaves=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)) | st.text(), TOML_VALUES, max_size=3))
def test_any_toml_gives_settings_that_can_be_read_or_faults(tmp_path: Path, table: dict[str, Any]) -> None:
    text = "".join(f"{as_toml(key)} = {as_toml(value)}\n" for key, value in table.items())
    reading = from_file(tmp_path, text)
    for name, value in reading.given.items():
        BY_NAME[name].read(value.value)
    assert all("\n" not in fault for fault in reading.faults)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | st.text(alphabet="[]{}=.,'\"#\n 1athreds_-").map(str.encode))
def test_any_file_gives_settings_that_can_be_read_or_faults(tmp_path: Path, content: bytes) -> None:
    for name in ("w.toml", "pyproject.toml"):
        assert all("\n" not in fault for fault in from_file(tmp_path, content, name).faults)


# --- together


def given_by(source: str, **values: Any) -> dict[str, Given]:
    return {name: Given(value, source) for name, value in values.items()}


def test_a_stronger_source_wins_and_a_list_replaces() -> None:
    merged = merge([given_by("file", threads=2, listen=["a:1", "b:2"], ident="x"), given_by("option", listen="c:3")])
    assert merged == {**given_by("file", threads=2, ident="x"), **given_by("option", listen="c:3")}


@pytest.mark.parametrize(
    ("weaker", "stronger", "left"),
    [
        ({"listen": "a:1"}, {"port": "2"}, {"port"}),
        ({"host": "a", "port": 1}, {"listen": "b:2"}, {"listen"}),
        ({"listen": "a:1"}, {"unix_socket": "x"}, {"unix_socket"}),
        ({"unix_socket": "x"}, {"host": "a"}, {"host"}),
        ({"host": "a"}, {"port": "2"}, {"host", "port"}),
    ],
    ids=["port", "listen", "unix-socket", "host", "no-contradiction"],
)
def test_what_contradicts_a_stronger_source_gives_way(
    weaker: dict[str, Any], stronger: dict[str, Any], left: set[str]
) -> None:
    assert set(merge([given_by("file", **weaker), given_by("option", **stronger)])) == left


def test_what_contradicts_in_one_source_stays_for_the_server_to_refuse() -> None:
    assert set(merge([given_by("file", listen="a:1", port=2)])) == {"listen", "port"}


def test_a_setting_that_holds_a_secret_says_so() -> None:
    def looks_secret(setting: Setting) -> bool:
        return setting.name.endswith(("_token", "_password", "_secret"))

    assert [s.name for s in SETTINGS if looks_secret(s) and not s.is_secret] == []


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device without an end")
def test_a_device_without_an_end_is_refused() -> None:
    assert read_file("/dev/zero", SETTINGS, {}).faults == ["/dev/zero: it is larger than 16 MiB"]
