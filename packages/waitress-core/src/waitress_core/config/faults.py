"""What is wrong with settings, in words that name them as Python does, or as the command's user does."""

import re
from collections.abc import Callable, Iterable
from typing import Any


def one_line(text: str) -> str:
    """Return a message without line breaks and other characters that a terminal would act on, whatever was given."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class SettingsFault(ValueError):
    """A value that a setting does not accept, or settings that contradict each other.

    The text has the names of settings in braces, and `values` what else is in braces there. In Python a name is
    written as it is. The command writes it as its user did, for example as an option: see `written`. `prefix` is for
    Python only. `about` are settings that the text does not name.
    """

    # In a traceback: programs know it as a ValueError, and none needs to import it.
    __module__, __qualname__ = "builtins", "ValueError"

    def __init__(self, text: str, /, *, prefix: str = "", about: Iterable[str] = (), **values: object) -> None:
        self._text = text
        self._about = tuple(about)
        self._values = values
        super().__init__(prefix + self.written(str))

    @property
    def names(self) -> list[str]:
        """The settings that the fault is about: those of `about`, and those that the text names."""
        names = [*self._about, *re.findall(r"(?<!\{)\{(\w+)\}", self._text)]
        return [name for name in dict.fromkeys(names) if name not in self._values]

    def __reduce__(self) -> tuple[Any, ...]:
        return ValueError, self.args  # in another process nobody asks for more than the text

    def written(self, write: Callable[[str], str]) -> str:
        """Return the text; `write` returns how a setting is named in it."""
        text = self._text.format(**self._values, **{name: write(name) for name in self.names})
        return one_line(text)

    def within(self, text: str, *, prefix: str = "", **values: object) -> "SettingsFault":
        """Return the fault as the end of a longer text."""
        return SettingsFault(text + self._text, prefix=prefix, about=self._about, **values, **self._values)
