"""What is imported when it is asked for can be read as it always was."""

from types import SimpleNamespace

from waitress import channel, parser, server, wasyncore
from waitress._lazy import LazyAttribute


def test_it_is_read_on_the_class_and_on_an_instance() -> None:
    assert server.TcpWSGIServer.asyncore is wasyncore
    assert channel.HTTPChannel.parser_class is parser.HTTPRequestParser


def test_a_subclass_or_an_instance_may_set_its_own() -> None:
    class Owner(SimpleNamespace):
        value = LazyAttribute(lambda: "late")

    class Heir(Owner):
        value = "the heir's"

    owner = Owner()
    assert owner.value == "late"
    owner.value = "its own"
    assert owner.value == "its own"
    assert Heir().value == "the heir's"
