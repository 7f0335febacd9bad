"""The list of workflows: how far it looks, and what it asks for all rows of a page at once."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ...monitoring.workflows.summaries import MOST_OPEN, open_ids, summaries
from ...statuses import Status
from ...store.databases import task_database
from ..tasks.filters import ColumnFilter
from ..tasks.window import Window
from ..windowed_list import WindowedChangeList


class WorkflowStatusFilter(ColumnFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer what workflows can be: they run until all of their steps have ended."""
        statuses = (Status.RUNNING, Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED)
        return [(status.value, status.label) for status in statuses]


class WorkflowChangeList(WindowedChangeList):
    """Lists workflows."""

    payload = ("metadata", "value")

    def get_results(self, request: HttpRequest) -> None:
        """Give each row of the page its summary."""
        super().get_results(request)
        rows = list(self.result_list)
        found = summaries(task_database(), rows)
        model_admin: Any = self.model_admin
        links_to_tasks = model_admin.has_task_permission(request)
        for row in rows:
            row.summary = found[row.pk]
            row.links_to_tasks = links_to_tasks
        self.result_list: Any = rows

    def _of_status(self, request: HttpRequest, by_ids: QuerySet[Any]) -> Window | None:
        if self.status_filter().value() != Status.RUNNING:
            return None
        found = open_ids(by_ids)
        rows = self.queryset.filter(pk__in=found[:MOST_OPEN])
        return Window(rows, MOST_OPEN, is_cut=len(found) > MOST_OPEN)
