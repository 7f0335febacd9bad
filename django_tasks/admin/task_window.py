"""
How far the list of tasks looks.

No index serves every combination of filters, and one per combination would cost each enqueue. So
the list looks at a bounded number of tasks that an index hands out, filters those, and says so;
a link leads on to the ones before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet

from ..statuses import Status
from ..store.dialects import status_is

#: The newest tasks that a filtered list looks at: they lie side by side.
LOOKED_AT = 50_000
#: Tasks of one status that it looks at: they lie far apart.
FIRST = 5_000

#: Each has an index of its own, in the order in which its tasks are served.
SERVED = (Status.SCHEDULED, Status.READY, Status.RUNNING)
#: Those that ended badly have one in the order of their ids.
FAILED = (Status.FAILED, Status.CANCELLED)
_SERVING_ORDER = {Status.SCHEDULED: ("run_after",)}


@dataclass(frozen=True, slots=True)
class Window:
    """The tasks that a list looks at."""

    rows: QuerySet[Any]
    #: How many it has at most.
    size: int = 0
    #: Whether there are more that it did not look at.
    is_cut: bool = False
    #: The newest of the others, where the order is that of the ids.
    next_id: UUID | None = None


def narrow(rows: QuerySet[Any], base: QuerySet[Any], status: str | None) -> Window:
    """
    Return those of `rows` that a list looks at.

    `rows` have all the filters, `base` those on ids alone.
    """
    base = with_status(base, status)
    if status in SERVED:
        return _first_served(rows, base, status)
    return _newest(rows, base, FIRST if status in FAILED else LOOKED_AT)


def with_status(rows: QuerySet[Any], status: str | None) -> QuerySet[Any]:
    """Return those that the index of a status has: at least all in it."""
    if status == Status.RUNNING:
        return rows.filter(status_is(Status.RUNNING), worker_id__isnull=False)
    if status in SERVED:
        return rows.filter(status_is(Status(status)))
    return rows.filter(status_is(*FAILED)) if status in FAILED else rows


def _first_served(rows: QuerySet[Any], base: QuerySet[Any], status: str) -> Window:
    served = base.order_by(*_SERVING_ORDER.get(Status(status), ()))
    ids = served.values("pk")[:FIRST]
    is_cut = served.values("pk")[FIRST : FIRST + 1].exists()
    if not connections[rows.db].features.allow_sliced_subqueries_with_in:
        ids = list(served.values_list("pk", flat=True)[:FIRST])  # type: ignore[assignment]
    return Window(rows.filter(pk__in=ids), FIRST, is_cut)


def _newest(rows: QuerySet[Any], base: QuerySet[Any], size: int) -> Window:
    ids = base.order_by("-pk").values_list("pk", flat=True)
    for oldest in ids[size : size + 1]:
        return Window(rows.filter(pk__gt=oldest), size, is_cut=True, next_id=oldest)
    return Window(rows)
