"""Pages of one row that renew themselves while more is to come, and buttons on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_safe

from .base import ReadOnlyAdmin

#: Whether the user may do it, and what does it.
Deeds = Mapping[str, tuple[Callable[[HttpRequest], bool], Callable[..., Any]]]


class LivePage(ReadOnlyAdmin):
    """Shows a row by a layout of its own, of which `live_template` is what changes."""

    change_form_template = "admin/django_tasks/live_page.html"
    live_template = ""

    class Media:
        css = {"all": ["django_tasks/task-page.css"]}
        js = ["django_tasks/task-page.js"]

    def _page(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """Return all that the templates show; `pause` is 0 when nothing more is to come."""
        raise NotImplementedError

    def _title(self, record: Any) -> str:
        raise NotImplementedError

    def _deeds(self) -> Deeds:
        """Return what the buttons do, by their names."""
        raise NotImplementedError

    def _press(self, request: HttpRequest, pk: str, deed: Callable[..., Any]) -> HttpResponse:
        """Do what a button says that the user may press; `pk` is from the address."""
        raise NotImplementedError

    def has_payload_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may see arguments, results, and texts that may quote them."""
        return request.user.has_perm("django_tasks.view_payload")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return none: the page has a layout of its own."""
        return ()

    # --- views ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrapped = self.admin_site.admin_view(require_safe(self.live_view))
        name = f"{self.opts.app_label}_{self.opts.model_name}_live"
        return [path("<path:object_id>/live/", wrapped, name=name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        assert obj is not None  # nobody can add one
        context |= self._page(request, obj)
        context |= {"title": self._title(obj), "subtitle": None}
        context |= {"live_template": self.live_template}
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[misc]

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return what changes on the page, as markup; Retry-After while more is to come."""
        record = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, record):
            raise PermissionDenied
        if record is None:
            raise Http404
        request.current_app = self.admin_site.name
        page = self._page(request, record)
        response = TemplateResponse(request, self.live_template, page)
        if page["pause"]:
            response.headers["Retry-After"] = str(page["pause"])
        return response

    # --- buttons ----------------------------------------------------------------------------------

    @method_decorator(csrf_protect)
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        if request.method == "POST" and object_id is not None:
            for name, (is_allowed, deed) in self._deeds().items():
                if name in request.POST:
                    if not (self.has_view_permission(request) and is_allowed(request)):
                        raise PermissionDenied
                    return self._press(request, unquote(object_id), deed)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def _offered(
        self, request: HttpRequest, buttons: Mapping[str, tuple[bool, str]]
    ) -> Iterator[tuple[str, str]]:
        """Yield the names and titles of the buttons that make sense and that the user may press."""
        deeds = self._deeds()
        for name, (makes_sense, title) in buttons.items():
            if makes_sense and deeds[name][0](request):
                yield name, title
