"""The columns of the list of workflows, and what their pages share with it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...models import TaskRecord, WorkflowRecord
from .. import formats
from ..base import ReadOnlyAdmin


class WorkflowFields(ReadOnlyAdmin):
    """Says how each part of a workflow is shown. Rows have their `summary`, see the list."""

    @admin.display(description=gettext_lazy("workflow"))
    def workflow(self, record: WorkflowRecord) -> str:
        return record.name or str(record.pk)

    @admin.display(description=gettext_lazy("status"))
    def state(self, record: WorkflowRecord) -> str:
        badge = formats.status_badge(record.status)
        if record.finished_at is not None or record.cancelled_at is None:
            return badge
        return format_html('{} <span class="task-note">{}</span>', badge, _("told to stop"))

    @admin.display(description=gettext_lazy("steps"))
    def progress(self, record: Any) -> str:
        return progress_bar(record.summary.done, record.size)

    @admin.display(description=gettext_lazy("age"), ordering="-id")
    def age(self, record: WorkflowRecord) -> str:
        seconds = (timezone.now() - record.enqueued_at).total_seconds()
        return formats.timestamp(record.enqueued_at, formats.duration(max(0.0, seconds)))

    @admin.display(description=gettext_lazy("duration"))
    def took(self, record: WorkflowRecord) -> str:
        if record.finished_at is None:
            return formats.NOTHING
        seconds = (record.finished_at - record.enqueued_at).total_seconds()
        return formats.duration(max(0.0, seconds))

    @admin.display(description=gettext_lazy("failed step"))
    def failed(self, record: Any) -> str:
        summary = record.summary
        if summary.failed_id is None:
            return formats.NOTHING
        if not record.links_to_tasks:
            return str(summary.failed)
        return self.link(TaskRecord(pk=summary.failed_id), summary.failed)

    def has_task_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may see the pages of tasks, to which links lead."""
        return any(
            request.user.has_perm(f"django_tasks.{verb}_taskrecord") for verb in ("view", "change")
        )


def progress_bar(done: int | None, size: int) -> str:
    """Return how many of `size` steps have ended, in numbers and as a bar; None: not counted."""
    if done is None:
        text = ngettext("%(n)s step, not counted", "%(n)s steps, not counted", size)
        return text % {"n": formats.count(size)}
    percent = 100 if not size else 100 * done // size
    return format_html(
        '<progress class="task-progress" max="100" value="{0}" aria-label="{1}">{0} %</progress>'
        " {2}",
        str(percent),
        _("progress"),
        _("%(done)s of %(size)s") % {"done": formats.count(done), "size": formats.count(size)},
    )
