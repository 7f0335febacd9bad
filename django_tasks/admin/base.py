"""What the screens share: they show the tasks' own database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import django
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.core.paginator import Paginator
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from ..monitoring.reading import capped_count
from ..store.databases import task_database
from .control_characters import with_visible_controls
from .time_limit import with_time_limit

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _Paginator = Paginator


class CappedPaginator(_Paginator):
    """Counts no further than 10,000 rows: counting millions takes longer than showing them."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or a number that prints as "10,000+"."""
        assert isinstance(self.object_list, QuerySet)
        return capped_count(self.object_list)


class BaseAdmin(_ModelAdmin):
    """Lists rows of the tasks' database, at the same price however many there are."""

    #: Columns that the address of a list may filter by. Others would answer questions about what
    #: the page does not show (``?args__contains=…``).
    filterable: tuple[str, ...] = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_max_show_all = 0
    sortable_by: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["django_tasks/admin.css"]}

    @property
    def urls(self) -> list[URLPattern]:
        """
        The addresses of its pages, which show control characters as text, and come or say so.

        None of them is one transaction, whatever ATOMIC_REQUESTS says: an action commits chunk by
        chunk, and locks for no longer what workers are to write.
        """
        patterns: list[URLPattern] = self.get_urls()
        try:
            database = task_database()
        except ImproperlyConfigured:  # a check tells of it, if the URLs can be imported
            database = DEFAULT_DB_ALIAS
        in_chunks = transaction.non_atomic_requests(using=database)
        for pattern in patterns:
            limited = with_time_limit(pattern.callback, self.admin_site)
            pattern.callback = in_chunks(with_visible_controls(limited))
        return patterns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(task_database())

    def address(self, view: str, *args: Any) -> str:
        """Return the address of one of its own pages, on its own site."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=args, current_app=self.admin_site.name)

    def page_of(self, model: type[Model], pk: Any) -> str:
        """Return the address of a row's page on its own site; empty if that has none."""
        if not self.admin_site.is_registered(model):
            return ""
        view = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        return reverse(view, args=[pk], current_app=self.admin_site.name)

    def link(self, row: Model, text: str) -> str:
        """Return `text`, linked to the page of `row` if this site has one."""
        url = self.page_of(type(row), row.pk)
        return format_html('<a href="{}">{}</a>', url, text) if url else text

    def own_page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """Return a page that is none of the admin's own; `template` without folder and ending."""
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "crumb": "",  # without one, the page is its model's list, which has its title there
            "crumbs_are_a_list": django.VERSION >= (6, 1),
            **context,
        }
        return TemplateResponse(request, f"admin/django_tasks/{template}.html", context)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup.split("__")[0] in self.filterable


class ReadOnlyAdmin(BaseAdmin):
    """Shows rows that only the store writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
