"""Completion, tried in the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from waitress_cli import main
from waitress_cli.completion import SCRIPTS, all_options

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals of this kind")


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


# What is typed before the tabulator, and what the line then has.
TYPED = [
    ("--thr", ["--threads"]),
    ("--no-expose", ["--no-expose-tracebacks"]),
    ("--log-level=deb", ["--log-level=debug"]),
    ("--log-level warn", ["--log-level", "warning"]),
    ("--config=w", ["--config=w x.toml"]),
    ("--chdir ", ["--chdir", "folder"]),
    ("--threads 8 --print", ["--threads", "8", "--print-config"]),
    ("-b a:1 --bac", ["-b", "a:1", "--backlog"]),
]

INTERACTIVE = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -D -u; zstyle ':completion:*' insert-tab false"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file and a folder to complete; and the scripts, out of the way."""
    (tmp_path / "here" / "folder").mkdir(parents=True)
    (tmp_path / "here" / "w x.toml").write_text("", encoding="utf-8")
    for shell, script in SCRIPTS.items():
        (tmp_path / shell).write_text(script(), encoding="utf-8")
    return tmp_path / "here"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_command_prints_the_script_of_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--completion={shell}"]) == 0
    assert capsys.readouterr().out == SCRIPTS[shell]()


def test_the_shells_are_named_where_another_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion=tcsh"]) == 1
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_has_every_option(shell: str) -> None:
    script = SCRIPTS[shell]()
    for option in all_options():
        for name in option.names:
            assert (f"-l {name[2:]} " if shell == "fish" and name.startswith("--") else name) in script


@needs_pty
@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in INTERACTIVE])
def test_what_is_typed_is_completed(shell: str, folder: Path) -> None:
    if sys.platform == "win32":  # for mypy, which does not know the mark
        return
    command, set_up = INTERACTIVE[shell]
    ours, its = os.openpty()
    environ = {**os.environ, "TERM": "dumb", "PS1": "$ ", "INPUTRC": "/dev/null", "HOME": str(folder)}
    process = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, cwd=folder, env=environ, start_new_session=True
    )
    os.close(its)
    try:
        terminal = Terminal(ours)
        terminal.type(
            f"{set_up}; source ../{shell}; waitress-serve() {{ printf '<%s>' got \"${{@%/}}\" end; echo; }}\n"
        )
        terminal.type("waitress-serve ready\n")
        terminal.wait_for("<got><ready><end>")
        for typed, words in TYPED:
            terminal.type(f"waitress-serve {typed}\t\n")
            terminal.wait_for("".join(f"<{word}>" for word in ["got", *words, "end"]))
    finally:
        process.kill()
        process.wait()
        os.close(ours)


class Terminal:
    """The other end of the terminal of a shell."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._said = b""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until the text has come; the timeout of the test bounds it."""
        while text.encode() not in self._said:
            data = os.read(self._descriptor, 65536)
            assert data, self._said
            self._said += data
            assert b"<end>" not in self._said or text.encode() in self._said, self._said
        self._said = self._said.partition(text.encode())[2]


@needs("fish")
@pytest.mark.parametrize(("typed", "words"), TYPED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_typed_is_completed_by_fish(typed: str, words: list[str], folder: Path) -> None:
    script = "source ../fish; complete -C $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, f"waitress-serve {typed}"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    completed = [line.partition("\t")[0].replace("\\ ", " ").rstrip("/") for line in done.stdout.splitlines()]
    assert completed == words[-1:]


def test_every_path_is_completed_as_one() -> None:
    of_paths = [o for o in all_options() if o.names[0].endswith(("-file", "-config", "-key", "-certificate", "-ca"))]
    assert [o.names for o in of_paths if o.value not in ("", "FILE") and not o.words] == []
