"""Values and functions of waitress 3.0 that nothing here uses any more, for programs that import them.

Dates are parsed by the standard library, Forwarded by `waitress_core`, and the environ is made there.
"""

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

# The names of CGI that have no HTTP_ in an environ. Read-only, because nothing would notice a change.
rename_headers = MappingProxyType({"CONTENT_LENGTH": "CONTENT_LENGTH", "CONTENT_TYPE": "CONTENT_TYPE"})


class Forwarded(NamedTuple):
    """One element of the field Forwarded (RFC 7239 4)."""

    by: str
    for_: str
    host: str
    proto: str


# --- dates: regular expressions for lower-case text, and what their groups mean


def concat(*args: str) -> str:
    """Return the strings as one."""
    return "".join(args)


def join(seq: Iterable[str], field: str = " ") -> str:
    """Return the strings as one, with `field` between them."""
    return field.join(seq)


def group(s: str) -> str:
    """Return a regular expression as a group."""
    return f"({s})"


weekdayname = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
monthname = [None, "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

short_days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
long_days = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
daymap = {name: number for days in (short_days, long_days) for number, name in enumerate(days)}
monmap = {name: number for number, name in enumerate(months, start=1)}

short_day_reg = group("|".join(short_days))
long_day_reg = group("|".join(long_days))
months_reg = group("|".join(months))
hms_reg = "([0-9][0-9]):([0-9][0-9]):([0-9][0-9])"

# The names are older than those of the RFCs of today: IMF-fixdate and rfc850-date of RFC 9110 5.6.7.
rfc822_date = f"{short_day_reg}, ([0-9][0-9]?) {months_reg} ([0-9]+) {hms_reg} gmt"
rfc822_reg = re.compile(rfc822_date)
rfc850_date = f"{long_day_reg}, ([0-9][0-9]?)-{months_reg}-([0-9]+) {hms_reg} gmt"
rfc850_reg = re.compile(rfc850_date)

DateTuple = tuple[int, int, int, int, int, int, int, int, int]


def unpack_rfc822(m: "re.Match[str]") -> DateTuple:
    """Return a match as `calendar.timegm` takes it."""
    _, day, month, year, hours, minutes, seconds = m.groups()
    return int(year), monmap[month], int(day), int(hours), int(minutes), int(seconds), 0, 0, 0


def unpack_rfc850(m: "re.Match[str]") -> DateTuple:
    """Return a match as `calendar.timegm` takes it; a year of two digits is one of the 20th century."""
    year, month, day, hours, minutes, seconds, *_ = unpack_rfc822(m)
    return year + 1900 if len(m[4]) == 2 else year, month, day, hours, minutes, seconds, 0, 0, 0
