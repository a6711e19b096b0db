"""Arguments as settings, and the text of --help."""

import re

import pytest

from tests.cli.settings_rows import ROWS, Row
from waitress_cli.options import WIDTH, CommandLine, CommandLineError, check_values, help_text, parse
from waitress_core import SETTINGS, Adjustments


def test_there_is_a_row_for_every_setting() -> None:
    assert {row.name for row in ROWS} == {setting.name for setting in SETTINGS}


@pytest.mark.promise("S16")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_setting_has_an_option(row: Row) -> None:
    assert parse([*row.words, "shop:app"]) == CommandLine({row.name: row.text}, ["shop:app"], False, False)


@pytest.mark.parametrize(
    ("arguments", "settings", "applications"),
    [
        pytest.param(["shop:app", "--threads=2"], {"threads": "2"}, ["shop:app"], id="option-after-the-application"),
        pytest.param(["--threads", "2", "shop:app"], {"threads": "2"}, ["shop:app"], id="value-as-the-next-word"),
        pytest.param(["--thr=2"], {"threads": "2"}, [], id="option-cut-short"),
        pytest.param(["--no-exp"], {"expose_tracebacks": "false"}, [], id="no-cut-short"),
        pytest.param(["--port=1", "--port=2"], {"port": "2"}, [], id="last-one-holds"),
        pytest.param(["--ipv4", "--no-ipv4"], {"ipv4": "false"}, [], id="last-of-a-pair-holds"),
        pytest.param(["--listen=a:1", "--listen", "b:2 c:3"], {"listen": "a:1 b:2 c:3"}, [], id="listen-adds"),
        pytest.param(["--ident="], {"ident": ""}, [], id="empty-value"),
        pytest.param(["--port", "-1"], {"port": "-1"}, [], id="value-that-begins-with-a-hyphen"),
        pytest.param(["--url-prefix=/a=b"], {"url_prefix": "/a=b"}, [], id="value-with-an-equals-sign"),
        pytest.param(["--app=shop:app"], {}, ["shop:app"], id="application-as-an-option"),
        pytest.param(["--app=shop:app", "tea:app"], {}, ["shop:app", "tea:app"], id="application-twice"),
        pytest.param([], {}, [], id="nothing"),
    ],
)
def test_arguments(arguments: list[str], settings: dict[str, str], applications: list[str]) -> None:
    command = parse(arguments)
    assert (command.settings, command.applications) == (settings, applications)


def test_with_options_first_the_first_other_word_ends_them() -> None:
    command = parse(["--port=1", "shop:app", "--port=2"], options_first=True)
    assert (command.settings, command.applications) == ({"port": "1"}, ["shop:app", "--port=2"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--bogus"], "unrecognized arguments: --bogus", id="unknown"),
        pytest.param(["-h"], "unrecognized arguments: -h", id="short"),
        pytest.param(
            ["--no-threads"], "unrecognized arguments: --no-threads; did you mean --threads?", id="no-for-a-number"
        ),
        pytest.param(
            ["--unix_socket=x"],
            "unrecognized arguments: --unix_socket=x; did you mean --unix-socket?",
            id="underscore",
        ),
        pytest.param(["--treads", "4"], "unrecognized arguments: --treads; did you mean --threads?", id="mistyped"),
        pytest.param(["--port"], "--port: a value is missing", id="value-missing"),
        pytest.param(
            ["--access-log=json"],
            "--access-log/--no-access-log: takes no value, but was given 'json'; to choose a format: --access-log "
            "--access-log-format=json",
            id="format-for-the-access-log",
        ),
        pytest.param(["--ipv4=1"], "--ipv4/--no-ipv4: takes no value, but was given '1'", id="value-for-a-boolean"),
        pytest.param(["--h"], "ambiguous option: --h could match --help, --host", id="cut-too-short"),
    ],
)
def test_what_is_no_option_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("threads", "0", "--threads='0': expected a whole number of at least 1"),
        ("max_request_body_size", "1MB", "--max-request-body-size='1MB': expected a whole number of at least 0, or .*"),
        ("port", "65536", "--port='65536': expected a port number between 0 and 65535"),
        (
            "unix_socket_perms",
            "888",
            "--unix-socket-perms='888': expected octal permissions between 0 and 7777, as '660'",
        ),
        ("sockets", "7", "--sockets='7': expected a list of sockets, which only Python code can give"),
        (
            "trusted_proxy",
            "proxy.example",
            "--trusted-proxy='proxy.example': expected IP addresses and CIDR networks.*",
        ),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_option(name: str, given: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_values({"ident": "fine", name: given})
    assert re.fullmatch(expected, str(caught.value))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_good_value_is_not_refused(row: Row) -> None:
    check_values({row.name: row.text})


def test_the_help_fits_a_terminal() -> None:
    assert [line for line in help_text().splitlines() if len(line) > WIDTH or line != line.rstrip()] == []


def test_the_help_breaks_no_option_at_its_hyphens() -> None:
    assert re.findall(r"[a-z]-$", help_text(), re.MULTILINE) == []


def test_the_help_lists_every_option_once_but_those_from_python_only() -> None:
    listed = re.findall(r"^  --([a-z0-9-]+)", help_text(), re.MULTILINE)
    names = {setting.name.replace("_", "-") for setting in SETTINGS} - {"sockets"}
    assert sorted(listed) == sorted(names | {"app", "call", "help", "log-level"})


def test_the_help_groups_the_options_as_the_table_does_those_without_effect_last() -> None:
    titles = re.findall(r"^(\w.*):$", help_text(), re.MULTILINE)
    groups = list(dict.fromkeys(setting.group for setting in SETTINGS))
    assert titles == ["Options", *groups, "Accepted, without effect", "Examples"]
    last = help_text().partition("without effect:\n")[2]
    idle = {setting.name.replace("_", "-") for setting in SETTINGS if not setting.has_effect}
    assert set(re.findall(r"^  --([a-z0-9-]+)", last, re.MULTILINE)) == idle


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("--port PORT TCP port; 0 lets the system choose one. Default: 8080.", id="number"),
        pytest.param("Default: 262144 bytes (256 KiB).", id="bytes"),
        pytest.param("Default: 500 bytes per second.", id="rate"),
        pytest.param("Default: 120 seconds.", id="seconds"),
        pytest.param("Default: 1 second.", id="one-second"),
        pytest.param("--unix-socket-perms OCTAL Permissions", id="octal"),
        pytest.param("digits. Default: 600.", id="octal-default"),
        pytest.param("--expose-tracebacks, --no-expose-tracebacks Show", id="boolean"),
        pytest.param("Default: 0.0.0.0:8080.", id="list"),
        pytest.param("See --request-body-timeout.", id="setting-named-as-option"),
        pytest.param("wsgi.url_scheme of a request.", id="what-is-no-setting-left-as-it-is"),
    ],
)
def test_the_help_shows_units_and_defaults(entry: str) -> None:
    assert entry in re.sub(r"\s+", " ", help_text())


@pytest.mark.promise("S88")
def test_there_is_no_option_for_tls() -> None:
    assert re.search(r"\b(tls|ssl|cert|https)", help_text(), re.IGNORECASE) is None


def test_every_example_of_the_help_is_a_command_line_that_works() -> None:
    examples = help_text().partition("Examples:\n")[2].replace("\\\n", "")
    lines = [line.replace("'", '"') for line in examples.splitlines()]
    assert len(lines) >= 4
    for line in lines:
        words = [word.replace('"', "") for word in re.findall(r'(?:[^\s"]|"[^"]*")+', line)]
        command = parse(words[1:])
        assert words[0] == "waitress-serve"
        assert len(command.applications) == 1
        Adjustments(**command.settings)
