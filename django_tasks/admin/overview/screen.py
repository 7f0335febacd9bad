"""The overview: the first page of the app in the admin, which renews itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from ...definitions.backends import database_backends
from ...models import Overview, Schedule, TaskRecord, WorkerRecord
from ...monitoring.overview import read_overview
from ...store.databases import task_database
from ..base import ReadOnlyAdmin
from ..control_characters import visible
from . import sections
from .charts import NAMES, period_named
from .sections import Reader

#: Seconds between two looks of an open page.
REFRESH = 5
_LINKED = {model._meta.model_name: model for model in (TaskRecord, WorkerRecord, Schedule)}


@admin.register(Overview)
class OverviewAdmin(ReadOnlyAdmin):
    """
    Shows how queues, workers and schedules stand, to those who may see tasks.

    Workers and schedules are shown to those who may see these.
    """

    class Media:
        css = {"all": ["django_tasks/overview.css"]}
        js = ["django_tasks/overview.js"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_see(request, TaskRecord)

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Callable[..., Any], name: str) -> URLPattern:
            wrapped = self.admin_site.admin_view(require_safe(view))
            return path(route, wrapped, name=f"django_tasks_overview_{name}")

        return [
            own("", self.changelist_view, "changelist"),
            own("figures/", self.figures_view, "figures"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the page."""
        period = period_named(request.GET.get("span"))
        return self.own_page(
            request,
            "overview/page",
            title=_("Overview"),
            sections=self._sections(request),
            span=period.name,
            spans=NAMES.items(),
            figures_url=self._address("overview_figures"),
            refresh=str(REFRESH),
            media=self.media,
            **(extra_context or {}),
        )

    def figures_view(self, request: HttpRequest) -> HttpResponse:
        """Return what an open page shows anew: the markup of its sections, as JSON."""
        shown = {name: visible(markup) for name, markup in self._sections(request).items()}
        return JsonResponse({"sections": shown})

    def _sections(self, request: HttpRequest) -> dict[str, str]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        database = task_database()
        backends = [b for b in database_backends().values() if b.database == database]
        period = period_named(request.GET.get("span"))
        reader = Reader(
            may_see_workers=_may_see(request, WorkerRecord),
            may_see_schedules=_may_see(request, Schedule),
            address=self._address_of,
        )
        return sections.render(read_overview(database, backends, period), period, reader)

    def _address_of(self, model_name: str, pk: Any = None) -> str:
        """Return the address of a list, or of a row's page; "" where this site has none."""
        if not self.admin_site.is_registered(_LINKED[model_name]):
            return ""
        if pk is None:
            return self._address(f"{model_name}_changelist")
        return self._address(f"{model_name}_change", pk)

    def _address(self, name: str, *args: Any) -> str:
        return reverse(f"admin:django_tasks_{name}", args=args, current_app=self.admin_site.name)


def _may_see(request: HttpRequest, model: Any) -> bool:
    """Tell whether the user may see rows, as Django's own pages decide it."""
    name = model._meta.model_name
    return any(request.user.has_perm(f"django_tasks.{verb}_{name}") for verb in ("view", "change"))
