"""Time zones, and when their offset from UTC changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.timezone import get_default_timezone

from .errors import InvalidSchedule, MissingLibrary

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class OffsetChange(NamedTuple):
    """A change of the clocks: the first instant of the new offset, and the offsets from UTC."""

    moment: datetime
    before: timedelta
    after: timedelta


def zone_named(name: str) -> tzinfo:
    """
    Return the time zone of an IANA name; blank is settings.TIME_ZONE.

    Raise InvalidSchedule if there is none of that name.
    """
    if not name:
        return get_default_timezone()
    try:
        if name == "localtime":
            raise ValueError("each machine has its own")
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exception:
        raise _unknown(name) from exception


def _unknown(name: str) -> InvalidSchedule:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        message = f"This system has no time zones: pip install tzdata (looked for {name!r})."
        return MissingLibrary("timezone", message)
    message = f"Unknown time zone {name!r}: it takes an IANA name such as 'Europe/Berlin' or 'UTC'."
    return InvalidSchedule("timezone", message)


def offset_changes(timezone: str, start: datetime, end: datetime) -> list[OffsetChange]:
    """Return the changes of the clocks after `start` and up to `end`; blank is TIME_ZONE."""
    return list(changes_between(zone_named(timezone), start, end))


def changes_between(zone: tzinfo, start: datetime, end: datetime) -> Iterator[OffsetChange]:
    """Yield the changes after `start` and up to `end`, both in UTC."""
    for year in range(start.year, end.year + 1):
        for change in _changes_in(zone, year):
            if start < change.moment <= end:
                yield change


def first_instant(local: datetime, zone: tzinfo) -> datetime:
    """
    Return the first instant at which the clocks of `zone` show `local`, a naive time.

    If they skip it: the first instant after the gap.
    """
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # Before a gap Python counts on with the old offset, so the change is the last one before that.
    *_, change = changes_between(zone, moment - 2 * DAY, moment)
    return change.moment


@lru_cache(maxsize=4096)
def _changes_in(zone: tzinfo, year: int) -> tuple[OffsetChange, ...]:
    """Compare the offsets of each day's ends: no zone ever changed and changed back within days."""
    changes = []
    day = datetime(year, 1, 1, tzinfo=UTC) - SECOND
    before = _offset(zone, day)
    for _ in range(366 if _is_leap(year) else 365):
        end = day + DAY
        after = _offset(zone, end)
        if after != before:
            changes.append(OffsetChange(_change(zone, day, end, before), before, after))
            before = after
        day = end
    return tuple(changes)


def _change(zone: tzinfo, start: datetime, end: datetime, before: timedelta) -> datetime:
    """Find the first second after `start` and up to `end` that has another offset."""
    while end - start > SECOND:
        middle = start + ((end - start) // 2 // SECOND) * SECOND
        if _offset(zone, middle) == before:
            start = middle
        else:
            end = middle
    return end


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
