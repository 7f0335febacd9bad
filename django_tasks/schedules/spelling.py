"""How schedules are written in code."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Never

from . import cron
from .errors import InvalidSchedule
from .specs import Clocked, Crontab, Interval, Solar

#: What Celery takes for one field of a crontab: "*/5", 7 or [0, 30].
Field = str | int | Iterable[int]


def every(
    *unnamed: Never,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    anchor: datetime | None = None,
) -> Interval:
    """
    Be due every so often: `every(minutes=5)`.

    A day is 24 hours, also when clocks change; `crontab` is for times of the day. `anchor`: slots
    are whole multiples away from it; None: from when the schedule is first saved. Raise TypeError
    for a number without a unit, with what to write instead.
    """
    if unnamed:
        raise TypeError(_without_unit(unnamed[0]))
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return Interval(length.total_seconds(), anchor)


def crontab(
    expression: str | None = None,
    *,
    minute: Field = "*",
    hour: Field = "*",
    day_of_month: Field = "*",
    month_of_year: Field = "*",
    day_of_week: Field = "*",
    timezone: str | None = None,
) -> Crontab:
    """
    Be due at times of the day: `crontab("0 7 * * mon-fri")`, or by Celery's keywords.

    When both days are given, cron's five fields match if either does, Celery's keywords if both do.
    `timezone`: an IANA name; None: settings.TIME_ZONE.
    """
    keywords = (minute, hour, day_of_month, month_of_year, day_of_week)
    if expression is None:
        return _from_keywords(keywords, timezone or "")
    if any(value != "*" for value in keywords):
        message = "A crontab takes either five fields in one string or keywords, not both."
        raise InvalidSchedule("crontab", message)
    return Crontab(_text(expression), timezone=timezone or "")


def solar(event: str, latitude: float, longitude: float, timezone: str | None = None) -> Solar:
    """
    Be due at an event of the sun: `solar("sunset", 52.52, 13.4)`.

    Degrees north and east. `timezone`: what its times are shown in; None: settings.TIME_ZONE.
    """
    return Solar(event, latitude, longitude, timezone or "")


def clocked(moment: datetime) -> Clocked:
    """Be due once, at `moment`, which has a time zone."""
    return Clocked(moment)


def _without_unit(given: Any) -> str:
    """Return what to write instead of every(5)."""
    if isinstance(given, timedelta):
        return f"every() takes no timedelta: write every(seconds={given.total_seconds():g})."
    return (
        f"every({given!r}) does not say of what: write every(seconds={given!r}),"
        f" every(minutes={given!r}) or every(hours={given!r})."
    )


def _from_keywords(keywords: tuple[Field, ...], timezone: str) -> Crontab:
    fields = [cron.with_short_names(i, _field(value)) for i, value in enumerate(keywords)]
    # Where only one of the days is given, the two rules are the same, and cron's is better known.
    needs_both = not (cron.is_open(fields[cron.DAY]) or cron.is_open(fields[cron.WEEKDAY]))
    return Crontab(" ".join(fields), "ALL" if needs_both else "ANY", timezone)


def _field(value: Any) -> str:
    if isinstance(value, str):
        return "".join(value.split()) or "?"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return ",".join(str(number) for number in sorted(value)) or "?"
    except TypeError as exception:
        message = f"{value!r} is not a field of a crontab: it takes '*/5', 7 or [0, 30]."
        raise InvalidSchedule("crontab", message) from exception


def _text(expression: Any) -> str:
    if not isinstance(expression, str):
        raise InvalidSchedule("crontab", f"{expression!r} is not the five fields of a crontab.")
    return cron.normal(expression)
