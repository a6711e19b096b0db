"""Class attributes whose module is imported when they are asked for: what serving does not need."""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LazyAttribute(Generic[Value]):
    """What `load` gives, read on the class or on an instance, which may set one of its own."""

    def __init__(self, load: Callable[[], Value]) -> None:
        self._load = load

    def __get__(self, instance: object, owner: type | None = None) -> Value:
        return self._load()
