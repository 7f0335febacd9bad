"""Describe a change for the history: each column before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.text import Truncator
from django.utils.translation import gettext as _

from ... import serializers
from ...models import Schedule
from .. import formats

#: Columns that people change.
AUDITED = (
    "name",
    "description",
    "task_path",
    "args",
    "kwargs",
    "kind",
    "every",
    "anchor_at",
    "crontab",
    "day_match",
    "solar_event",
    "latitude",
    "longitude",
    "clocked_at",
    "timezone",
    "start_at",
    "end_at",
    "max_runs",
    "overlap",
    "catch_up",
    "catch_up_limit",
    "catch_up_deadline",
    "jitter",
    "expires",
    "queue_name",
    "priority",
    "backend",
    "enabled",
    "paused_until",
)
DURATIONS = frozenset({"every", "jitter", "expires", "catch_up_deadline"})
#: Characters of one value in the history.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The columns of a schedule at one moment."""

    values: dict[str, Any]

    @classmethod
    def of(cls, row: Schedule) -> Snapshot:
        return cls({name: getattr(row, name) for name in AUDITED})

    def changes_to(self, other: Snapshot) -> list[str]:
        """
        Return a text per column that differs.

        The history can be read without the permission to see arguments, so of those it names
        the ones that changed and no values.
        """
        return [
            self._change(name, value, other.values[name])
            for name, value in self.values.items()
            if value != other.values[name]
        ]

    def _change(self, name: str, before: Any, after: Any) -> str:
        title = Schedule._meta.get_field(name).verbose_name  # type: ignore[union-attr]
        if name in ("args", "kwargs"):
            return f"{title} {_changed_parts(before, after)}".strip()
        return f"{title} {readable(name, before)} → {readable(name, after)}"


def message(changes: list[str]) -> str:
    """Return the line of the history for `changes`."""
    return _("Changed: %s.") % "; ".join(changes) if changes else _("No fields changed.")


def readable(name: str, value: Any) -> str:
    """Return the value of a column as people write it."""
    if value is None or value == "":
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if name in DURATIONS:
        return formats.duration(value)
    field: Any = Schedule._meta.get_field(name)
    label = dict(field.flatchoices).get(value, value)
    return f"“{Truncator(str(label)).chars(MAX_SHOWN)}”"


def _changed_parts(before: str, after: str) -> str:
    """Return which of the arguments changed: their names, or their places from 0 on."""
    try:
        parts = [_parts(serializers.loads(text)) for text in (before, after)]
    except (ValueError, RecursionError):
        return _("changed")
    missing = object()
    names = [
        str(name)
        for name in {**parts[0], **parts[1]}
        if parts[0].get(name, missing) != parts[1].get(name, missing)
    ]
    return _("changed (%s)") % ", ".join(names)


def _parts(value: Any) -> dict[Any, Any]:
    return dict(enumerate(value)) if isinstance(value, list) else dict(value)
