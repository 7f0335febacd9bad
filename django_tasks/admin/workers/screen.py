"""The screens of workers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from ...models import TaskRecord, WorkerRecord
from ...monitoring.reading import wanted_slots, with_running_count, worker_state
from ...statuses import Status
from ...store.dialects import DatabaseNow, status_is
from .. import formats
from .actions import WorkerActions

#: Running tasks that a worker's page names.
SHOWN = 50

STATES = {
    "alive": pgettext_lazy("worker", "Alive"),
    "stopping": pgettext_lazy("worker", "Stopping"),
    "late": pgettext_lazy("worker", "Late"),
}
KINDS = {"alive": "successful", "stopping": "running", "late": "failed"}


@admin.register(WorkerRecord)
class WorkerRecordAdmin(WorkerActions):
    """
    Shows workers; people may stop and scale them.

    Whether one is alive is said by the database's clock. A worker that is late has missed its
    heartbeats; its tasks are taken over by others.
    """

    list_display = (
        "name",
        "state",
        "heartbeat",
        "running",
        "slots",
        "pool",
        "queues",
        "since",
        "runs",
    )
    list_display_links = ("name",)
    filterable = ("id", "host", "pool", "backend")
    change_form_template = "admin/django_tasks/workerrecord/change_form.html"
    fields = (
        ("name", "state", "since"),
        ("heartbeat", "lease_ends"),
        ("running", "slots", "pool"),
        ("queues", "left_out", "backend"),
        "runs",
        "tasks",
        "asked",
        "id",
    )

    class Media:
        css = {"all": ["django_tasks/control.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = with_running_count(super().get_queryset(request))
        with_clock: QuerySet[Any] = rows.annotate(now=DatabaseNow())
        return with_clock

    @admin.display(description=_("worker"))
    def name(self, worker: Any) -> str:
        return str(worker)

    @admin.display(description=_("state"))
    def state(self, worker: Any) -> str:
        state = worker_state(worker, worker.now)
        return formats.badge(str(STATES[state]), KINDS[state])

    @admin.display(description=_("last heartbeat"))
    def heartbeat(self, worker: Any) -> str:
        return formats.ago(worker.heartbeat_at, worker.now)

    @admin.display(description=_("lease ends"))
    def lease_ends(self, worker: Any) -> str:
        return formats.ago(worker.expires_at, worker.now)

    @admin.display(description=_("started"))
    def since(self, worker: Any) -> str:
        return formats.timestamp(worker.started_at)

    @admin.display(description=_("slots"))
    def slots(self, worker: Any) -> str:
        wanted = wanted_slots(worker)
        if wanted is None:
            return str(worker.concurrency)
        words = {"slots": worker.concurrency, "wanted": wanted}
        return gettext("%(slots)d, %(wanted)d wanted") % words

    @admin.display(description=_("left out"))
    def left_out(self, worker: Any) -> str:
        return (worker.paused_queues or "").replace(",", ", ") or formats.NOTHING

    @admin.display(description=_("versions"))
    def runs(self, worker: Any) -> str:
        """What an older version of this app registered has none."""
        return worker.versions or formats.NOTHING

    @admin.display(description=_("asked"))
    def asked(self, worker: Any) -> str:
        """What people asked of it, and who."""
        texts = []
        if worker.stop_requested_at is not None:
            since = formats.timestamp(worker.stop_requested_at)
            texts.append(_who(gettext("to stop"), worker.stop_requested_by, since))
        if worker.wanted_concurrency is not None:
            slots = gettext("to have %d slots") % worker.wanted_concurrency
            texts.append(_who(slots, worker.wanted_by))
        return formats.join(*texts) or formats.NOTHING

    @admin.display(description=_("runs now"))
    def tasks(self, worker: Any) -> str:
        """The tasks that it runs, those that have run longest first."""
        rows = TaskRecord.objects.using(worker._state.db).filter(
            status_is(Status.RUNNING), worker_id=worker.pk
        )
        light = rows.order_by("last_attempted_at").only("task_path", "last_attempted_at")
        lines = [(self._task(task), self._running_for(worker, task)) for task in light[:SHOWN]]
        if not lines:
            return formats.NOTHING
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} {}</li>", lines))

    def _task(self, task: TaskRecord) -> str:
        if not self.admin_site.is_registered(TaskRecord):
            return task.task_path
        name = "admin:django_tasks_taskrecord_change"
        url = reverse(name, args=[task.pk], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', url, task.task_path)

    def _running_for(self, worker: Any, task: TaskRecord) -> str:
        since = task.last_attempted_at
        return formats.duration((worker.now - since).total_seconds()) if since else ""

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context["may_manage"] = self.has_manage_permission(request)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[misc]

    @admin.display(description=_("running tasks"))
    def running(self, worker: Any) -> str:
        if not worker.running_count or not self.admin_site.is_registered(TaskRecord):
            return str(worker.running_count)
        url = reverse("admin:django_tasks_taskrecord_changelist", current_app=self.admin_site.name)
        query = urlencode({"status": Status.RUNNING.value, "worker_id__exact": worker.pk})
        return format_html('<a href="{}?{}">{}</a>', url, query, worker.running_count)


def _who(asked: str, by: str, since: str = "") -> str:
    parts = [asked, since, gettext("by %s") % by if by else ""]
    return format_html_join(" ", "{}", ((part,) for part in parts if part))
