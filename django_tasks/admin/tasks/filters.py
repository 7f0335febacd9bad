"""Filters whose choices cost no query: Django's own would ask for DISTINCT over all tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ... import ids
from ...definitions import registry
from ...definitions.backends import database_backends
from ...monitoring.reading import queue_names
from ...statuses import Status
from .. import formats
from .window import with_status


class ColumnFilter(admin.SimpleListFilter):
    """Rows with one value of the column `parameter_name`; `known` are the choices."""

    parameter_name = ""

    def known(self) -> Iterable[str]:
        """Return the values to choose from."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        # A value from a link may be none of the known ones.
        chosen = {value} if (value := self.value()) else set()
        return [(name, self.label(name)) for name in sorted({*self.known(), *chosen})]

    def label(self, value: str) -> str:
        """Return what stands for a value."""
        return value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value and "\0" in value:
            raise IncorrectLookupParameters  # PostgreSQL refuses it with a DataError.
        return queryset.filter(**{self.parameter_name: value}) if value else queryset


class StatusFilter(ColumnFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Say it in the words of the status' index, too."""
        return with_status(super().queryset(request, queryset), self.value())


class QueueFilter(ColumnFilter):
    title = _("queue")
    parameter_name = "queue_name"

    def known(self) -> Iterable[str]:
        return queue_names(database_backends().values())


class TaskFilter(ColumnFilter):
    title = _("task")
    parameter_name = "task_path"

    def known(self) -> Iterable[str]:
        return (task.module_path for task in registry.known_tasks())

    def label(self, value: str) -> str:
        """Return the function's name alone when no other task has it."""
        name = value.rpartition(".")[2]
        namesakes = [path for path in self.known() if path.rpartition(".")[2] == name]
        return name if namesakes == [value] else value


class IdFilter(admin.SimpleListFilter):
    """Tasks by the time in their ids: their primary key is their order in time."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        raise NotImplementedError


class EnqueuedFilter(IdFilter):
    """Tasks enqueued lately."""

    title = _("enqueued")
    parameter_name = "enqueued"
    spans = {
        "10m": (timedelta(minutes=10), _("Past 10 minutes")),
        "1h": (timedelta(hours=1), _("Past hour")),
        "24h": (timedelta(hours=24), _("Past 24 hours")),
        "7d": (timedelta(days=7), _("Past 7 days")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, title) for name, (_span, title) in self.spans.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value() or ""
        if name not in self.spans:
            return queryset
        span, _title = self.spans[name]
        return queryset.filter(pk__gte=ids.first_at(timezone.now() - span))


class UpToFilter(IdFilter):
    """An id and those before it: where the list has stopped, it goes on."""

    title = _("older ones")
    parameter_name = "upto"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer nothing but the way back."""
        text = self.value() or ""
        upto = ids.parse(text)
        return [] if upto is None else [(text, _time_of(upto))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        upto = ids.parse(self.value() or "")
        return queryset if upto is None else queryset.filter(pk__lte=upto)


def _time_of(task_id: Any) -> str:
    try:
        moment = ids.made_at(task_id)
    except OverflowError:
        return str(task_id)
    return format_html("{} {}", gettext("Up to"), formats.timestamp(moment))


class MetadataFilter(admin.SimpleListFilter):
    """
    Tasks whose metadata has ``key=value`` at any depth, or a word as a key or a whole text.

    Metadata is JSON text without spaces: a key and its value stand beside each other in it, and
    nothing within a text can look like that, as quotes are escaped there.
    """

    title = _("metadata")
    parameter_name = "metadata"
    template = "admin/django_tasks/taskrecord/metadata_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("", "")]

    def choices(self, changelist: Any) -> Any:
        """Return what the form has in it, and what else the address has."""
        others = changelist.get_query_string(remove=[self.parameter_name, "p"])
        yield {"value": self.value() or "", "others": QueryDict(others[1:]).lists()}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        if not text:
            return queryset
        matches = Q()
        for part in _json_parts(text):
            # Some databases tell capitals apart in the one, some in the other.
            at = StrIndex(F("metadata"), Value(part))
            matches |= Q(metadata__contains=part) & Q(GreaterThan(at, 0))
        return queryset.filter(matches)


def _json_parts(text: str) -> list[str]:
    """Return the pieces of JSON of which metadata that fits has one."""
    key, equals, value = text.partition("=")
    if not equals:
        return [json.dumps(text)]
    begin = f"{json.dumps(key.strip())}:"
    parts = [begin + json.dumps(value.strip())]
    try:
        plain = json.dumps(json.loads(value), separators=(",", ":"))
    except (ValueError, RecursionError):
        return parts
    # The end belongs to it: size=1 is not size=12.
    return [*parts, f"{begin}{plain},", f"{begin}{plain}}}"]
