"""Which fields a schedule's page has, in which order, for whom."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from ...definitions.declared_schedules import drift_of
from ...models import Schedule

#: Fields that are shown and never entered.
SHOWN: tuple[str, ...] = (
    "state",
    "owned_by",
    "last",
    "next",
    "problem",
    "drift",
    "next_runs",
    "no_payload",
    "arguments",
    "keyword_arguments",
    "due",
    "jitter_words",
    "expires_words",
    "deadline_words",
)


def fieldsets(row: Schedule | None, *, may_change: bool, may_see_payload: bool) -> Any:
    """Return the fieldsets of a page; `row` is None for a new schedule."""
    top = [] if row is None else [(_("Now"), {"fields": _now(row)})]
    if not may_change:
        return [*top, *_looked_at(may_see_payload)]
    call: list[Any] = ["args", "kwargs"] if may_see_payload else ["no_payload"]
    return [
        *top,
        (None, {"fields": ["name", "task_path", *call, "description", "enabled"]}),
        (_("When"), {"fields": _WHEN}),
        (_("When it is late or not finished"), {"fields": _POLICIES}),
        (_("Limits"), {"fields": _LIMITS, "classes": _classes(row, _LIMITS)}),
        (_("How it is enqueued"), {"fields": _OPTIONS, "classes": _classes(row, _OPTIONS)}),
    ]


def _classes(row: Schedule | None, columns: list[str]) -> list[str]:
    """Collapse a fieldset in which nothing was entered."""
    is_empty = row is None or not any(getattr(row, column) for column in columns)
    return ["collapse"] if is_empty else []


_WHEN: list[Any] = [
    "kind",
    "every",
    "anchor_at",
    "crontab",
    "day_match",
    "solar_event",
    ("latitude", "longitude"),
    "clocked_at",
    "timezone",
    "next_runs",
]
_LIMITS = ["start_at", "end_at", "max_runs", "jitter", "expires"]
_POLICIES = ["overlap", "catch_up", "catch_up_limit", "catch_up_deadline"]
_OPTIONS = ["queue_name", "priority", "backend"]


def _now(row: Schedule) -> list[Any]:
    fields: list[Any] = [("state", "owned_by", "last", "next")]
    if row.error:
        fields.append("problem")
    if drift_of(row):
        fields.append("drift")
    return fields


def _looked_at(may_see_payload: bool) -> list[Any]:
    """Return the fieldsets for people who may not change anything."""
    call: list[Any] = ["arguments", "keyword_arguments"] if may_see_payload else ["no_payload"]
    limits = ["start_at", "end_at", "max_runs", "jitter_words", "expires_words"]
    policies = ["overlap", "catch_up", "catch_up_limit", "deadline_words"]
    return [
        (None, {"fields": ["name", "task_path", *call, "description"]}),
        (_("When"), {"fields": ["due", "timezone", "next_runs"]}),
        (_("When it is late or not finished"), {"fields": policies}),
        (_("Limits"), {"fields": limits}),
        (_("How it is enqueued"), {"fields": _OPTIONS}),
    ]
