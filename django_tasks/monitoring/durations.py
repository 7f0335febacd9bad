"""Format datetimes and durations for people, in the active language."""

from __future__ import annotations

from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _

NOTHING = "-"


def duration(seconds: float | None) -> str:
    """Return a duration to be read at a glance: 4 ms, 1.2 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return _("%(ms)d ms") % {"ms": round(seconds * 1000)}
    if seconds < 60:
        return _("%(s).1f s") % {"s": seconds}
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return _("%(d)d d %(h)d h") % {"d": days, "h": hours}
    if hours:
        return _("%(h)d h %(min)d min") % {"h": hours, "min": minutes}
    return _("%(min)d min %(s)d s") % {"min": minutes, "s": s}


def distance(moment: datetime, now: datetime) -> str:
    """Return "in 5 min 3 s" or "5 min 3 s ago"."""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return _("in %(duration)s") % {"duration": duration(-seconds)}
    return _("%(duration)s ago") % {"duration": duration(seconds)}


def clock_time(moment: datetime) -> str:
    """Return date and time to the second, in the current time zone."""
    local = localtime(moment) if is_aware(moment) else moment
    return f"{date_format(local, 'DATE_FORMAT')} {local:%H:%M:%S}"


def when(moment: datetime, now: datetime) -> str:
    """Return both: the time, and how far away it is."""
    return f"{clock_time(moment)} ({distance(moment, now)})"
