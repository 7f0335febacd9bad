"""
What differs between databases: clocks, batch writes, claims, wake-ups.

The only package that asks which database it is. Statements are built once per dialect; their
parameters travel as few large values (arrays, JSON), which costs far less than many small ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BigIntegerField,
    BooleanField,
    DateTimeField,
    F,
    FloatField,
    Func,
    IntegerField,
    QuerySet,
)
from django.db.models.expressions import RawSQL

from ...statuses import Status
from .base import CONTROL_REQUEST, NEXT_CLAIM, Dialect
from .batches import TABLE, by_id
from .listening import NOTIFY_CHANNEL
from .mysql import MySQL
from .postgresql import PostgreSQL
from .sqlite import SQLite

__all__ = [
    "CONTROL_REQUEST",
    "NOTIFY_CHANNEL",
    "TABLE",
    "DatabaseNow",
    "Dialect",
    "PruneAfter",
    "SecondsBetween",
    "by_id",
    "in_turn",
    "is_idle",
    "next_claim",
    "of",
    "status_is",
]


def dialect_for(connection: BaseDatabaseWrapper) -> Dialect:
    """Return the dialect of `connection`."""
    return _dialect(connection.vendor, bool(connection.features.has_select_for_update_skip_locked))


@cache
def _dialect(vendor: str, skips_locked: bool) -> Dialect:
    if vendor == "postgresql":
        return PostgreSQL()
    if vendor == "sqlite":
        return SQLite()
    if vendor == "mysql":
        return MySQL("SKIP LOCKED" if skips_locked else "")
    raise NotImplementedError(
        f"django_tasks works with PostgreSQL, MySQL, MariaDB and SQLite, not with {vendor!r}. Name"
        " a database of one of those in TASKS[alias]['OPTIONS']['database']."
    )


def is_idle(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether no transaction is open, be it by Django's means or by plain SQL."""
    was_turned_off = connection.settings_dict["AUTOCOMMIT"] and not connection.autocommit
    if connection.in_atomic_block or was_turned_off:
        return False
    raw = connection.connection
    if connection.vendor == "sqlite":
        return not raw.in_transaction
    if connection.vendor == "postgresql" and hasattr(raw, "info"):
        return int(raw.info.transaction_status) == 0
    return connection.autocommit  # without it, there is no telling


class DatabaseNow(Func):
    """
    The database's clock, `delay` seconds ahead.

    Not Django's Now(): on MySQL that is local to the session's time zone, on PostgreSQL the start
    of the transaction's statement either way.
    """

    output_field = DateTimeField()

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__()
        self.delay = delay

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        return dialect_for(connection).now(self.delay), []


class PruneAfter(Func):
    """Until when a row is kept that ends now, by its own `result_ttl`; NULL without one."""

    output_field = DateTimeField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        return dialect_for(connection).prune_after(), []


class SecondsBetween(Func):
    """The seconds from one time to another, as a float: columns, or functions of them."""

    arity = 2
    output_field = FloatField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        since, until = map(compiler.compile, self.source_expressions)
        return dialect_for(connection).seconds_between(since[0], until[0]), [*since[1], *until[1]]


def status_is(*statuses: Status) -> RawSQL:
    """
    Return a condition for filter() with the statuses as literals.

    SQLite proves the use of a partial index from the statement's text, which parameters are not
    part of. Only for queries in which no other table has a status.
    """
    names = ", ".join(f"'{status}'" for status in statuses)
    sql = f"status = {names}" if len(statuses) == 1 else f"status IN ({names})"
    return RawSQL(sql, (), output_field=BooleanField())  # noqa: S611 - members of an enum


def next_claim() -> RawSQL:
    """Return the number of claims that follows the row's."""
    return RawSQL(NEXT_CLAIM, (), output_field=BigIntegerField())  # noqa: S611 - a constant


def turn() -> RawSQL:
    """
    Return by what the index of ready tasks is ordered after the queue: the priority, downwards.

    A literal, as in the index: see status_is().
    """
    return RawSQL("priority * -1", (), output_field=IntegerField())


def in_turn(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return ready tasks in the order of their index: that of claims, one queue after another."""
    priority = F("priority").desc() if connections[rows.db].vendor == "mysql" else turn()
    return rows.order_by("backend", "queue_name", priority, "pk")
