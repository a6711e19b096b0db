"""Class attributes that serving does not need: their module is imported when they are read."""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LazyAttribute(Generic[Value]):
    """Return what `load` returns, read on a class or on an instance; either may set its own value."""

    def __init__(self, load: Callable[[], Value]) -> None:
        self._load = load

    def __get__(self, instance: object, owner: type | None = None) -> Value:
        return self._load()
