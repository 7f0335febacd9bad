"""The screens of workflows: a list with filters, and a page per workflow."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from ...models import WorkflowRecord
from ..tasks.filters import EnqueuedFilter, UpToFilter
from ..windowed_list import search
from .list import WorkflowChangeList, WorkflowStatusFilter
from .page import WorkflowPage


@admin.register(WorkflowRecord)
class WorkflowRecordAdmin(WorkflowPage):
    """
    Shows workflows; people may cancel them and run them again from the steps that failed.

    Both need the permission to do the same to tasks. The value and the metadata need the permission
    `view_payload`, and what looks like a secret in them stays masked.
    """

    list_display = ("workflow", "state", "progress", "age", "took", "failed")
    list_display_links = ("workflow",)
    list_filter = (WorkflowStatusFilter, EnqueuedFilter, UpToFilter)
    search_fields = ("id", "name")
    search_help_text = gettext_lazy("An id or how it begins, or a part of a workflow’s name.")
    sortable_by = ("age",)
    ordering = ("-id",)
    filterable = (
        "id",
        "status",
        "backend",
        EnqueuedFilter.parameter_name,
        UpToFilter.parameter_name,
    )
    actions = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        return WorkflowChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find ids by how they begin, and workflows by a part of their name."""
        return search(queryset, search_term.strip(), "name"), False
