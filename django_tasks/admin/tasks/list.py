"""The list of tasks: what it does not load, and which statuses have an index that it looks by."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from ..windowed_list import WindowedChangeList
from .window import FAILED, SERVED, Window, of_status


class TaskChangeList(WindowedChangeList):
    """Lists tasks."""

    payload = ("args", "kwargs", "metadata", "return_value", "meta", "log", "progress")

    def _of_status(self, request: HttpRequest, by_ids: QuerySet[Any]) -> Window | None:
        status = self.status_filter()
        if (chosen := status.value()) not in (*SERVED, *FAILED):
            return None
        others = self.get_queryset(request, exclude_parameters=status.expected_parameters())
        return of_status(others, by_ids, str(chosen))
