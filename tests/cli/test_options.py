"""Arguments as settings, and the text of --help."""

import re

import pytest

from tests.cli.settings_rows import ROWS, Row
from tests.project.repository import ROOT
from tests.support.rows import each_row
from waitress_cli.command_settings import ALL_SETTINGS, COMMAND_NAMES
from waitress_cli.options import WIDTH, CommandLine, CommandLineError, actions, help_text, parse
from waitress_cli.other_servers import COUNTERPARTS
from waitress_core import SETTINGS, Adjustments, Setting


def test_there_is_a_row_for_every_setting() -> None:
    assert {row.name for row in ROWS} == {setting.name for setting in SETTINGS}


@pytest.mark.promise("S16")
@each_row("row", ROWS, ids=lambda row: row.name)
def test_every_setting_has_an_option(row: Row) -> None:
    assert parse([*row.words, "shop:app"]) == CommandLine({row.name: row.text}, ["shop:app"])


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


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["-h"], CommandLine({}, [], "help")),
        (["--help"], CommandLine({}, [], "help")),
        (["--version"], CommandLine({}, [], "version")),
        (["--check", "shop:app"], CommandLine({}, ["shop:app"], "check")),
        (["--print-config"], CommandLine({}, [], "print_config")),
        (["--config=w.toml"], CommandLine({}, [], config="w.toml")),
        (["-b", "a:1", "--bind=b:2", "--listen", "c:3"], CommandLine({"listen": "a:1 b:2 c:3"}, [])),
        (["-b:80"], CommandLine({"listen": ":80"}, [])),
        (["--chdir=/srv", "--app-dir=src"], CommandLine({"chdir": "/srv", "app_dir": "src"}, [])),
        (["--call", "--log-level=DEBUG"], CommandLine({"call": "true", "log_level": "DEBUG"}, [])),
        (
            ["--log-config=log.ini", "--pid-file", "w.pid", "--access-log-file=-"],
            CommandLine({"log_config": "log.ini", "pid_file": "w.pid", "access_log_file": "-"}, []),
        ),
        (["--no-call"], CommandLine({"call": "false"}, [])),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_the_options_of_the_command_itself(arguments: list[str], command: CommandLine) -> None:
    assert parse(arguments) == command
    assert not command.settings.keys() & COMMAND_NAMES


@each_row("option", COUNTERPARTS)
def test_an_option_of_another_server_is_told_its_name_here_and_a_page(option: str) -> None:
    name, page = COUNTERPARTS[option]
    with pytest.raises(CommandLineError) as caught:
        parse([option, "4"])
    told = f'here it is {name}, see "{page}" in the documentation'
    assert str(caught.value) == f"unrecognized arguments: {option}; {told}"
    with pytest.raises(CommandLineError, match=f"{re.escape(told)}$"):
        parse([f"{option}=4" if option.startswith("--") else f"{option}4"])
    assert re.search(rf"^  .*{name}\b", help_text(), re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").partition("\n")[0] for path in (ROOT / "docs").glob("*/*.md")]
    assert f"# {page}" in titles


@pytest.mark.parametrize(
    ("arguments", "given", "applications"),
    [
        (["--access-log=its.log"], {"access_log": "true", "access_log_file": "its.log"}, []),
        (["--access-log=-", "shop:app"], {"access_log": "true", "access_log_file": "-"}, ["shop:app"]),
        (["--access-log", "shop:app"], {"access_log": "true"}, ["shop:app"]),
        (["--access-log=its.log", "--no-access-log"], {"access_log": "false", "access_log_file": "its.log"}, []),
    ],
    ids=["file", "standard-output", "no-file", "off-after-all"],
)
def test_the_access_log_may_have_a_file(arguments: list[str], given: dict[str, str], applications: list[str]) -> None:
    command = parse(arguments)
    assert (command.given, command.applications) == (given, applications)


# Options of waitress 3.0.2; `no-` means an option with and without it.
OLD_OPTIONS = """
help call host port no-ipv4 no-ipv6 listen threads trusted-proxy trusted-proxy-count trusted-proxy-headers
no-log-untrusted-proxy-headers no-clear-untrusted-proxy-headers url-scheme url-prefix backlog recv-bytes send-bytes
outbuf-overflow outbuf-high-watermark inbuf-overflow connection-limit cleanup-interval channel-timeout
no-log-socket-errors max-request-header-size max-request-body-size no-expose-tracebacks ident asyncore-loop-timeout
no-asyncore-use-poll unix-socket unix-socket-perms channel-request-lookahead server-name
"""


def test_the_page_on_moving_lists_what_was_short_enough_in_3_0_2_and_is_not_now() -> None:
    old = {f"--{name}" for word in OLD_OPTIONS.split() for name in (word, word.removeprefix("no-"))}
    now = {name for action in actions() for name in action.option_strings}
    assert old <= now

    def meant(short: str, names: set[str]) -> set[str]:
        return {name for name in names if name.startswith(short)}

    shorts = {name[:end] for name in old for end in range(3, len(name))} - old
    lost = sorted(short for short in shorts if len(meant(short, old)) == 1 and len(meant(short, now)) > 1)
    page = " ".join((ROOT / "docs" / "how-to" / "migrate.md").read_text(encoding="utf-8").split())
    assert f"{', '.join(f'`{short}`' for short in lost[:-1])} and `{lost[-1]}` are ambiguous now" in page


@each_row("setting", ALL_SETTINGS, ids=lambda setting: setting.name)
def test_an_option_can_be_cut_short_where_no_other_starts_so(setting: Setting) -> None:
    option = "--" + setting.name.replace("_", "-")
    names = [name for action in actions() for name in action.option_strings]
    for short in (option[:end] for end in range(4, len(option), 3) if option[:end] not in names):
        fits = [name for name in names if name.startswith(short)]
        words = [short] if setting.kind == "boolean" else [f"{short}=7"]
        if fits == [option]:
            parse(words)
        elif setting.name not in ("sockets", "tls_context"):
            with pytest.raises(CommandLineError, match="ambiguous"):
                parse(words)


def test_with_options_first_the_first_other_word_ends_them() -> None:
    command = parse(["--port=1", "shop:app", "--port=2"], options_first=True)
    assert (command.settings, command.applications) == ({"port": "1"}, ["shop:app", "--port=2"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--bogus"], "unrecognized arguments: --bogus", id="unknown"),
        pytest.param(["-x"], "unrecognized arguments: -x", id="short"),
        pytest.param(["--confg=x"], "unrecognized arguments: --confg=x; did you mean --config?", id="mistyped-config"),
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
        pytest.param(["-b"], "-b/--bind/--listen: a value is missing", id="value-of-a-letter-missing"),
        pytest.param(
            ["--access-log=json"],
            "--access-log=json: expected a file; to choose a format: --access-log-format=json",
            id="format-for-the-access-log",
        ),
        pytest.param(
            ["--access-log=true"],
            "--access-log=true: expected a file; to turn it on: --access-log",
            id="true-for-the-access-log",
        ),
        pytest.param(
            ["--access-log=Off"],
            "--access-log=Off: expected a file; to turn it off: --no-access-log",
            id="off-for-the-access-log",
        ),
        pytest.param(["--access-log="], "--access-log=: the name of a file is missing", id="no-file"),
        pytest.param(["--ipv4=1"], "--ipv4/--no-ipv4: takes no value, but was given '1'", id="value-for-a-boolean"),
        pytest.param(["--h"], "ambiguous option: --h could match --help, --host", id="cut-too-short"),
    ],
)
def test_what_is_no_option_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        parse(arguments)
    assert str(caught.value) == message


def test_the_help_fits_a_terminal() -> None:
    assert [line for line in help_text().splitlines() if len(line) > WIDTH or line != line.rstrip()] == []


def test_the_help_breaks_no_option_at_its_hyphens() -> None:
    assert re.findall(r"[a-z]-$", help_text(), re.MULTILINE) == []


def options_in(text: str) -> list[str]:
    entries = re.findall(r"^  (-.*?)(?:  |$| [A-Z])", text, re.MULTILINE)
    return [name for entry in entries for name in re.findall(r"--([a-z0-9-]+)", entry) if not name.startswith("no-")]


def test_the_help_lists_every_option_once_but_those_from_python_only() -> None:
    names = {setting.name.replace("_", "-") for setting in ALL_SETTINGS} - {"sockets", "tls-context"}
    own = {"bind", "check", "completion", "config", "help", "print-config", "version"}
    assert sorted(options_in(help_text())) == sorted(names | own)


def test_the_help_starts_with_what_most_people_need_and_ends_with_what_has_no_effect() -> None:
    titles = re.findall(r"^(\w.*):$", help_text(), re.MULTILINE)
    groups = list(dict.fromkeys(setting.group for setting in ALL_SETTINGS))
    assert titles == ["Most used", *groups, "Accepted, without effect", "Examples"]
    first, *_, last = re.split(r"^\w.*:$", help_text().partition("Examples:")[0], flags=re.MULTILINE)[1:]
    assert options_in(first)[:3] == ["bind", "listen", "unix-socket"]
    assert set(options_in(last)) == {s.name.replace("_", "-") for s in SETTINGS if not s.has_effect}


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
        pytest.param(": see --request-body-timeout.", id="setting-named-as-option"),
        pytest.param("The value of wsgi.url_scheme.", id="what-is-no-setting-left-as-it-is"),
    ],
)
def test_the_help_shows_units_and_defaults(entry: str) -> None:
    assert entry in re.sub(r"\s+", " ", help_text())


def test_an_option_that_adds_to_others_may_be_repeated() -> None:
    words = ["--tls-certificate=a.pem", "--tls-certificate", "shop.example=b.pem,b.key", "m:a"]
    assert parse(words).settings == {"tls_certificate": "a.pem shop.example=b.pem,b.key"}


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


def test_the_help_shows_how_the_access_log_gets_a_file() -> None:
    assert re.search(r"^  --access-log, --no-access-log\n(?:  .*\n)*?.*--access-log=FILE", help_text(), re.MULTILINE)
