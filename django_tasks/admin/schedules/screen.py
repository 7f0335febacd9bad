"""The screens of schedules: a list, a form for every kind, the runs, and a preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms.models import model_to_dict
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from ...definitions.declared_schedules import drift_of
from ...models import Schedule, WorkerRecord
from ...models.schedules import ScheduleKind
from ...store.databases import task_database
from ...store.dialects import DatabaseNow
from ...store.schedules import edits as store
from ...store.workers.leases import BEAT
from . import layout
from .actions import ScheduleActions, is_declared_in_code
from .audit import Snapshot, message
from .fields import TEMPLATES
from .filters import KindFilter, OwnerFilter, StateFilter
from .form import TIMING, PreviewForm, ScheduleForm
from .preview import Preview, preview_of, words_of
from .runs import last_runs

if TYPE_CHECKING:
    from django import forms

#: What a page's buttons do, and the permission for it.
DEEDS = {
    "run_now": "run",
    "pause": "pause",
    "resume": "pause",
    "enable": "pause",
    "disable": "pause",
    "reset": "change",
}


@admin.register(Schedule)
class ScheduleAdmin(ScheduleActions):
    """
    Schedules of the code and people's own. All writing is the store's.

    Arguments need the permission `view_payload`, and what looks like a secret in them stays masked.
    """

    form = ScheduleForm
    list_display = ("named", "due", "owned_by", "state_and_error", "last", "next")
    list_display_links = ("named",)
    list_filter = (StateFilter, KindFilter, OwnerFilter)
    search_fields = ("name", "task_path")
    sortable_by = ("named", "next")
    filterable = ("id", "kind", "owner", "enabled", "task_path", "name", "state")
    ordering = ("name",)
    radio_fields = {
        "kind": admin.HORIZONTAL,
        "overlap": admin.VERTICAL,
        "catch_up": admin.VERTICAL,
    }
    change_form_template = f"{TEMPLATES}/change_form.html"
    change_list_template = f"{TEMPLATES}/change_list.html"

    class Media:
        css = {"all": ["django_tasks/schedule.css"]}
        js = ["django_tasks/schedule.js"]

    # --- what is shown to whom --------------------------------------------------------------------

    def has_payload_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may see arguments."""
        return request.user.has_perm("django_tasks.view_payload")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse to delete what the code declares: the next sync would bring it back."""
        is_deletable = obj is None or not is_declared_in_code(obj)
        return is_deletable and super().has_delete_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Lay the page out for who may do what."""
        return layout.fieldsets(
            obj,
            may_change=obj is None or self.has_change_permission(request, obj),
            may_see_payload=obj is None or self.has_payload_permission(request),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep a task whose arguments the user may not see, and what needs another permission."""
        shown = layout.SHOWN
        if obj is None:
            return shown
        if not self.has_payload_permission(request):
            shown = (*shown, "task_path")
        return shown if self.has_pause_permission(request) else (*shown, "enabled")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            form.copied_from = self._original(request)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin as a copy of the schedule that ``?copy=`` names."""
        original = self._original(request)
        if original is None:
            return {"kind": ScheduleKind.INTERVAL} | super().get_changeform_initial_data(request)
        name = _("Copy of %s") % original.name
        return model_to_dict(original) | {"name": name[:200]}

    def _original(self, request: HttpRequest) -> Schedule | None:
        key = request.GET.get("copy")
        if key is None:
            return None
        original: Schedule | None = self.get_object(request, key)
        if original is None:
            raise Http404
        if not self.may_copy(request, original):
            raise PermissionDenied
        return original

    def may_copy(self, request: HttpRequest, row: Schedule) -> bool:
        """Tell whether the user may make a copy: it would have the same arguments."""
        may_see = self.has_payload_permission(request) or (row.args, row.kwargs) == ("[]", "{}")
        return (
            self.has_add_permission(request)
            and self.has_view_or_change_permission(request, row)
            and may_see
        )

    # --- saving and deleting ----------------------------------------------------------------------

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, *args, **kwargs)
        except (ValidationError, Schedule.DoesNotExist) as error:
            # The form was right: another process took the name, or deleted the row, meanwhile.
            texts = getattr(error, "messages", [_("It was deleted meanwhile.")])
            self.message_user(request, " ".join(texts), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        store.save(obj, using=task_database())

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Say what each column was before and is now."""
        before = Snapshot.of(Schedule()) if add else form.before
        return message(before.changes_to(Snapshot.of(form.instance)))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        store.delete([obj.pk], using=task_database())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        store.delete(queryset.values_list("pk", flat=True), using=task_database())

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep in the history what was deleted."""
        for row in queryset:
            self._log(request, row, f"{row.task_path}: {words_of(row)}", DELETION)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the schedules. Their runs go with them; Django would load every one."""
        lacking = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        names = [str(row) for row in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, lacking, []

    # --- pages ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Callable[..., Any], name: str) -> URLPattern:
            wrapped = self.admin_site.admin_view(view)
            return path(route, wrapped, name=f"django_tasks_schedule_{name}")

        return [
            own("preview/", require_POST(self.preview_view), "preview"),
            own("<int:pk>/preview/", require_POST(self.preview_view), "preview"),
            own("<int:pk>/do/", require_POST(self.do_view), "do"),
            own("<int:pk>/runs/", self.runs_view, "runs"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        beats = WorkerRecord.objects.using(task_database()).filter(pool=BEAT)
        has_beat = beats.filter(expires_at__gt=DatabaseNow()).exists()
        return super().changelist_view(request, {"has_beat": has_beat, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context["buttons"] = self._buttons(request, obj)
            context["do_url"] = self.address("do", obj.pk)
            context["runs_url"] = self.address("runs", obj.pk)
            if self.may_copy(request, obj):
                context["copy_url"] = self.duplicate_address(obj)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[misc]

    def _buttons(self, request: HttpRequest, row: Schedule) -> list[tuple[str, str]]:
        """Return the names and titles of what the user may do to the row as it is."""
        is_paused = row.paused_until is not None and row.paused_until > timezone.now()
        buttons = {
            "run_now": (True, _("Run now")),
            "pause": (row.enabled, _("Pause …")),
            "resume": (is_paused, _("Resume")),
            "enable": (not row.enabled, _("Enable")),
            "disable": (row.enabled, _("Disable")),
            "reset": (row.is_declared and bool(drift_of(row)), _("Reset to code")),
        }
        return [
            (name, title)
            for name, (makes_sense, title) in buttons.items()
            if makes_sense and self._may(request, name, row)
        ]

    def _may(self, request: HttpRequest, deed: str, row: Schedule) -> bool:
        permission = DEEDS[deed]
        if permission == "change":
            # A reset may enable what somebody with another permission disabled.
            switches = "enabled" in drift_of(row) and not self.has_pause_permission(request)
            return self.has_change_permission(request, row) and not switches
        is_allowed = self.has_run_permission if permission == "run" else self.has_pause_permission
        return self.has_view_or_change_permission(request, row) and is_allowed(request)

    def do_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Do what a button of a schedule's page says."""
        row = self._row(request, pk)
        deed = request.POST.get("deed", "")
        if deed not in DEEDS or not self._may(request, deed, row):
            raise PermissionDenied
        response: HttpResponse | None = getattr(self, deed)(
            request, self.get_queryset(request).filter(pk=pk)
        )
        return response or HttpResponseRedirect(self.address("change", pk))

    def runs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the last runs."""
        row = self._row(request, pk)
        lines = [(line, self.link_to_task(line.task_id, line.status)) for line in last_runs(row)]
        return self.own_page(
            request,
            "schedule/runs",
            title=_("Runs of %s") % row.name,
            crumb=_("Runs"),
            row=row,
            lines=lines,
            zone=timezone.get_current_timezone_name(),
            media=self.media,
        )

    def preview_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        """Return the next runs of what the form says now, as markup."""
        row = None if pk is None else self._row(request, pk)
        is_allowed = (
            self.has_add_permission(request)
            if row is None
            else self.has_change_permission(request, row)
        )
        if not is_allowed:
            raise PermissionDenied
        form = self._preview_form(request, row)
        form.is_valid()
        return HttpResponse(self._preview(form).render())

    def _preview_form(self, request: HttpRequest, row: Schedule | None) -> forms.ModelForm[Any]:
        fields = ["task_path", *sorted(TIMING)]
        form = super().get_form(request, row, row is not None, form=PreviewForm, fields=fields)
        return form(request.POST, instance=row)

    def _preview(self, form: forms.ModelForm[Any]) -> Preview:
        errors = {name: form.errors[name] for name in form.errors if name in {*TIMING, "__all__"}}
        if not errors:
            return preview_of(form.instance, timezone.now())
        return Preview(
            errors=[
                f"{form.fields[name].label}: {text}" if name in form.fields else str(text)
                for name, texts in errors.items()
                for text in texts
            ]
        )

    def _row(self, request: HttpRequest, pk: int) -> Schedule:
        """Return the schedule for those who may see it. Raise PermissionDenied, Http404."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        row: Schedule | None = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        return row
