"""Actions on schedules, from the list and from a schedule's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as django_delete_selected
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...models import Schedule
from ...models.schedules import Owner
from ...statuses import Status
from ...store.schedules import edits as store
from ...store.schedules import sync
from .audit import Snapshot, message
from .fields import ScheduleFields

#: Schedules that one action takes.
MOST = 1000
#: Fields of a request that say which action was chosen, for which schedules.
CHOICE = ("action", ACTION_CHECKBOX_NAME, "select_across", "deed")


class PauseForm(forms.Form):
    """Until when."""

    until = forms.SplitDateTimeField(label=gettext_lazy("Until"), widget=AdminSplitDateTime)

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until <= timezone.now():
            raise ValidationError(_("This moment has passed."))
        return until


class ScheduleActions(ScheduleFields):
    """Each action takes the chosen schedules, and tells in the history what it changed."""

    actions = ("run_now", "pause", "resume", "enable", "disable", "delete_selected")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may run schedules by hand."""
        return request.user.has_perm("django_tasks.run_schedule")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may pause, enable and disable schedules."""
        return request.user.has_perm("django_tasks.pause_schedule")

    @admin.action(permissions=["run"], description=gettext_lazy("Run now"))
    def run_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask, then enqueue each once."""
        rows = self._chosen(request, queryset)
        if rows and "confirmed" not in request.POST:
            question = ngettext(
                "Enqueue the task of this schedule now?",
                "Enqueue the tasks of these schedules now?",
                len(rows),
            )
            return self._ask(request, rows, _("Run now"), question)
        links = [link for row in rows if (link := self._run_one(request, row))]
        if links:
            text = ngettext("%d task was enqueued.", "%d tasks were enqueued.", len(links))
            shown = links[0] if len(links) == 1 else ""
            done = format_html("{} {}", text % len(links), shown)
            self.message_user(request, done, messages.SUCCESS)
        return None

    def _run_one(self, request: HttpRequest, row: Schedule) -> str:
        """Return a link to the task; an empty text when there is none, after saying why."""
        try:
            result = store.run_now(row.pk, using=row._state.db or "default")
        except (ValidationError, Schedule.DoesNotExist) as error:
            text = _("%(name)s was not run: %(error)s")
            reasons = getattr(error, "messages", [_("It was deleted meanwhile.")])
            words = {"name": row.name, "error": " ".join(reasons)}
            self.message_user(request, text % words, messages.ERROR)
            return ""
        self._log(request, row, _("Run by hand: task %s.") % result.id)
        return self.link_to_task(result.id, Status.READY)

    @admin.action(permissions=["pause"], description=gettext_lazy("Pause until …"))
    def pause(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask until when, then leave out the slots up to then."""
        rows = self._chosen(request, queryset)
        is_answer = "confirmed" in request.POST
        form = PauseForm(request.POST if is_answer else None)
        if rows and not (is_answer and form.is_valid()):
            question = _("Until when? Slots up to then are left out.")
            return self._ask(request, rows, _("Pause"), question, form)
        if rows:
            until = form.cleaned_data["until"]
            self._change(request, rows, lambda ids, using: store.pause(ids, until, using=using))
        return None

    @admin.action(permissions=["pause"], description=gettext_lazy("Resume"))
    def resume(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """End the pause: slots that passed in it stay left out."""
        rows = self._chosen(request, queryset)
        self._change(request, rows, lambda ids, using: store.pause(ids, None, using=using))

    @admin.action(permissions=["pause"], description=gettext_lazy("Enable"))
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Enable: slots that passed meanwhile stay left out."""
        rows = self._chosen(request, queryset)
        self._change(request, rows, lambda ids, using: store.set_enabled(ids, True, using=using))

    @admin.action(permissions=["pause"], description=gettext_lazy("Disable"))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Disable until somebody enables it."""
        rows = self._chosen(request, queryset)
        self._change(request, rows, lambda ids, using: store.set_enabled(ids, False, using=using))

    def reset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Make it again what the code declares."""
        rows = self._chosen(request, queryset)
        self._change(request, rows, lambda ids, using: sync.reset_to_code(ids, using=using))

    @admin.action(
        permissions=["delete"],
        description=gettext_lazy("Delete selected %(verbose_name_plural)s"),
    )
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask, then delete those that the code does not declare."""
        rows = self._chosen(request, queryset)
        kept = [row for row in rows if is_declared_in_code(row)]
        if kept and "post" not in request.POST:
            text = ngettext(
                "%(count)d schedule stays: it is in the code. Disable it instead.",
                "%(count)d schedules stay: they are in the code. Disable them instead.",
                len(kept),
            )
            self.message_user(request, text % {"count": len(kept)}, messages.WARNING)
        others = queryset.exclude(Q(owner=Owner.CODE, is_declared=True))
        return django_delete_selected(self, request, others) if len(kept) < len(rows) else None

    # --- how --------------------------------------------------------------------------------------

    def _chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Schedule]:
        rows = list(queryset[: MOST + 1])
        if len(rows) <= MOST:
            return rows
        text = _("Select up to %(most)d schedules at a time. Nothing was done.")
        self.message_user(request, text % {"most": MOST}, messages.ERROR)
        return []

    def _change(
        self,
        request: HttpRequest,
        rows: list[Schedule],
        change: Callable[[list[int], str], int],
    ) -> None:
        """Change `rows`, log what became of each, and tell how many changed."""
        if not rows:
            return
        using = rows[0]._state.db or "default"
        before = {row.pk: Snapshot.of(row) for row in rows}
        try:
            change(list(before), using)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        changed = 0
        for row in Schedule.objects.using(using).filter(pk__in=before):
            if changes := before[row.pk].changes_to(Snapshot.of(row)):
                self._log(request, row, message(changes))
                changed += 1
        self._report(request, changed, len(rows) - changed)

    def _report(self, request: HttpRequest, changed: int, same: int) -> None:
        texts = [
            ngettext("%d schedule was changed.", "%d schedules were changed.", changed) % changed
            if changed
            else "",
            ngettext("%d schedule stayed as it was.", "%d schedules stayed as they were.", same)
            % same
            if same
            else "",
        ]
        level = messages.SUCCESS if not same else messages.WARNING
        self.message_user(request, " ".join(filter(None, texts)), level)

    def _log(self, request: HttpRequest, row: Schedule, text: str, flag: int = CHANGE) -> None:
        if request.user.pk is not None:
            LogEntry.objects.log_actions(request.user.pk, [row], flag, text)

    def _ask(
        self,
        request: HttpRequest,
        rows: list[Schedule],
        title: str,
        question: str,
        form: forms.Form | None = None,
    ) -> HttpResponse:
        """Return the page that asks before something is done."""
        choice = [(name, value) for name in CHOICE for value in request.POST.getlist(name)]
        context: dict[str, Any] = {
            "question": question,
            "rows": rows,
            "choice": choice,
            "form": form,
            "media": self.media + form.media if form else self.media,
        }
        row = rows[0] if "deed" in request.POST else None
        context["back"] = self.address("change", row.pk) if row else self.address("changelist")
        return self.own_page(
            request, "schedule/confirm", title=title, crumb=title, row=row, **context
        )


def is_declared_in_code(row: Schedule) -> bool:
    """Tell whether the code would bring the row back, were it deleted."""
    return row.owner == Owner.CODE and row.is_declared
