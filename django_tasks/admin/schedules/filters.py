"""Filters of the list of schedules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ...models.schedules import Owner, ScheduleKind
from ...store.dialects import DatabaseNow
from ..tasks.filters import ColumnFilter


class StateFilter(admin.SimpleListFilter):
    """The same words as the column of the list."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("enabled", pgettext_lazy("schedule", "Enabled")),
            ("paused", pgettext_lazy("schedule", "Paused")),
            ("disabled", pgettext_lazy("schedule", "Disabled")),
            ("ended", pgettext_lazy("schedule", "Ended")),
            ("error", pgettext_lazy("schedule", "With an error")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = _CONDITIONS.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


_PAUSED = Q(paused_until__gt=DatabaseNow())
_ON = Q(enabled=True, is_declared=True)
_CONDITIONS = {
    "enabled": _ON & ~Q(next_run_at=None) & (Q(paused_until=None) | ~_PAUSED),
    "paused": _ON & _PAUSED,
    "disabled": Q(enabled=False),
    "ended": _ON & Q(next_run_at=None, error=""),
    "error": ~Q(error=""),
}


class KindFilter(ColumnFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(ScheduleKind.choices)


class OwnerFilter(admin.SimpleListFilter):
    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Owner.choices, ("REMOVED", _("Removed from the code"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "REMOVED":
            return queryset.filter(owner=Owner.CODE, is_declared=False)
        return queryset.filter(owner=self.value()) if self.value() in Owner.values else queryset
