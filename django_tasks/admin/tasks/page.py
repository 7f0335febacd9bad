"""A task's page: how it stands and why, its attempts, its data, its log, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ... import ids
from ...models import Schedule, ScheduleRun, TaskRecord, WorkerRecord
from ...models.schedules import RunOutcome
from ...monitoring.diagnosis import diagnose
from ...monitoring.reading import database_now
from ...statuses import FINAL_STATUSES, PENDING_STATUSES, Status
from ...store.tasks.interventions import CANCELLABLE, REQUEUABLE
from .. import formats
from ..live_page import Deeds, LivePage
from . import timeline
from .actions import TaskActions
from .fields import Workers
from .timeline import Step
from .workflow import workflow_facts

#: Seconds after which the page of an unfinished task asks again: at the least, and at the most
#: while the task is not due.
PAUSE, LONGEST_PAUSE = 2, 30


class TaskPage(LivePage, TaskActions):
    """Answers what a task did and why it does not run, and renews itself until it has finished."""

    live_template = "admin/django_tasks/taskrecord/live.html"

    # --- the same actions as in the list, as buttons ----------------------------------------------

    def _deeds(self) -> Deeds:
        return {
            "_requeue": (self.has_requeue_permission, self.run_again),
            "_run_now": (self.has_requeue_permission, self.run_now),
            "_cancel": (self.has_cancel_permission, self.cancel),
        }

    def _press(self, request: HttpRequest, pk: str, deed: Callable[..., Any]) -> HttpResponse:
        response = deed(request, self.get_queryset(request).filter(pk=ids.parse(pk)))
        return response or HttpResponseRedirect(request.get_full_path())

    def _buttons(self, request: HttpRequest, record: TaskRecord) -> list[tuple[str, str]]:
        """Return the names and titles of what the user may do to the task as it is."""
        status = record.status
        is_stopping = status == Status.RUNNING and record.cancel_requested
        buttons = {
            "_run_now": (status == Status.SCHEDULED, _("Run now")),
            "_requeue": (status in (*REQUEUABLE, Status.SUCCESSFUL), _("Run again")),
            "_cancel": (status in CANCELLABLE and not is_stopping, _("Cancel task")),
        }
        return list(self._offered(request, buttons))

    def _tools(self, request: HttpRequest, record: TaskRecord) -> list[tuple[str, str]]:
        """Return the addresses and titles of the pages beside this one."""
        tools = [(self.address("history", record.pk), _("History"))]
        if self.has_delete_permission(request, record):
            tools.append((self.address("delete", record.pk), _("Delete …")))
        return tools

    # --- what is shown ----------------------------------------------------------------------------

    def _title(self, record: TaskRecord) -> str:
        return record.task_path.rpartition(".")[2] or record.task_path

    def _page(self, request: HttpRequest, record: TaskRecord) -> dict[str, Any]:
        """Return all that the templates show, in a bounded number of queries."""
        now = database_now(record._state.db or "default")
        may_see = self.has_payload_permission(request)
        rows = timeline.newest_attempts(record)
        workers = self._workers(record, rows)
        return {
            "record": record,
            "live_url": self.address("live", record.pk),
            "pause": _pause(record, now),
            "state": self.state(record),
            "buttons": self._buttons(request, record),
            "tools": self._tools(request, record),
            "progress": self.progress_bar(record, with_message=may_see),
            "is_pending": record.status in PENDING_STATUSES,
            "reasons": diagnose(record, now=now),
            "lines": self._lines(record, rows, workers, now),
            "is_cut": len(rows) > timeline.SHOWN,
            "may_see": may_see,
            "payload": self.payload(record) if may_see else [],
            "hides_arguments": may_see and self.hides_arguments(record),
            "log": formats.text_block(record.log) if may_see and record.log else "",
            "facts": self._facts(request, record, workers, now),
        }

    def _workers(self, record: TaskRecord, rows: Sequence[Any]) -> Workers:
        wanted = {record.worker_id, *(row.worker_id for row in rows)} - {None}
        if not wanted:
            return {}
        return WorkerRecord.objects.using(record._state.db).in_bulk(wanted)

    def _lines(
        self, record: TaskRecord, rows: Sequence[Any], workers: Workers, now: datetime
    ) -> list[dict[str, Any]]:
        """Return what the timeline shows of each attempt."""
        steps = timeline.steps_of(record, rows, now)
        bars = timeline.bars_of(steps)
        later = [*steps, None][1:]
        tracebacks = [step for step in steps if step.attempt and step.attempt.traceback]
        return [
            {
                "step": step,
                "kind": timeline.kind(step),
                "badge": timeline.badge(step),
                "bar": bar,
                "place": self._place_of(step, workers),
                "started": formats.timestamp(step.started_at),
                "finished": formats.timestamp(step.finished_at),
                "waited": formats.duration(step.waited),
                "took": self._took(step),
                "happened": timeline.what_happened(step),
                "followed": timeline.what_followed(step, following, record, now),
                "traceback": _traceback(step),
                "is_open": step is tracebacks[-1] if tracebacks else False,
            }
            for step, bar, following in zip(steps, bars, later, strict=True)
        ]

    def _place_of(self, step: Step, workers: Workers) -> str:
        host = step.attempt.host if step.attempt else ""
        return self.place(step.worker_id, step.process, host, workers) or formats.NOTHING

    def _took(self, step: Step) -> str:
        text = formats.duration(step.took)
        is_running = step.outcome == Status.RUNNING
        return _("%(duration)s so far") % {"duration": text} if is_running else text

    def _facts(
        self, request: HttpRequest, record: TaskRecord, workers: Workers, now: datetime
    ) -> list[tuple[str, str]]:
        """Return titles and values of what else is known; what says nothing is left out."""
        place = self.place(record.worker_id, record.process, "", workers)
        due = record.run_after if record.status in PENDING_STATUSES else None
        facts = [
            (_("queue"), self._queue(record)),
            (_("priority"), str(record.priority)),
            (_("attempts"), self.tries(record)),
            (_("enqueued"), formats.timestamp(record.enqueued_at)),
            (_("runs after"), _when(due, now)),
            (_("expires"), _when(record.expires_at, now)),
            (_("last started"), _when(record.last_attempted_at, now)),
            (_("finished"), _when(record.finished_at, now)),
            (_("run time"), formats.duration(record.run_time) if record.run_time else ""),
            (_("schedule"), self._schedule(request, record)),
            *workflow_facts(self, request, record),
            (_("worker"), place),
            (_("times lost"), str(record.lost or "")),
            (_("backend"), record.backend),
            (_("id"), format_html('<span class="task-id">{}</span>', record.pk)),
        ]
        return [(title, value) for title, value in facts if value]

    def _queue(self, record: TaskRecord) -> str:
        query = urlencode({"queue_name": record.queue_name})
        return format_html(
            '<a href="{}?{}">{}</a>', self.address("changelist"), query, record.queue_name
        )

    def _schedule(self, request: HttpRequest, record: TaskRecord) -> str:
        """Return the schedule that made the task, and its slot; empty if none did."""
        # The run was written with the task and has its very time, which is indexed.
        runs = ScheduleRun.objects.using(record._state.db).select_related("schedule")
        run = runs.filter(created_at=record.enqueued_at, task_id=record.pk).first()
        if run is None:
            return ""
        may_look = request.user.has_perm("django_tasks.view_schedule") or request.user.has_perm(
            "django_tasks.change_schedule"
        )
        schedule: Schedule = run.schedule
        name = self.link(schedule, schedule.name) if may_look else schedule.name
        slot = _("by hand") if run.outcome == RunOutcome.MANUAL else formats.timestamp(run.slot_at)
        return format_html('{} <span class="quiet">{}</span>', name, slot)


def _when(moment: datetime | None, now: datetime) -> str:
    """Return the time with how far away it is; empty when there is none."""
    if moment is None:
        return ""
    return format_html(
        '{} <span class="quiet">{}</span>', formats.timestamp(moment), formats.ago(moment, now)
    )


def _traceback(step: Step) -> str:
    has_one = step.attempt is not None and step.attempt.traceback
    return formats.text_block(step.attempt.traceback) if has_one else ""  # type: ignore[union-attr]


def _pause(record: TaskRecord, now: datetime) -> int:
    """Return the seconds after which the page asks again; 0: no more."""
    if record.status in FINAL_STATUSES:
        return 0
    if record.status == Status.SCHEDULED and record.run_after is not None:
        left = (record.run_after - now).total_seconds()
        return int(min(max(left, PAUSE), LONGEST_PAUSE))
    return PAUSE
