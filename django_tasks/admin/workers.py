"""The screens of workers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..inspection import with_running_count, worker_state
from ..models import TaskRecord, WorkerRecord
from ..statuses import Status
from ..store.dialects import DatabaseNow
from . import formats
from .base import ReadOnlyAdmin

STATES = {
    "alive": pgettext_lazy("worker", "Alive"),
    "stopping": pgettext_lazy("worker", "Stopping"),
    "late": pgettext_lazy("worker", "Late"),
}
KINDS = {"alive": "successful", "stopping": "running", "late": "failed"}


@admin.register(WorkerRecord)
class WorkerRecordAdmin(ReadOnlyAdmin):
    """
    Shows workers. Whether one is alive is said by the database's clock.

    A worker that is late has missed its heartbeats; its tasks are taken over by others.
    """

    list_display = (
        "name",
        "state",
        "heartbeat",
        "running",
        "concurrency",
        "pool",
        "queues",
        "since",
    )
    list_display_links = ("name",)
    filterable = ("id", "host", "pool", "backend")
    actions = None
    fields = (
        ("name", "state", "since"),
        ("heartbeat", "lease_ends"),
        ("running", "concurrency", "pool"),
        ("queues", "backend"),
        "id",
    )

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

    @admin.display(description=_("running tasks"))
    def running(self, worker: Any) -> str:
        if not worker.running_count or not self.admin_site.is_registered(TaskRecord):
            return str(worker.running_count)
        url = reverse("admin:django_tasks_taskrecord_changelist", current_app=self.admin_site.name)
        query = urlencode({"status": Status.RUNNING.value, "worker_id__exact": worker.pk})
        return format_html('<a href="{}?{}">{}</a>', url, query, worker.running_count)
