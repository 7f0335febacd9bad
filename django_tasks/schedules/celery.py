"""Read Celery's schedules by their fields, without importing Celery."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from .errors import InvalidSchedule
from .specs import Clocked, Interval, Solar, Spec
from .spelling import crontab

#: Celery's names of those that are called otherwise here.
EVENTS = {"dawn_civil": "dawn", "solar_noon": "noon", "dusk_civil": "dusk"}
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def from_celery(value: Any, *, timezone: str | None = None) -> Spec:
    """
    Return the spec of what CELERY_BEAT_SCHEDULE has as "schedule", or of one that is a spec.

    Numbers (seconds), timedeltas, and Celery's and django-celery-beat's objects schedule, crontab,
    solar and clocked. `timezone`: of crontabs that name none; None: settings.TIME_ZONE.
    Raise InvalidSchedule if it is none of these.
    """
    if isinstance(value, Spec):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Interval(float(value))
    if isinstance(value, timedelta):
        return Interval(value.total_seconds())
    return _from_object(value, timezone)


def _from_object(value: Any, timezone: str | None) -> Spec:
    fields = getattr(value, "__dict__", {})
    if all(name in fields for name in CRONTAB_FIELDS):
        # As it was written, where known: the sets do not tell `*` from a list of all values.
        written = {name: fields.get(f"_orig_{name}", fields[name]) for name in CRONTAB_FIELDS}
        return crontab(**written, timezone=_zone_name(fields.get("tz")) or timezone)
    if all(name in fields for name in ("event", "lat", "lon")):
        event = EVENTS.get(fields["event"], fields["event"])
        return Solar(event, float(fields["lat"]), float(fields["lon"]), timezone or "")
    if isinstance(fields.get("clocked_time"), datetime):
        return Clocked(fields["clocked_time"])
    if isinstance(fields.get("run_every"), timedelta):
        return Interval(fields["run_every"].total_seconds())
    message = f"{value!r} is no schedule: it takes seconds, a timedelta, or crontab(...)."
    raise InvalidSchedule("kind", message)


def _zone_name(zone: Any) -> str:
    """Return the IANA name of a zone of zoneinfo, of pytz, or given as text."""
    return getattr(zone, "key", None) or str(zone or "")
