"""What of waitress 3.0 cannot be: an error says so, instead of an answer that could be wrong.

A name that is left out is in its class all the same. Read, set or called on an object it raises an AttributeError with
the reason, so `hasattr` is false for the object. If a program puts its own method in its place, nothing would call it:
`refuse_ineffective` refuses that when a server starts to run.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ._replacements import is_ours, own_attributes

Function = TypeVar("Function", bound=Callable[..., Any])


class LeftOut:
    """A name of a class that is left out. `no_effect` is the reason, and what to take instead."""

    def __init__(self, no_effect: str) -> None:
        self.no_effect = no_effect
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"{owner.__name__}.{name}"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is not None:
            self._refuse()
        return self

    def __set__(self, instance: object, value: object) -> None:
        self._refuse()

    def __call__(self, *arguments: object, **named: object) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise AttributeError(f"{self._name} of waitress 3.0 is not available: {self.no_effect}")


def without_effect(reason: str) -> Callable[[Function], Function]:
    """Mark a method that can be called, but that nothing calls: to replace it would have no effect."""

    def mark(method: Function) -> Function:
        vars(method)["no_effect"] = reason
        return method

    return mark


def refuse_ineffective(kind: type) -> None:
    """Raise a NotImplementedError if a program has replaced something of this class that nothing would call."""
    seen: set[str] = set()
    for base in kind.__mro__:
        for name, ours in own_attributes(base).items():
            reason = "" if name in seen else getattr(ours, "no_effect", "")
            seen.add(name)  # what a class of ours has overridden itself counts
            if reason and not is_ours(kind, name):
                raise NotImplementedError(f"{name} of {kind.__qualname__} would never be called: {reason}")
