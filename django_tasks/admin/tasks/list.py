"""The list of tasks: what it loads, how far it looks, how it searches."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.http import HttpRequest

from ... import ids
from .filters import EnqueuedFilter, IdFilter, StatusFilter, UpToFilter
from .window import FAILED, SERVED, Window, newest, of_status

#: Columns of any size, which lists do not load.
PAYLOAD = ("args", "kwargs", "metadata", "return_value", "meta", "log", "progress")
#: Parameters that choose by the primary key: no matter how many rows, they cost nothing.
_BY_ID = {EnqueuedFilter.parameter_name, UpToFilter.parameter_name}


class TaskChangeList(ChangeList):
    """Lists tasks without their payload, and looks at a bounded number of them."""

    window: Window

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        return super().get_queryset(*args, **kwargs).defer(*PAYLOAD)

    def get_results(self, request: HttpRequest) -> None:
        """Show what is in the window; actions on all that match go beyond it."""
        self.window = self._look(request)
        self.queryset = self.window.rows
        super().get_results(request)

    def _look(self, request: HttpRequest) -> Window:
        # By the address: parameters that no filter knows are looked up as columns.
        narrowing = set(self.get_filters_params()) - _BY_ID
        if ids.with_prefix(self.query.strip()) or not (narrowing or self.query):
            return Window(self.queryset)
        by_ids = self.root_queryset
        for spec in self.filter_specs:
            if isinstance(spec, IdFilter):
                by_ids = spec.queryset(request, by_ids)
        status = next(s for s in self.filter_specs if isinstance(s, StatusFilter))
        if (chosen := status.value()) in (*SERVED, *FAILED):
            others = self.get_queryset(request, exclude_parameters=status.expected_parameters())
            return of_status(others, by_ids, str(chosen))
        return newest(self.queryset, by_ids)

    @property
    def older_url(self) -> str:
        """The address of the same list, of the tasks before those."""
        return self.get_query_string({UpToFilter.parameter_name: self.window.next_id}, ["p"])


def search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Return those whose id begins with `term`, or whose task has it in its path."""
    if bounds := ids.with_prefix(term):
        return rows.filter(pk__range=bounds)
    if not term:
        return rows
    # Not icontains: MySQL compares paths, which are utf8mb4_bin, as they are written.
    lowered: QuerySet[Any] = rows.alias(path=Lower("task_path"))
    return lowered.filter(path__contains=Lower(Value(term)))
