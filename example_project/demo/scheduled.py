"""What the page shows of schedules: when they are due, and what their last task said."""

from __future__ import annotations

from dataclasses import dataclass

from django.template.loader import render_to_string
from django.urls import reverse

from django_tasks import TaskResult, TaskResultDoesNotExist, default_task_backend
from django_tasks.models import Schedule
from django_tasks.schedules import spec_of, words

from . import tasks
from .highlight import source_html

MOST_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSchedule:
    """A schedule with the result of the task that it made last, if that is still there."""

    row: Schedule
    result: TaskResult | None

    @property
    def name(self) -> str:
        """The name without the path of the demo's tasks module."""
        return self.row.name.removeprefix(f"{tasks.__name__}.")

    @property
    def words(self) -> str:
        return words(spec_of(self.row))

    @property
    def said(self) -> str:
        """What the last task returned."""
        if self.result is None:
            return ""
        return (
            str(self.result.return_value) if self.result.state == "SUCCESS" else self.result.state
        )

    @property
    def admin_url(self) -> str:
        return reverse("admin:django_tasks_taskrecord_change", args=[self.row.last_task_id])


def shown() -> list[ShownSchedule]:
    """Return the newest schedules, also those that somebody added in the admin."""
    rows = Schedule.objects.order_by("-pk")[:MOST_SHOWN]
    return [ShownSchedule(row=row, result=last_result(row)) for row in rows]


def last_result(row: Schedule) -> TaskResult | None:
    if row.last_task_id is None:
        return None
    try:
        return default_task_backend.get_result(str(row.last_task_id))
    except TaskResultDoesNotExist:
        return None


def html() -> str:
    return render_to_string("demo/schedules.html", {"schedules": shown()})


def source() -> str:
    return source_html(tasks.take_stock.func)
