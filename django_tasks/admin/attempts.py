"""The attempts on a task's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..aliases import task_database
from ..models import TaskAttempt
from . import formats

if TYPE_CHECKING:
    _Inline = admin.StackedInline[Any, Any]
    _FormSet = BaseInlineFormSet[Any, Any, Any]
else:
    _Inline = admin.StackedInline
    _FormSet = BaseInlineFormSet

#: Attempts that a page shows: a task that snoozes for days has thousands.
SHOWN = 20


class NewestAttempts(_FormSet):
    """The last attempts, the newest first."""

    _newest: QuerySet[Any] | None = None

    def get_queryset(self) -> QuerySet[Any]:
        if self._newest is None:
            self._newest = super().get_queryset().order_by("-pk")[:SHOWN]
        return self._newest


class AttemptInline(_Inline):
    """Attempts that did not succeed, read only."""

    model = TaskAttempt
    formset = NewestAttempts
    extra = 0
    verbose_name_plural = gettext_lazy("attempts that did not succeed, the newest first")
    fields = (("how", "when", "where"), "exception_path", "error")
    readonly_fields = ("how", "when", "where", "exception_path", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(task_database())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A part of the task's page, which has asked for the permission to see tasks.
        return True

    @admin.display(description=gettext_lazy("outcome"))
    def how(self, attempt: TaskAttempt) -> str:
        return formats.outcome_badge(attempt.outcome)

    @admin.display(description=gettext_lazy("finished"))
    def when(self, attempt: TaskAttempt) -> str:
        if attempt.run_time is None:
            return formats.timestamp(attempt.finished_at)
        return formats.join(
            formats.timestamp(attempt.finished_at),
            _("after %(duration)s") % {"duration": formats.duration(attempt.run_time)},
        )

    @admin.display(description=gettext_lazy("process"))
    def where(self, attempt: TaskAttempt) -> str:
        parts = [attempt.host] if attempt.host else []
        if attempt.process is not None:
            parts.append(_("process %d") % attempt.process)
        if attempt.signal is not None:
            parts.append(_("killed by %s") % formats.signal_name(attempt.signal))
        if attempt.exit_code is not None:
            parts.append(_("exit code %d") % attempt.exit_code)
        return ", ".join(parts) or formats.NOTHING

    @admin.display(description=gettext_lazy("traceback"))
    def error(self, attempt: TaskAttempt) -> str:
        return formats.text_block(attempt.traceback) if attempt.traceback else formats.NOTHING
