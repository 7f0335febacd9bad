"""Lists that look at a bounded number of rows, whatever filters are chosen: see `tasks.window`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.http import HttpRequest

from .. import ids
from .tasks.filters import EnqueuedFilter, IdFilter, StatusFilter, UpToFilter
from .tasks.window import Window, newest

#: Parameters that choose by the primary key: no matter how many rows, they cost nothing.
_BY_ID = {EnqueuedFilter.parameter_name, UpToFilter.parameter_name}


class WindowedChangeList(ChangeList):
    """Lists rows without their payload, and looks at a bounded number of them."""

    #: Columns of any size, which lists do not load.
    payload: ClassVar[tuple[str, ...]] = ()
    window: Window

    def _of_status(self, request: HttpRequest, by_ids: QuerySet[Any]) -> Window | None:
        """
        Return the window of a status that an index serves; None if none is chosen.

        `by_ids`: what the filters on ids choose.
        """
        raise NotImplementedError

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        return super().get_queryset(*args, **kwargs).defer(*self.payload)

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
        return self._of_status(request, by_ids) or newest(self.queryset, by_ids)

    def status_filter(self) -> Any:
        """Return the filter on the status."""
        name = StatusFilter.parameter_name
        return next(s for s in self.filter_specs if getattr(s, "parameter_name", None) == name)

    @property
    def older_url(self) -> str:
        """The address of the same list, of the rows before those."""
        return self.get_query_string({UpToFilter.parameter_name: self.window.next_id}, ["p"])


def search(rows: QuerySet[Any], term: str, column: str) -> QuerySet[Any]:
    """Return those whose id begins with `term`, or that have it in a column."""
    if bounds := ids.with_prefix(term):
        return rows.filter(pk__range=bounds)
    if not term:
        return rows
    # Not icontains: MySQL compares paths, which are utf8mb4_bin, as they are written.
    lowered: QuerySet[Any] = rows.alias(lowered=Lower(column))
    return lowered.filter(lowered__contains=Lower(Value(term)))
