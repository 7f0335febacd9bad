"""The screens of tasks: a list with filters, and a page per task."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from ...models import TaskRecord
from ...statuses import FINAL_STATUSES
from ...store.tasks.interventions import Intervention
from ..windowed_list import search
from .filters import (
    EnqueuedFilter,
    MetadataFilter,
    QueueFilter,
    StatusFilter,
    TaskFilter,
    UpToFilter,
)
from .list import TaskChangeList
from .page import TaskPage


@admin.register(TaskRecord)
class TaskRecordAdmin(TaskPage):
    """
    Shows tasks; people may run failed ones again, cancel unfinished ones, delete finished ones.

    Arguments and results need the permission `view_payload`, and what looks like a secret in them
    stays masked.
    """

    list_display = ("task", "state", "queue_name", "tries", "age", "took")
    list_display_links = ("task",)
    list_filter = (StatusFilter, QueueFilter, TaskFilter, EnqueuedFilter, UpToFilter)
    search_fields = ("id", "task_path")
    search_help_text = gettext_lazy("An id or how it begins, or a part of a task’s path.")
    sortable_by = ("age",)
    ordering = ("-id",)
    filterable = (
        "id",
        "status",
        "queue_name",
        "task_path",
        "worker_id",
        "backend",
        EnqueuedFilter.parameter_name,
        UpToFilter.parameter_name,
    )

    # --- what is shown to whom ------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        return TaskChangeList

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        if lookup == MetadataFilter.parameter_name:
            return self.has_payload_permission(request)
        return super().lookup_allowed(lookup, value, request)

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Filter by metadata for those who may see it: the answers tell what it is."""
        may_see = self.has_payload_permission(request)
        return [*self.list_filter, MetadataFilter] if may_see else self.list_filter

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find ids by how they begin, and tasks by a part of their path."""
        return search(queryset, search_term.strip(), "task_path"), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_deletable = obj is None or obj.status in FINAL_STATUSES
        return is_deletable and request.user.has_perm("django_tasks.delete_taskrecord")

    # --- deleting ---------------------------------------------------------------------------------

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        Intervention(tasks=queryset).delete()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if not Intervention(tasks=self.get_queryset(request).filter(pk=obj.pk)).delete().done:
            raise PermissionDenied("The task is not finished any more.")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the tasks. Their attempts go with them; Django would load every one."""
        lacking = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        names = [str(task) for task in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, lacking, []
