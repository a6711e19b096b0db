"""How it is noticed that a program has replaced something, on classes of the test's own."""

import sys
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from waitress import _modules
from waitress._modules import call_when_rebound
from waitress._replacements import are_unchanged, is_replaced, replaceable


@replaceable
class Base:
    """Has a method that `Owner` inherits."""

    def pour(self) -> str:
        return "tea"


@replaceable
class Owner(Base):
    """Has a method of Python, and one that is written in C: bound it has no `__func__`."""

    upper = str.upper

    def boil(self) -> str:
        return "water"


class Heir(Owner):
    """A program's, which overrides both."""

    def boil(self) -> str:
        return "milk"

    def pour(self) -> str:
        return "milk"


METHODS = ("boil", "pour", "upper")
every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_a_method_is_ours_until_it_is_replaced(name: str) -> None:
    assert not is_replaced(Owner(), name)


@every_method
def test_a_method_set_on_an_object_is_noticed_there_only(name: str) -> None:
    owner = Owner()
    setattr(owner, name, lambda: "milk")
    assert is_replaced(owner, name)
    assert not is_replaced(Owner(), name)


@every_method
@pytest.mark.parametrize("kind", [Owner, Base])
def test_a_method_patched_into_a_class_is_noticed_until_it_is_restored(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kind, name, lambda self: "milk", raising=False)
        # What the base class has not defined itself is hidden by what `Owner` has.
        assert is_replaced(Owner(), name) is (kind is Owner or name == "pour")
    assert not is_replaced(Owner(), name)


@pytest.mark.parametrize("name", ["boil", "pour"])
def test_a_method_that_a_subclass_overrides_is_noticed(name: str) -> None:
    assert is_replaced(Heir(), name)
    assert not is_replaced(Heir(), "upper")


def test_a_method_that_nobody_has_is_a_mistake() -> None:
    with pytest.raises(AttributeError, match="'Owner' object has no attribute 'brew'"):
        is_replaced(Owner(), "brew")


def test_classes_are_unchanged_until_an_attribute_is_replaced_added_or_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_unchanged(Base, Owner)
    for name in ("boil", "pour"):  # `pour` is added, for `Owner` inherits it
        with monkeypatch.context() as patched:
            patched.setattr(Owner, name, lambda self: "milk")
            assert not are_unchanged(Base, Owner)
        assert are_unchanged(Base)
    assert are_unchanged(Base, Owner)
    with monkeypatch.context() as patched:
        patched.delattr(Owner, "boil")
        assert not are_unchanged(Base, Owner)
    assert are_unchanged(Base, Owner)


@pytest.mark.parametrize("kind", [Heir, partial(Owner), [Owner]], ids=["a subclass", "a factory", "not hashable"])
def test_what_is_no_class_of_ours_counts_as_changed(kind: Any) -> None:
    assert not are_unchanged(Base, kind)


@pytest.fixture
def kettle() -> Iterator[ModuleType]:
    """A module with a name in it."""
    module = ModuleType("tests.kettle")
    module.temperature = 20  # type: ignore[attr-defined]  # it is set here
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]
    _modules._calls.pop((module.__name__, "temperature"), None)


def test_binding_a_watched_name_of_a_module_is_noticed_and_no_other(
    kettle: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    call_when_rebound("tests.kettle", "temperature", seen.append)
    assert seen == []
    with monkeypatch.context() as patched:
        patched.setattr(kettle, "temperature", 100)
        assert kettle.temperature == 100
    kettle.colour = "red"  # type: ignore[attr-defined]  # a program may
    assert seen == [100, 20]
    assert kettle.colour == "red"
