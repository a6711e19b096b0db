"""The bytes of a response head: its fields and their order.

An application gives the same field names in the same order again and again, with other values. A `HeaderTemplate` keeps
what depends on the names only: how they are sent, which fields the server adds, and the order of all fields, sorted by
name (the sort is stable: repeated fields keep their order).
"""

from collections.abc import Callable, Set
from operator import itemgetter
from typing import Any

from . import response_fields
from .dates import current_date
from .response_fields import HeaderError, checked_name

# Names in the order given -> template. It and the plans of a template are bounded: an application may make up names.
TEMPLATES: dict[tuple[str, ...], "HeaderTemplate"] = {}
MAX_TEMPLATES = 512
MAX_PLANS = 64

# Indexes into the parts of a head (`HeaderTemplate.head`): these, then the application's values, then the plan's texts.
_STATUS, _DATE, _CONTENT_LENGTH, _FIRST_VALUE = range(4)

# The constant texts between the values; and a function that puts values and texts in the order in which they are sent.
RenderPlan = tuple[list[str], Callable[[tuple[str, ...]], tuple[str, ...]]]


class HeaderTemplate:
    """The field names of a response, in the order given by the application.

    `content_length_index` is the index of its Content-Length, or -1.
    """

    __slots__ = ("_names", "_plans", "content_length_index")

    def __init__(self, names: tuple[Any, ...]) -> None:
        """Check the names.

        Raises:
            AssertionError, HeaderError: one cannot be sent (`checked_name`), or is given twice and must not be.
        """
        self._names = tuple(checked_name(name) for name in names)
        for name in ("Content-Length", "Date", "Server"):
            if self._names.count(name) > 1:
                raise HeaderError(f"{name} is given twice")
        self.content_length_index = self._names.index("Content-Length") if "Content-Length" in self._names else -1
        self._plans: dict[tuple[bool, str, str, str | None], RenderPlan] = {}

    def head(
        self,
        is_http11: bool,
        status: str,
        values: list[str],  # checked; one for each name, in the same order
        framing_field: str,  # "Content-Length", "Transfer-Encoding", or "" for neither
        content_length: int | None,
        connection: str,  # the value of the Connection field, or "" for none
        ident: str | None,
    ) -> bytes:
        """Return the head, from the status line to the empty line."""
        key = (is_http11, framing_field, connection, ident)
        try:
            texts, select = self._plans[key]
        except KeyError:
            texts, select = plan = self._make_plan(*key)
            if len(self._plans) < MAX_PLANS:
                self._plans[key] = plan
        # Joined, not formatted: the check saw the characters of the str, not what the __format__ of a subclass returns.
        return "".join(select((status, current_date(), str(content_length), *values, *texts))).encode("latin-1")

    def _make_plan(self, is_http11: bool, framing_field: str, connection: str, ident: str | None) -> RenderPlan:
        """Sort the fields of the application and those of the server."""
        # The name, and the text or the index of the value.
        fields: list[tuple[str, str | int]] = [
            (name, _FIRST_VALUE + index) for index, name in enumerate(self._names) if index != self.content_length_index
        ]
        if framing_field == "Content-Length":
            fields.append((framing_field, _CONTENT_LENGTH))
        elif framing_field:
            fields.append((framing_field, "chunked"))
        if connection and "Connection" not in self._names:  # it can be, where `forbid` lets applications send it
            fields.append(("Connection", connection))
        if "Date" not in self._names:
            fields.append(("Date", _DATE))
        if ident:
            fields.append(("Via" if "Server" in self._names else "Server", ident))
        first_text = _FIRST_VALUE + len(self._names)
        texts, order = ["HTTP/1.1 " if is_http11 else "HTTP/1.0 ", ""], [first_text, _STATUS, first_text + 1]
        for name, value in sorted(fields, key=itemgetter(0)):
            texts[-1] += f"\r\n{name}: "
            if isinstance(value, str):
                texts[-1] += value
            else:
                order += [value, first_text + len(texts)]
                texts.append("")
        texts[-1] += "\r\n\r\n"
        return texts, itemgetter(*order)


def new_template(names: tuple[Any, ...]) -> HeaderTemplate:
    """Return a new template for these names; cache it while there is room. Raises as `HeaderTemplate`."""
    template = HeaderTemplate(names)
    # A set that is not frozen may change at any time: then check the names of each response again.
    if len(TEMPLATES) < MAX_TEMPLATES and isinstance(response_fields.HOP_BY_HOP, frozenset):
        TEMPLATES[names] = template
    return template


def forbid(names: Set[str]) -> None:
    """Refuse these fields (lower case) from applications from now on, in place of `response_fields.HOP_BY_HOP`."""
    response_fields.HOP_BY_HOP = names
    TEMPLATES.clear()


NO_FIELDS = HeaderTemplate(())  # of a response that has not started
