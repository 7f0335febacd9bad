"""The columns of the list of schedules and what a schedule's page shows of its state."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from ...definitions import registry
from ...definitions.declared_schedules import drift_of
from ...models import Schedule, TaskRecord
from ...models.schedules import Owner
from ...redaction import arguments
from ...store.dialects import DatabaseNow
from .. import formats
from ..base import BaseAdmin
from .audit import readable
from .preview import preview_of, words_of

TEMPLATES = "admin/django_tasks/schedule"


def with_last_status(schedules: QuerySet[Any]) -> QuerySet[Any]:
    """Annotate each schedule with the status of its last task, and with the database's clock."""
    last = TaskRecord.objects.using(schedules.db).filter(pk=OuterRef("last_task_id"))
    status = Subquery(last.order_by().values("status")[:1])
    annotated: QuerySet[Any] = schedules.annotate(now=DatabaseNow(), last_status=status)
    return annotated


class ScheduleFields(BaseAdmin):
    """Says how each part of a schedule is shown."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_last_status(super().get_queryset(request))

    @admin.display(description=gettext_lazy("name and task"), ordering="name")
    def named(self, row: Schedule) -> str:
        return format_html('{}<span class="task-module">{}</span>', row.name, row.task_path)

    @admin.display(description=gettext_lazy("when"))
    def due(self, row: Schedule) -> str:
        zone = format_html('<span class="task-module">{}</span>', row.timezone)
        return format_html("{}{}", words_of(row), zone if row.timezone else "")

    @admin.display(description=gettext_lazy("owner"))
    def owned_by(self, row: Schedule) -> str:
        badge = formats.badge(row.get_owner_display(), "ready")
        note = ""
        if row.owner == Owner.CODE and not row.is_declared:
            note = _("removed from the code")
        elif drift_of(row):
            note = _("changed here")
        return _with_note(badge, note)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Any) -> str:
        kind, word, note = _state(row, row.now)
        return _with_note(formats.badge(word, kind), note)

    @admin.display(description=gettext_lazy("state"))
    def state_and_error(self, row: Any) -> str:
        """Return the state with the error below it: a column of its own would be mostly empty."""
        if not row.error:
            return self.state(row)
        return format_html('{}<div class="schedule-problem">{}</div>', self.state(row), row.error)

    @admin.display(description=gettext_lazy("last run"))
    def last(self, row: Any) -> str:
        if row.last_run_at is None:
            return formats.NOTHING
        when = formats.ago(row.last_run_at, row.now)
        return format_html("{} {}", when, self.link_to_task(row.last_task_id, row.last_status))

    @admin.display(description=gettext_lazy("next run"), ordering="next_run_at")
    def next(self, row: Any) -> str:
        return formats.ago(row.next_run_at, row.now)

    @admin.display(description=gettext_lazy("error"))
    def problem(self, row: Schedule) -> str:
        if not row.error:
            return formats.NOTHING
        return format_html('<span class="schedule-problem">{}</span>', row.error)

    @admin.display(description=gettext_lazy("next runs"))
    def next_runs(self, row: Schedule | None) -> str:
        """Return the preview; the page's script renews it from the address."""
        return format_html(
            '<div id="schedule-preview" aria-live="polite" data-url="{}" data-failure="{}">'
            "{}</div>",
            self.address("preview", *([row.pk] if row and row.pk else [])),
            _("The next runs cannot be shown now."),
            SafeString(preview_of(row, timezone.now()).render()) if row and row.kind else "",
        )

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, row: Schedule) -> str:
        return formats.json_block(_masked(row).args)

    @admin.display(description=gettext_lazy("keyword arguments"))
    def keyword_arguments(self, row: Schedule) -> str:
        return formats.json_block(_masked(row).kwargs)

    @admin.display(description=gettext_lazy("arguments"))
    def no_payload(self, row: Schedule) -> str:
        return format_html(
            '<span class="task-hidden">{}</span>',
            _(
                "Hidden. Seeing arguments, results and metadata needs the permission “Can see"
                " arguments and results of tasks”."
            ),
        )

    @admin.display(description=gettext_lazy("differs from the code"))
    def drift(self, row: Schedule) -> str:
        """Return a table of the columns that differ; of arguments no values, as in the history."""
        rows = [(_title(name), *_pair(name, *pair)) for name, pair in drift_of(row).items()]
        return SafeString(render_to_string(f"{TEMPLATES}/drift.html", {"rows": rows}))

    # --- the policies, for people who may only look -----------------------------------------------

    @admin.display(description=gettext_lazy("jitter"))
    def jitter_words(self, row: Schedule) -> str:
        return formats.duration(row.jitter) if row.jitter else formats.NOTHING

    @admin.display(description=gettext_lazy("expires after"))
    def expires_words(self, row: Schedule) -> str:
        return formats.duration(row.expires)

    @admin.display(description=gettext_lazy("no later than"))
    def deadline_words(self, row: Schedule) -> str:
        return formats.duration(row.catch_up_deadline)

    # --- pages and links --------------------------------------------------------------------------

    def link_to_task(self, task_id: Any, status: str | None) -> str:
        """Return the status of a task, linked to its page."""
        if task_id is None:
            return ""
        if status is None:
            return format_html('<span class="task-hidden">{}</span>', _("deleted since"))
        badge = formats.status_badge(status)
        if not self.admin_site.is_registered(TaskRecord):
            return badge
        url = reverse(
            "admin:django_tasks_taskrecord_change",
            args=[task_id],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}">{}</a>', url, badge)

    def duplicate_address(self, row: Schedule) -> str:
        """Return the address of the form for a new schedule that begins as a copy of `row`."""
        return f"{self.address('add')}?{urlencode({'copy': row.pk})}"


def _with_note(badge: str, note: str) -> str:
    return format_html('{} <span class="task-note">{}</span>', badge, note) if note else badge


def _state(row: Schedule, now: datetime) -> tuple[str, str, str]:
    """Return the badge's kind and word, and what is to be said beside it."""
    if row.error and row.enabled:
        return "failed", pgettext("schedule", "Failing"), ""
    if row.error:
        return "failed", pgettext("schedule", "Broken"), ""
    if not row.is_declared:
        return "cancelled", pgettext("schedule", "Removed"), ""
    if not row.enabled:
        return "cancelled", pgettext("schedule", "Disabled"), ""
    if row.paused_until and row.paused_until > now:
        left = formats.duration((row.paused_until - now).total_seconds())
        note = formats.timestamp(row.paused_until, _("for %s") % left)
        return "unknown", pgettext("schedule", "Paused"), note
    if row.next_run_at is None:
        return "ready", pgettext("schedule", "Ended"), ""
    return "successful", pgettext("schedule", "Enabled"), ""


def _masked(row: Schedule) -> arguments.MaskedCall:
    return arguments.mask(row.args, row.kwargs, registry.find(row.task_path))


def _title(name: str) -> Any:
    return Schedule._meta.get_field(name).verbose_name  # type: ignore[union-attr]


def _pair(name: str, here: Any, code: Any) -> tuple[str, str]:
    if name in ("args", "kwargs"):
        return _("changed"), ""
    return readable(name, here), readable(name, code)
