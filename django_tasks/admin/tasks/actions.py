"""Actions on tasks, from the list and from a task's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...definitions.backends import database_backends
from ...models import TaskRecord
from ...monitoring.reading import capped_count, queue_names
from ...routing import is_queue_name
from ...store.tasks.interventions import Intervention, Report
from ..widgets import SuggestingInput
from .fields import TaskFields
from .filters import MetadataFilter

#: Seconds after which a request begins nothing more: it must end before the web server
#: gives up. What was done until then stays done.
MOST_SECONDS = 20.0
#: Tasks of one action that have an entry in their own history. One entry stands for those beyond.
MOST_LOGGED = 100
#: Tasks that a page which asks names.
NAMED = 20
#: Fields of a request that say which action was chosen, for which tasks.
CHOICE = ("action", ACTION_CHECKBOX_NAME, "select_across", "deed")


def _known_queues() -> list[tuple[str, str]]:
    return [(name, "") for name in sorted(queue_names(database_backends().values()))]


class MoveForm(forms.Form):
    """Where to."""

    queue_name = forms.CharField(
        label=gettext_lazy("Queue"),
        required=False,
        widget=SuggestingInput(_known_queues),
        help_text=gettext_lazy("Empty: the queue that each has."),
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        required=False,
        min_value=-100,
        max_value=100,
        help_text=gettext_lazy("-100 to 100, higher first. Empty: the priority that each has."),
    )

    def clean_queue_name(self) -> str | None:
        name: str = self.cleaned_data["queue_name"]
        if name and not is_queue_name(name):
            raise ValidationError(
                _("A queue’s name has up to 100 characters, and no space, comma or “*”.")
            )
        return name or None

    def clean(self) -> None:
        if not self.errors and set(self.cleaned_data.values()) <= {None}:
            raise ValidationError(_("Enter a queue, a priority or both."))


class TaskActions(TaskFields):
    """Each action takes the chosen tasks, and says what it did and what it left alone."""

    actions = ("run_again", "run_now", "cancel", "move", "delete_selected")

    # --- who may ----------------------------------------------------------------------------------

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may run tasks again, and before their time."""
        return request.user.has_perm("django_tasks.requeue_taskrecord")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may cancel tasks."""
        return request.user.has_perm("django_tasks.cancel_taskrecord")

    def has_move_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may change the queue and the priority of tasks."""
        return request.user.has_perm("django_tasks.change_taskrecord")

    def has_prune_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may delete finished tasks."""
        return request.user.has_perm("django_tasks.delete_taskrecord")

    # --- actions ----------------------------------------------------------------------------------

    @admin.action(permissions=["requeue"], description=gettext_lazy("Run again"))
    def run_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Requeue failed and cancelled ones, and make new records of successful ones."""
        if self._is_across(request) and not self._is_confirmed(request):
            question = _("Run all of these tasks again that failed, were cancelled or succeeded?")
            return self._ask(request, queryset, _("Run again"), question)
        report = self._begin(request, queryset, _("Run again.")).requeue(copies=True)
        again = ngettext(
            "%(count)d task will run again.", "%(count)d tasks will run again.", report.done
        )
        copied = ngettext(
            "%(count)d successful task was enqueued once more, as a new one.",
            "%(count)d successful tasks were enqueued once more, as new ones.",
            report.copied,
        )
        self._report(request, report, (again, report.done), (copied, report.copied))
        return None

    @admin.action(permissions=["requeue"], description=gettext_lazy("Run now"))
    def run_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Make scheduled ones ready before their time."""
        if self._is_across(request) and not self._is_confirmed(request):
            question = _("Run all of these tasks now that are scheduled for later?")
            return self._ask(request, queryset, _("Run now"), question)
        report = self._begin(request, queryset, _("Run now, before its time.")).run_now()
        done = ngettext(
            "%(count)d task is ready to run now.",
            "%(count)d tasks are ready to run now.",
            report.done,
        )
        self._report(request, report, (done, report.done))
        return None

    @admin.action(permissions=["cancel"], description=gettext_lazy("Cancel"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Cancel the unfinished ones; tell running ones to stop."""
        if self._is_across(request) and not self._is_confirmed(request):
            question = _(
                "Cancel all of these tasks that have not finished? Those that wait never run;"
                " running ones are told to stop."
            )
            return self._ask(request, queryset, _("Cancel tasks"), question)
        report = self._begin(request, queryset, _("Cancelled.")).cancel()
        done = ngettext(
            "%(count)d task was cancelled.", "%(count)d tasks were cancelled.", report.done
        )
        told = ngettext(
            "%(count)d running task was told to stop.",
            "%(count)d running tasks were told to stop.",
            report.told,
        )
        self._report(request, report, (done, report.done), (told, report.told))
        return None

    @admin.action(permissions=["move"], description=gettext_lazy("Change queue or priority …"))
    def move(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask where to, then move those that have not started."""
        is_answer = self._is_confirmed(request)
        form = MoveForm(request.POST if is_answer else None)
        if not (is_answer and form.is_valid()):
            question = _("Which queue or priority shall these tasks have? Only waiting ones move.")
            return self._ask(request, queryset, _("Change queue or priority"), question, form)
        wanted = form.cleaned_data
        texts = [
            _("queue “%s”") % wanted["queue_name"] if wanted["queue_name"] else "",
            _("priority %d") % wanted["priority"] if wanted["priority"] is not None else "",
        ]
        where = ", ".join(filter(None, texts))
        report = self._begin(request, queryset, _("Moved: %s.") % where).move(**wanted)
        done = ngettext("%(count)d task moved.", "%(count)d tasks moved.", report.done)
        self._report(request, report, (done, report.done))
        return None

    @admin.action(permissions=["prune"], description=gettext_lazy("Delete finished tasks"))
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask, then delete the finished ones."""
        if not self._is_confirmed(request):
            question = _(
                "Delete those of these tasks that have finished, with their attempts and results?"
                " There is no way back."
            )
            return self._ask(request, queryset, _("Delete finished tasks"), question)
        report = self._begin(request, queryset, _("Deleted."), DELETION).delete()
        done = ngettext("%(count)d task was deleted.", "%(count)d tasks were deleted.", report.done)
        self._report(request, report, (done, report.done))
        return None

    # --- how --------------------------------------------------------------------------------------

    def _is_across(self, request: HttpRequest) -> bool:
        return request.POST.get("select_across") == "1"

    def _is_confirmed(self, request: HttpRequest) -> bool:
        return "confirmed" in request.POST

    def _ask(
        self,
        request: HttpRequest,
        tasks: QuerySet[Any],
        title: str,
        question: str,
        form: forms.Form | None = None,
    ) -> HttpResponse:
        """Return the page that asks before something is done."""
        choice = [(name, value) for name in CHOICE for value in request.POST.getlist(name)]
        light = tasks.only("pk", "task_path", "status")
        return self.own_page(
            request,
            "taskrecord/confirm",
            title=title,
            crumb=title,
            question=question,
            count=capped_count(tasks),
            rows=[(row, self.state(row)) for row in light[:NAMED]],
            is_across=self._is_across(request),
            choice=choice,
            form=form,
            back=request.get_full_path(),
            media=self.media + form.media if form else self.media,
        )

    def _begin(
        self, request: HttpRequest, tasks: QuerySet[Any], deed: str, flag: int = CHANGE
    ) -> Intervention:
        """Return what acts on `tasks`, and writes to the history what it did."""
        audit_log = AuditLog(request, deed, flag)
        return Intervention(tasks=tasks, listener=audit_log.write, seconds=MOST_SECONDS)

    def _report(self, request: HttpRequest, report: Report, *parts: tuple[str, int]) -> None:
        """Say what was done (each part's text, if its count is not 0) and what was not."""
        texts = [text % {"count": count} for text, count in parts if count]
        if report.skipped_text:
            texts.append(report.skipped_text)
        if report.is_cut:
            texts.append(_("Time was up before all had been looked at: do it again for the rest."))
        level = messages.WARNING if report.skipped_text or report.is_cut else messages.SUCCESS
        self.message_user(request, " ".join(texts) or _("There was no such task."), level)


class AuditLog:
    """
    The entries of one action in the admin's history.

    The first tasks have an entry each; for all beyond them one says how many they were and by
    which filters they were chosen: a million entries would take longer than the action.
    """

    def __init__(self, request: HttpRequest, deed: str, flag: int) -> None:
        self.user_id: int | None = request.user.pk
        self.deed = deed
        self.flag = flag
        self.filters = _filters_of(request)
        self.count = 0
        self.summary: LogEntry | None = None

    def write(self, tasks: Sequence[TaskRecord]) -> None:
        """Log these tasks."""
        if self.user_id is None:
            return
        own = tasks[: max(0, MOST_LOGGED - self.count)]
        if own:
            LogEntry.objects.log_actions(self.user_id, own, self.flag, self.deed)
        self.count += len(tasks)
        if self.count > MOST_LOGGED:
            self._summarise(self.user_id)

    def _summarise(self, user_id: int) -> None:
        if self.summary is None:
            self.summary = LogEntry(
                user_id=user_id,
                content_type=ContentType.objects.get_for_model(TaskRecord),
                action_flag=self.flag,
            )
        self.summary.object_repr = _("%d tasks") % self.count
        filters = _(" Filters: %s.") % self.filters if self.filters else ""
        self.summary.change_message = f"{self.deed}{filters}"
        self.summary.save()


def _filters_of(request: HttpRequest) -> str:
    """Return the filters of the list; of metadata no value: not everybody may see it."""
    shown = {name: value for name, value in request.GET.items() if name not in ("p", "o")}
    if MetadataFilter.parameter_name in shown:
        shown[MetadataFilter.parameter_name] = "…"
    return urlencode(shown)[:500]
