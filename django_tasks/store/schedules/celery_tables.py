"""
The tables of django-celery-beat, read without that package.

Its versions differ in their columns: what a table has is what a query returns, and what it lacks
has the value that the package would use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive

from ...definitions import celery_settings
from ...definitions.schedule_options import InvalidDeclaration
from ...schedules import InvalidSchedule, Spec, clocked, crontab, every, solar
from ...schedules.celery import EVENTS

PREFIX = "django_celery_beat_"
#: The columns that refer to a schedule, each to the table of its name.
KINDS = ("interval", "crontab", "solar", "clocked")

Row: TypeAlias = Mapping[str, Any]


class NoTables(LookupError):
    """The database has no tables of django-celery-beat."""


def periodic_tasks(database: str) -> list[Row]:
    """Return the periodic tasks by name, each with the row of its schedule. Raise NoTables."""
    connection = connections[database]
    tables = set(connection.introspection.table_names())
    if f"{PREFIX}periodictask" not in tables:
        raise NoTables(database)
    schedules = {
        kind: {row["id"]: row for row in _rows(connection, f"{PREFIX}{kind}schedule")}
        for kind in KINDS
        if f"{PREFIX}{kind}schedule" in tables
    }
    return [
        {**row, **{kind: schedules[kind].get(row.get(f"{kind}_id")) for kind in schedules}}
        for row in sorted(_rows(connection, f"{PREFIX}periodictask"), key=lambda row: row["name"])
    ]


def _rows(connection: BaseDatabaseWrapper, table: str) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        names = [column[0] for column in cursor.description]
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            yield {name: _aware(name, value, connection) for name, value in row.items()}


def _aware(name: str, value: Any, connection: BaseDatabaseWrapper) -> Any:
    if name not in _DATETIMES:
        return value
    moment = parse_datetime(value) if isinstance(value, str) else value
    if isinstance(moment, datetime) and is_naive(moment):
        return moment.replace(tzinfo=connection.timezone or UTC)
    return moment


_DATETIMES = {"clocked_time", "date_changed", "expires", "last_run_at", "start_time"}


def translated(row: Row) -> tuple[dict[str, Any], tuple[str, ...]]:
    """
    Return a periodic task as options of a schedule, and what is ignored or changed, in words.

    Raise InvalidDeclaration for what cannot be had here.
    """
    has_run = bool(row.get("one_off") and row.get("total_run_count"))
    options = {
        "schedule": _spec(row),
        "args": _loaded(row, "args", "[]"),
        "kwargs": _loaded(row, "kwargs", "{}"),
        "description": row.get("description") or "",
        "enabled": bool(row["enabled"]) and not has_run,
        "start_at": row.get("start_time"),
        "max_runs": 1 if row.get("one_off") else None,
        **celery_settings.enqueueing(
            {
                "queue": row.get("queue"),
                "priority": row.get("priority"),
                "expires": row.get("expires") or row.get("expire_seconds"),
            }
        ),
    }
    return options, tuple(_notes(row, options, has_run))


def _notes(row: Row, options: Mapping[str, Any], has_run: bool) -> Iterator[str]:
    routing = [name for name in ("exchange", "routing_key") if row.get(name)]
    if (row.get("headers") or "{}") != "{}":
        routing.append("headers")
    if routing:
        yield f"ignored: {', '.join(routing)}"
    if options.get("priority") != row.get("priority"):
        yield f"priority {row['priority']} became {options['priority']}, the highest"
    if has_run and row["enabled"]:
        yield "disabled, as it was to run once and has"


def _spec(row: Row) -> Spec:
    given = [kind for kind in KINDS if row.get(kind)]
    if len(given) != 1:
        raise InvalidDeclaration(
            f"it has {' and '.join(given)}: one of them is meant."
            if given
            else "it has no schedule."
        )
    try:
        return _SPECS[given[0]](row[given[0]], row)
    except InvalidSchedule as error:
        raise InvalidDeclaration(f"{given[0]}: {error}") from None


def _interval(schedule: Row, row: Row) -> Spec:
    try:
        period = timedelta(**{schedule["period"]: schedule["every"]})
    except (TypeError, OverflowError) as error:
        raise InvalidDeclaration(f"interval: {error}") from None
    # What Celery counts from: the slots fall at the same moments as before.
    anchor = row.get("last_run_at") or row.get("start_time") or row.get("date_changed")
    return every(seconds=period.total_seconds(), anchor=anchor)


def _crontab(schedule: Row, row: Row) -> Spec:
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    zone = str(schedule.get("timezone") or celery_settings.time_zone())
    return crontab(**{name: schedule[name] for name in fields}, timezone=zone)


def _solar(schedule: Row, row: Row) -> Spec:
    event = EVENTS.get(schedule["event"]) or schedule["event"]
    return solar(event, float(schedule["latitude"]), float(schedule["longitude"]))


_SPECS: dict[str, Callable[[Row, Row], Spec]] = {
    "interval": _interval,
    "crontab": _crontab,
    "solar": _solar,
    "clocked": lambda schedule, row: clocked(schedule["clocked_time"]),
}


def _loaded(row: Row, name: str, default: str) -> Any:
    try:
        return json.loads(row.get(name) or default)
    except ValueError as error:
        raise InvalidDeclaration(f"its {name} are not JSON: {error}.") from None
