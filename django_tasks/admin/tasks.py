"""The screens of tasks: a list with filters, and a page per task."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect

from .. import ids
from ..aliases import task_database
from ..interventions import CANCELLABLE, REQUEUABLE, Intervention
from ..models import TaskAttempt, TaskRecord
from ..statuses import FINAL_STATUSES
from .attempts import AttemptInline
from .filters import (
    EnqueuedFilter,
    MetadataFilter,
    QueueFilter,
    StatusFilter,
    TaskFilter,
    UpToFilter,
)
from .task_actions import TaskActions
from .task_list import TaskChangeList, search


@admin.register(TaskRecord)
class TaskRecordAdmin(TaskActions):
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
    inlines = (AttemptInline,)

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

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out what says nothing of this task."""
        main: list[Any] = [("state", "tries", "took"), ("task_path", "queue_name", "priority")]
        times: list[Any] = [("enqueued", "started", "finished")]
        payload: list[Any] = ["no_payload"]
        if self.has_payload_permission(request):
            payload = [("arguments", "keyword_arguments"), ("result", "task_metadata")]
            payload += ["own_state"] if obj is None or obj.meta else []
        if obj is None or obj.progress:
            main.append("how_far")
        if obj is None or obj.run_after or obj.expires_at:
            times.append(("due", "expires"))
        fieldsets = [
            (None, {"fields": main}),
            (_("Times"), {"fields": times}),
            (_("Arguments and result"), {"fields": payload}),
            (_("Where"), {"fields": [("worker", "backend"), ("id", "claims", "lost")]}),
        ]
        if obj is None or obj.log:
            fieldsets.insert(3, (_("Log"), {"fields": ["log_lines"]}))
        return fieldsets

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Show the attempts when there are some: one that succeeded at once has no row."""
        attempts = TaskAttempt.objects.using(task_database())
        has_some = obj is not None and attempts.filter(task_id=obj.pk).exists()
        return self.inlines if has_some else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find ids by how they begin, and tasks by a part of their path."""
        return search(queryset, search_term.strip()), False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_deletable = obj is None or obj.status in FINAL_STATUSES
        return is_deletable and request.user.has_perm("django_tasks.delete_taskrecord")

    def has_payload_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may see arguments and results."""
        return request.user.has_perm("django_tasks.view_payload")

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

    # --- the same as buttons on a task's page ---------------------------------------------------

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        status = obj.status if obj else ""
        context["can_requeue"] = status in REQUEUABLE and self.has_requeue_permission(request)
        context["can_cancel"] = status in CANCELLABLE and self.has_cancel_permission(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @method_decorator(csrf_protect)
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        if request.method == "POST" and object_id is not None:
            if "_requeue" in request.POST:
                return self._press(request, object_id, self.has_requeue_permission, self.run_again)
            if "_cancel" in request.POST:
                return self._press(request, object_id, self.has_cancel_permission, self.cancel)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def _press(self, request: HttpRequest, object_id: str, is_allowed: Any, action: Any) -> Any:
        if not (self.has_view_permission(request) and is_allowed(request)):
            raise PermissionDenied
        task_id = ids.parse(unquote(object_id))
        action(request, self.get_queryset(request).filter(pk=task_id))
        return HttpResponseRedirect(request.get_full_path())
