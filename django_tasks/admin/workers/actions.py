"""Actions on workers, from the list and from a worker's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...models import WorkerRecord
from ...store.databases import task_database
from ...store.workers import requests
from ...store.workers.requests import RequestRefused
from ..base import ReadOnlyAdmin

#: Workers that one action takes.
MOST = 100
#: Fields of a request that say which action was chosen, for which workers.
CHOICE = ("action", ACTION_CHECKBOX_NAME, "select_across")


class ScaleForm(forms.Form):
    """How many slots."""

    concurrency = forms.IntegerField(
        label=gettext_lazy("Slots"),
        min_value=1,
        max_value=100_000,
        help_text=gettext_lazy(
            "Tasks that each chosen worker runs at the same time, in all of its processes. Tasks"
            " that run go on to their end. After a restart it has its own size again."
        ),
    )


class WorkerActions(ReadOnlyAdmin):
    """Each action takes the chosen workers, and says who was asked and who was not."""

    actions = ("stop", "scale")

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may stop and scale workers."""
        return request.user.has_perm("django_tasks.manage_workers")

    @admin.action(permissions=["manage"], description=gettext_lazy("Stop gently …"))
    def stop(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask, then have them stop as SIGTERM does."""
        if "confirmed" not in request.POST:
            question = _(
                "Stop these workers? They claim no more tasks, and running ones have the grace"
                " period to finish. What started them may start them again."
            )
            return self._ask(request, queryset, _("Stop workers"), question)
        report = self._request_each(
            request,
            queryset,
            _("Asked to stop."),
            lambda worker: requests.ask_to_stop(task_database(), worker.pk, str(request.user)),
        )
        asked = ngettext(
            "%(count)d worker was asked to stop.", "%(count)d workers were asked to stop.",
            report.asked,
        )  # fmt: skip
        same = ngettext(
            "%(count)d worker is stopping already.", "%(count)d workers are stopping already.",
            report.same,
        )  # fmt: skip
        report.show(asked, same)
        return None

    @admin.action(permissions=["manage"], description=gettext_lazy("Change slots …"))
    def scale(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask how many slots each shall have, and have them take or give up some."""
        is_answer = "confirmed" in request.POST
        first = queryset.first()
        form = ScaleForm(
            request.POST if is_answer else None,
            initial={"concurrency": first.concurrency if first else 1},
        )
        if not (is_answer and form.is_valid()):
            question = _("How many slots shall each of these workers have?")
            return self._ask(request, queryset, _("Change slots"), question, form)
        wanted = form.cleaned_data["concurrency"]
        report = self._request_each(
            request,
            queryset,
            _("Asked to have %d slots.") % wanted,
            lambda worker: requests.ask_for_concurrency(
                task_database(), worker.pk, wanted, str(request.user)
            ),
        )
        asked = ngettext(
            "%(count)d worker was asked to change its slots.",
            "%(count)d workers were asked to change their slots.",
            report.asked,
        )
        same = ngettext(
            "%(count)d worker has them already, or was asked before.",
            "%(count)d workers have them already, or were asked before.",
            report.same,
        )
        report.show(asked, same)
        return None

    # --- how --------------------------------------------------------------------------------------

    def _request_each(
        self,
        request: HttpRequest,
        workers: QuerySet[Any],
        deed: str,
        ask: Callable[[WorkerRecord], bool],
    ) -> RequestReport:
        """Ask each worker, and write to the history which were asked."""
        report = RequestReport(self, request)
        for worker in workers[:MOST]:
            try:
                is_new = ask(worker)
            except RequestRefused as error:
                report.refused.append(str(error))
                continue
            if not is_new:
                report.same += 1
                continue
            report.asked += 1
            if request.user.pk is not None:
                LogEntry.objects.log_actions(request.user.pk, [worker], CHANGE, deed)
        return report

    def _ask(
        self,
        request: HttpRequest,
        workers: QuerySet[Any],
        title: str,
        question: str,
        form: forms.Form | None = None,
    ) -> HttpResponse:
        """Return the page that asks before something is done."""
        return self.own_page(
            request,
            "workerrecord/confirm",
            title=title,
            crumb=title,
            question=question,
            rows=workers[:MOST],
            choice=[(name, value) for name in CHOICE for value in request.POST.getlist(name)],
            form=form,
            back=request.get_full_path(),
            media=self.media + form.media if form else self.media,
        )


class RequestReport:
    """How many workers were asked, and what the others said."""

    def __init__(self, screen: WorkerActions, request: HttpRequest) -> None:
        self.screen = screen
        self.request = request
        self.asked = 0
        #: Workers for which there was nothing to ask.
        self.same = 0
        self.refused: list[str] = []

    def show(self, asked: str, same: str) -> None:
        """Say it to the user; the texts are used when their count is not 0."""
        texts = [asked % {"count": self.asked}] if self.asked else []
        texts += [same % {"count": self.same}] if self.same else []
        is_all = self.asked and not (self.same or self.refused)
        level = messages.SUCCESS if is_all else messages.WARNING
        text = " ".join([*texts, *self.refused]) or _("There was no such worker.")
        self.screen.message_user(self.request, text, level)
