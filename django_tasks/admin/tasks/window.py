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

from ...statuses import Status
from ...store.dialects import in_turn, status_is

#: The newest tasks that a filtered list looks at: they lie side by side.
LOOKED_AT = 50_000
#: Tasks of one status that it looks at: they lie far apart.
FIRST = 5_000

#: Each has an index of its own, in the order in which its tasks are served.
SERVED = (Status.SCHEDULED, Status.READY, Status.RUNNING)
#: Those that ended badly have one in the order of their ids.
FAILED = (Status.FAILED, Status.CANCELLED)


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


def newest(rows: QuerySet[Any], base: QuerySet[Any]) -> Window:
    """Return the newest of `rows`, which have all the filters; `base` has those on ids alone."""
    ids = base.order_by("-pk").values_list("pk", flat=True)
    for oldest in ids[LOOKED_AT : LOOKED_AT + 1]:
        return Window(rows.filter(pk__gt=oldest), LOOKED_AT, is_cut=True, next_id=oldest)
    return Window(rows)


def of_status(rows: QuerySet[Any], base: QuerySet[Any], status: str) -> Window:
    """
    Return those of `rows` in a status that has an index: the first ones in the index' order.

    `rows` have all the filters but that on the status, `base` those on ids alone. The ids are
    asked for first, and then nothing but them: with statistics from before most tasks were in
    this status, a database would look for each of the ids in all of them.
    """
    served = with_status(base, status)
    if not connections[base.db].features.supports_partial_indexes:
        served = served.filter(status=status)  # there, indexes have one status after another
    found = list(_in_index_order(served, status)[: FIRST + 1])
    is_cut = len(found) > FIRST
    ids = [pk for pk, its_status in found[:FIRST] if its_status == status]
    next_id = found[FIRST][0] if is_cut and status in FAILED else None
    return Window(rows.filter(pk__in=ids), FIRST, is_cut, next_id)


def _in_index_order(rows: QuerySet[Any], status: str) -> QuerySet[Any, Any]:
    """Return ids and statuses in the order in which an index has them: there is no need to sort."""
    if status == Status.READY:
        rows = in_turn(rows)
    elif status == Status.SCHEDULED:
        rows = rows.order_by("run_after")
    elif status == Status.RUNNING:
        rows = rows.order_by("worker_id", "process")
    else:
        rows = rows.order_by("-pk")
    return rows.values_list("pk", "status")


def with_status(rows: QuerySet[Any], status: str | None) -> QuerySet[Any]:
    """Return those that the index of a status has: at least all in it."""
    if status == Status.RUNNING:
        return rows.filter(status_is(Status.RUNNING), worker_id__isnull=False)
    if status in SERVED:
        return rows.filter(status_is(Status(status)))
    return rows.filter(status_is(*FAILED)) if status in FAILED else rows
