"""Celery's ``CELERY_BEAT_SCHEDULE``, in the words of this project. Celery is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ..dep14.base import TASK_MAX_PRIORITY
from .schedule_options import InvalidDeclaration

if TYPE_CHECKING:
    from ..schedules import Spec

#: What an entry may have that goes into an option of the same name.
_SAME = ("args", "kwargs", "enabled", "description")
_OPTIONS = {"queue", "priority", "expires"}
_KNOWN = {"task", "schedule", "options", "relative", *_SAME}
#: Whole multiples of an interval are counted from here when an entry is ``relative``.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


#: Entries that code has added to the setting's, by name.
added: dict[str, Any] = {}


def found() -> Mapping[str, Any]:
    """Return the entries by name; empty without the setting."""
    given = getattr(settings, "CELERY_BEAT_SCHEDULE", None)
    entries = given if isinstance(given, Mapping) else {}
    return {**entries, **added} if added else entries


def translated(entry: Any) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    """
    Return the task's path, the options of a schedule, and what was ignored, in words.

    Raise InvalidDeclaration for what is no entry.
    """
    if not isinstance(entry, Mapping) or not {"task", "schedule"} <= entry.keys():
        raise InvalidDeclaration(f"an entry is a dict with task and schedule, not {entry!r}.")
    given = entry.get("options") or {}
    if not isinstance(given, Mapping):
        raise InvalidDeclaration(f"options must be a dict, not {given!r}.")
    options = {name: entry[name] for name in _SAME if entry.get(name) is not None}
    is_relative = entry.get("relative") or getattr(entry["schedule"], "relative", False)
    options["schedule"] = _spec(entry["schedule"], bool(is_relative))
    options |= enqueueing(given)
    unknown = sorted({*map(str, entry)} - _KNOWN) + sorted({*map(str, given)} - _OPTIONS)
    ignored = (f"ignored, as nothing here is like it: {', '.join(unknown)}.",) if unknown else ()
    return entry["task"], options, ignored


def enqueueing(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return Celery's queue, priority and expires as options of a schedule."""
    options: dict[str, Any] = {}
    if given.get("queue"):
        options["queue_name"] = given["queue"]
    if given.get("priority") is not None:
        options["priority"] = priority(given["priority"])
    expires = given.get("expires")
    # A moment after which its tasks expire at once is the end of the schedule.
    options |= {"end_at" if isinstance(expires, datetime) else "expires": expires}
    return {name: value for name, value in options.items() if value is not None}


def priority(value: Any) -> Any:
    """Return Celery's priority, 0 to 255 with RabbitMQ, as ours; higher goes first."""
    return min(value, TASK_MAX_PRIORITY) if isinstance(value, int) else value


def time_zone() -> str:
    """Return the zone that Celery reads crontabs in; blank for Django's TIME_ZONE."""
    return str(getattr(settings, "CELERY_TIMEZONE", None) or "")


def _spec(value: Any, is_relative: bool) -> Spec:
    from ..schedules import Interval, InvalidSchedule, from_celery

    try:
        spec = from_celery(value, timezone=time_zone() or None)
    except InvalidSchedule as error:
        raise InvalidDeclaration(f"schedule: {error}") from None
    if is_relative and isinstance(spec, Interval) and spec.anchor_at is None:
        return replace(spec, anchor_at=_EPOCH)
    return spec
