"""PasteDeploy reads a section `[server:main]`: every setting, values over several lines, and what is not taken."""

from pathlib import Path

import pytest
from paste.deploy.loadwsgi import SERVER, loadcontext

from tests.cli.helpers import Recorder
from tests.cli.settings_rows import ROWS, Row, is_possible_here, what_it_is
from tests.ecosystem.programs.plain import application
from waitress_core import Adjustments


def read(section: str, folder: Path) -> Adjustments:
    """Return the settings with which a server is made for a section of an ini file."""
    ini = folder / "site.ini"
    ini.write_text(f"[server:main]\nuse = egg:waitress\n{section}\n", encoding="utf-8")
    context = loadcontext(SERVER, f"config:{ini}")
    recorder = Recorder()
    assert context.object(application, context.global_conf, _server=recorder, **context.local_conf) == 0
    return recorder.adjustments


@pytest.mark.filterwarnings("ignore:send_bytes will be removed:DeprecationWarning")
@pytest.mark.parametrize("row", [row for row in ROWS if row.name != "sockets"], ids=lambda row: row.name)
def test_every_setting_may_be_in_the_file(row: Row, tmp_path: Path) -> None:
    if not is_possible_here(row):
        pytest.skip("this system has not what it is about")
    lines = [f"{name} = {text}" for name, text in [*row.needed, (row.name, row.text)]]
    assert what_it_is(row, read("\n".join(lines), tmp_path)) == row.value


@pytest.mark.parametrize("value", ["127.0.0.1:8041 127.0.0.1:8042", "\n    127.0.0.1:8041\n    127.0.0.1:8042"])
def test_a_list_may_be_on_one_line_or_on_several(value: str, tmp_path: Path) -> None:
    adjustments = read(f"listen = {value}", tmp_path)
    assert [address[3] for address in adjustments.listen] == [("127.0.0.1", 8041), ("127.0.0.1", 8042)]


@pytest.mark.skipif("sys.platform == 'win32'", reason="a path of Windows is no unix socket")
def test_a_value_may_name_the_folder_of_the_file(tmp_path: Path) -> None:
    assert read("unix_socket = %(here)s/s", tmp_path).unix_socket == f"{tmp_path}/s"


@pytest.mark.parametrize("line", ["port = 0", "threads = 7"])
def test_what_is_in_default_does_not_reach_the_server(line: str, tmp_path: Path) -> None:
    assert read(f"{line}\n[DEFAULT]\nthreads = 99", tmp_path).threads == Adjustments.threads


@pytest.mark.parametrize(
    ("line", "message"),
    [("thread = 3", "Unknown adjustment 'thread'"), ("threads = many", "threads='many': expected a whole number")],
    ids=["name", "value"],
)
def test_a_mistake_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(line, tmp_path)
