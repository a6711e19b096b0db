"""The value of a Date field (RFC 9110 6.6.1)."""

import time


def imf_fixdate(seconds: float) -> str:
    """Return an instant of the wall clock as IMF-fixdate (RFC 9110 5.6.7)."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in every locale

# The last second that was formatted, and its text. One tuple: several threads may replace it, and no thread may see the
# second of one and the text of another.
_last_date = (-1.0, "")


def current_date() -> str:
    """Return the value of a Date field for a response sent now; format it once a second."""
    global _last_date
    now = time.time()
    second, text = _last_date
    if not 0.0 <= now - second < 1.0:
        second = now // 1
        text = imf_fixdate(second)
        _last_date = (second, text)
    return text
