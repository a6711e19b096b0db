"""Completion of the command for bash, zsh and fish, made from its options: `waitress-serve --completion=SHELL`.

A shell completes the names of options, and the values that are files, folders or words of a short list. It does not
run the command, so a script must be made again for a new version.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from .command_settings import BY_NAME
from .options import SHELLS, actions

COMMAND = "waitress-serve"

FILES, FOLDERS = "FILE", "FOLDER"  # names of values, as `--help` has them
_CHOICE = re.compile(r"[\w.]+(?:, [\w.]+)* or [\w.]+")  # what a setting says that accepts one of a few words

TEXT_WIDTH = 70


class Option(NamedTuple):
    """An option with all its names; `value` is the name of its value, empty if it takes none, one of `words` if any."""

    names: tuple[str, ...]
    text: str
    value: str
    words: tuple[str, ...]


def all_options() -> list[Option]:
    """Return every option that `--help` lists."""
    options = []
    for action in actions():
        value = "" if action.nargs == 0 else str(action.metavar)
        setting = BY_NAME.get(action.dest)
        words: tuple[str, ...] = SHELLS if action.dest == "completion" else ()
        if value and setting is not None and _CHOICE.fullmatch(setting.accepts):
            words = tuple(re.split(", | or ", setting.accepts))
        options.append(Option(tuple(action.option_strings), str(action.help), value, words))
    return options


def _short(text: str) -> str:
    """Return the first sentence of a help text, cut to a length that fits next to the name."""
    sentence = re.split(r"(?<=[a-z])[.;] ", text, maxsplit=1)[0].removesuffix(".")
    return sentence if len(sentence) <= TEXT_WIDTH else sentence[: TEXT_WIDTH - 3].rpartition(" ")[0] + "..."


# --- bash

_BASH = r"""# Completion of waitress-serve for bash
# Put it into ~/.local/share/bash-completion/completions/waitress-serve
_waitress_serve() {
    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]} IFS=$'\n'
    # --option=value is three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $option in
@cases@
    esac
    COMPREPLY=($(compgen -W $'@names@' -- "$word"))
}
complete -F _waitress_serve waitress-serve
"""


def bash_script() -> str:
    """Return the script that bash reads."""
    options = all_options()
    names_by_action: dict[str, list[str]] = {}
    for option in options:
        if option.value:
            names_by_action.setdefault(_bash_action(option), []).extend(option.names)
    cases = [f"        {'|'.join(names)}) {action}; return ;;" for action, names in names_by_action.items()]
    all_names = r"\n".join(name for option in options for name in option.names)
    return _BASH.replace("@cases@", "\n".join(cases)).replace("@names@", all_names)


def _bash_action(option: Option) -> str:
    if option.words:
        words = r"\n".join(option.words)
        return f"COMPREPLY=($(compgen -W $'{words}' -- \"$word\"))"
    if option.value in (FILES, FOLDERS):
        kind = "-f" if option.value == FILES else "-d"
        return f'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen {kind} -- "$word"))'
    return "COMPREPLY=()"


# --- zsh

_ZSH = """#compdef waitress-serve
# Completion of waitress-serve for zsh
# Put it into a folder of $fpath, as _waitress-serve
_waitress_serve() {
    _arguments \\
@options@
        '1:MODULE\\:OBJECT:()'
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _waitress_serve "$@"
else
    compdef _waitress_serve waitress-serve
fi
"""


def zsh_script() -> str:
    """Return the script that zsh reads."""
    lines = [
        f"        {_zsh_quoted(_zsh_option(name, option))} \\" for option in all_options() for name in option.names
    ]
    return _ZSH.replace("@options@", "\n".join(lines))


def _zsh_option(name: str, option: Option) -> str:
    text = re.sub(r"([\[\]\\:])", r"\\\1", _short(option.text))
    if not option.value:
        return f"{name}[{text}]"
    takes = " "
    if option.words:
        takes = f"({' '.join(option.words)})"
    elif option.value in (FILES, FOLDERS):
        takes = "_files" if option.value == FILES else "_files -/"
    # `*`: it may be repeated; `=` or `-`: its value may be in the same word.
    value = option.value.replace(":", r"\:")
    return f"*{name}{'=' if name.startswith('--') else '+'}[{text}]:{value}:{takes}"


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish


def fish_script() -> str:
    """Return the script that fish reads."""
    lines = [
        f"# Completion of {COMMAND} for fish",
        f"# Put it into ~/.config/fish/completions/{COMMAND}.fish",
        f"complete -c {COMMAND} -f",
        *(f"complete -c {COMMAND} {_fish_option(option)}" for option in all_options()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    takes = "-x"
    if not option.value:
        takes = "-f"
    elif option.words:
        takes = f"-x -a '{' '.join(option.words)}'"
    elif option.value == FILES:
        takes = "-r -F"
    elif option.value == FOLDERS:
        takes = "-x -a '(__fish_complete_directories)'"
    text = _short(option.text).replace("\\", "\\\\").replace("'", "\\'")
    return f"{names} {takes} -d '{text}'"


SCRIPTS: dict[str, Callable[[], str]] = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
