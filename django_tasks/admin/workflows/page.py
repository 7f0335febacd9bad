"""A workflow's page: how it stands and why, its graph, its steps, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ... import ids
from ...models import TaskRecord, WorkflowRecord
from ...monitoring.reading import database_now
from ...monitoring.workflows.graph import MOST_STEPS, Graph, graph_of
from ...monitoring.workflows.reasons import reasons
from ...statuses import FINAL_STATUSES, Status
from ...store.workflows.handle import WorkflowResult
from .. import formats
from ..live_page import Deeds, LivePage
from .fields import WorkflowFields, progress_bar
from .payload import known_tasks, payload_of
from .sections import Chosen, graph_section, steps_section

#: Seconds after which the page of an unfinished workflow asks again, for small ones and for the
#: largest: one of many steps takes longer to read.
PAUSE, LONGEST_PAUSE = 2, 30
#: Steps for which the page waits a second longer.
STEPS_PER_SECOND = 2_000


class WorkflowPage(LivePage, WorkflowFields):
    """Answers how far a workflow is and why, and renews itself until it has finished."""

    live_template = "admin/django_tasks/workflowrecord/live.html"

    class Media:
        css = {"all": ["django_tasks/workflow-page.css"]}

    # --- who may ----------------------------------------------------------------------------------

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may run steps again."""
        return request.user.has_perm("django_tasks.requeue_taskrecord")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may cancel steps."""
        return request.user.has_perm("django_tasks.cancel_taskrecord")

    # --- buttons ----------------------------------------------------------------------------------

    def _deeds(self) -> Deeds:
        return {
            "_cancel": (self.has_cancel_permission, self._cancel),
            "_retry": (self.has_retry_permission, self._retry),
        }

    def _press(self, request: HttpRequest, pk: str, deed: Callable[..., Any]) -> HttpResponse:
        record = self.get_queryset(request).filter(pk=ids.parse(pk)).first()
        if record is None:
            raise Http404
        deed(request, record)
        return HttpResponseRedirect(request.get_full_path())

    def _cancel(self, request: HttpRequest, record: WorkflowRecord) -> None:
        number = WorkflowResult.load(record._state.db or "default", record.pk).cancel()
        text = ngettext(
            "%d step was cancelled, or told to stop.",
            "%d steps were cancelled, or told to stop.",
            number,
        )
        self._report(request, record, number, text, _("Cancelled."))

    def _retry(self, request: HttpRequest, record: WorkflowRecord) -> None:
        number = WorkflowResult.load(record._state.db or "default", record.pk).retry()
        text = ngettext(
            "%d step runs again; what waits for it runs after it.",
            "%d steps run again; what waits for them runs after them.",
            number,
        )
        self._report(request, record, number, text, _("Retried."))

    def _report(
        self, request: HttpRequest, record: WorkflowRecord, number: int, text: str, deed: str
    ) -> None:
        """Say how many steps were changed, and write it to the history."""
        if not number:
            self.message_user(request, _("There was no such step."), messages.WARNING)
            return
        if request.user.pk is not None:
            self.log_change(request, record, deed)
        self.message_user(request, text % number, messages.SUCCESS)

    def _buttons(
        self, request: HttpRequest, record: WorkflowRecord, statuses: Mapping[str, int]
    ) -> list[tuple[str, str]]:
        """Return names and titles of what the user may do to the workflow as it is."""
        is_open = record.status not in FINAL_STATUSES
        ended_badly = (Status.FAILED, Status.CANCELLED)
        may_retry = record.status in ended_badly or any(
            statuses.get(status) for status in ended_badly
        )
        buttons = {
            "_retry": (may_retry, _("Retry")),
            "_cancel": (is_open and record.cancelled_at is None, _("Cancel workflow")),
        }
        return list(self._offered(request, buttons))

    # --- what is shown ----------------------------------------------------------------------------

    def _title(self, record: WorkflowRecord) -> str:
        return record.name or str(record.pk)

    def _page(self, request: HttpRequest, record: WorkflowRecord) -> dict[str, Any]:
        """Return all that the templates show, in a bounded number of queries."""
        database = record._state.db or "default"
        chosen = Chosen.of(request.GET)
        now = database_now(database)
        graph = None
        if record.size <= MOST_STEPS:
            graph = graph_of(database, record, chosen.level)
        may_see = self.has_payload_permission(request)
        known = known_tasks(graph.paths if graph else None)
        payload = payload_of(database, record, known) if may_see else []
        links = self.task_url if self.has_task_permission(request) else None
        return {
            "record": record,
            "live_url": f"{self.address('live', record.pk)}{chosen.query()}",
            "pause": _pause(record),
            "state": self.state(record),
            "progress": progress_bar(_done(record, graph), record.size),
            "buttons": self._buttons(request, record, graph.statuses if graph else {}),
            "tools": [(self.address("history", record.pk), _("History"))],
            "reasons": reasons(database, record, graph, now),
            "may_see": may_see,
            "payload": payload,
            "hides_payload": bool(payload) and None in known,
            "facts": _facts(record, now),
            "graph": graph and graph_section(graph, chosen, links),
            "most_steps": formats.count(MOST_STEPS),
            "steps": steps_section(database, record, graph, chosen, links),
        }

    def task_url(self, task_id: Any) -> str:
        """Return the address of a task's page; empty if this site has none."""
        return self.page_of(TaskRecord, task_id)


def _done(record: WorkflowRecord, graph: Graph | None) -> int | None:
    """Return how many steps have ended; None if that was not counted."""
    if record.status in FINAL_STATUSES:
        return record.size
    return sum(graph.statuses.get(status, 0) for status in FINAL_STATUSES) if graph else None


def _facts(record: WorkflowRecord, now: datetime) -> list[tuple[str, str]]:
    """Return titles and values of what else is known; what says nothing is left out."""
    took = ""
    if record.finished_at is not None:
        took = formats.duration((record.finished_at - record.enqueued_at).total_seconds())
    facts = [
        (_("enqueued"), _moment(record.enqueued_at, now)),
        (_("cancelled"), _moment(record.cancelled_at, now)),
        (_("finished"), _moment(record.finished_at, now)),
        (_("duration"), took),
        (_("backend"), record.backend),
        (_("id"), format_html('<span class="task-id">{}</span>', record.pk)),
    ]
    return [(title, value) for title, value in facts if value]


def _moment(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    return format_html(
        '{} <span class="quiet">{}</span>', formats.timestamp(moment), formats.ago(moment, now)
    )


def _pause(record: WorkflowRecord) -> int:
    """Return the seconds after which the page asks again; 0: no more."""
    if record.status in FINAL_STATUSES:
        return 0
    return min(PAUSE + record.size // STEPS_PER_SECOND, LONGEST_PAUSE)
