"""The list of workflows: how far it looks, and what it asks for all rows of a page at once."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ... import ids
from ...monitoring.workflows.summaries import MOST_OPEN, open_ids, summaries
from ...statuses import Status
from ...store.databases import task_database
from ..tasks.filters import ColumnFilter, EnqueuedFilter, IdFilter, UpToFilter
from ..tasks.window import Window, newest

#: Columns of any size, which lists do not load.
PAYLOAD = ("metadata", "value")
#: Parameters that choose by the primary key.
_BY_ID = {EnqueuedFilter.parameter_name, UpToFilter.parameter_name}


class WorkflowStatusFilter(ColumnFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer what workflows can be: they run until all of their steps have ended."""
        statuses = (Status.RUNNING, Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED)
        return [(status.value, status.label) for status in statuses]


class WorkflowChangeList(ChangeList):
    """Lists workflows without their payload, and looks at a bounded number of them."""

    window: Window

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        return super().get_queryset(*args, **kwargs).defer(*PAYLOAD)

    def get_results(self, request: HttpRequest) -> None:
        """Give each row of the page its summary."""
        self.window = self._look(request)
        self.queryset = self.window.rows
        super().get_results(request)
        rows = list(self.result_list)
        found = summaries(task_database(), rows)
        model_admin: Any = self.model_admin
        links_to_tasks = model_admin.has_task_permission(request)
        for row in rows:
            row.summary = found[row.pk]
            row.links_to_tasks = links_to_tasks
        self.result_list: Any = rows

    def _look(self, request: HttpRequest) -> Window:
        narrowing = set(self.get_filters_params()) - _BY_ID
        if ids.with_prefix(self.query.strip()) or not (narrowing or self.query):
            return Window(self.queryset)
        by_ids = self.root_queryset
        for spec in self.filter_specs:
            if isinstance(spec, IdFilter):
                by_ids = spec.queryset(request, by_ids)
        status = next(s for s in self.filter_specs if isinstance(s, WorkflowStatusFilter))
        if status.value() != Status.RUNNING:
            return newest(self.queryset, by_ids)
        found = open_ids(by_ids)
        rows = self.queryset.filter(pk__in=found[:MOST_OPEN])
        return Window(rows, MOST_OPEN, is_cut=len(found) > MOST_OPEN)

    @property
    def older_url(self) -> str:
        """The address of the same list, of the workflows before those."""
        return self.get_query_string({UpToFilter.parameter_name: self.window.next_id}, ["p"])


def search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Return those whose id begins with `term`, or that have it in their name."""
    if bounds := ids.with_prefix(term):
        return rows.filter(pk__range=bounds)
    if not term:
        return rows
    lowered: QuerySet[Any] = rows.alias(lower_name=Lower("name"))
    return lowered.filter(lower_name__contains=Lower(Value(term)))
