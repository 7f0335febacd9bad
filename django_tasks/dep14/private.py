"""
What this package uses of Django that Django does not document, all of it.

tests/test_private_django.py says for each in which versions of Django it was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.dispatch import Signal

from .handler import task_backends


def live_receivers(signal: Signal, sender: type) -> Sequence[Sequence[Callable[..., Any]]]:
    """Return who hears `signal` from `sender`: plain functions, and coroutine functions."""
    return signal._live_receivers(sender)


def raw_delete(rows: QuerySet[Any], using: str) -> None:
    """Delete rows by one statement, without reading them and what points to them."""
    rows._raw_delete(using)


def last_on_commit(connection: BaseDatabaseWrapper) -> Callable[[], Any] | None:
    """Return what waits last for the commit and is dropped by the same rollback, if anything."""
    if not connection.in_atomic_block or not connection.run_on_commit:
        return None
    savepoints, function, *_ = connection.run_on_commit[-1]
    return function if savepoints == set(connection.savepoint_ids) else None


def forget_transaction(connection: BaseDatabaseWrapper) -> Any:
    """Take the driver's connection out of a wrapper in the middle of whatever it is in."""
    raw, connection.connection = connection.connection, None
    connection.in_atomic_block = False
    connection.savepoint_ids.clear()
    connection.needs_rollback = False
    connection.run_on_commit.clear()
    connection.closed_in_transaction = False
    return raw


def break_transaction(connection: BaseDatabaseWrapper) -> None:
    """Take the driver's connection away; an open transaction refuses to go on, as after close()."""
    connection.connection = None
    if connection.in_atomic_block:
        connection.closed_in_transaction = True
        connection.needs_rollback = True


def take_pool(connection: BaseDatabaseWrapper) -> Any:
    """Return the pool of connections that Django has made, and let it make another; or None."""
    return getattr(connection, "_connection_pools", {}).pop(connection.alias, None)


def keep_connections_in(local: Any) -> None:
    """Let `connections` look for a thread's, or greenlet's, in `local` from now on."""
    connections._connections = local  # type: ignore[attr-defined]


def read_tasks_setting_again() -> None:
    """Let `task_backends` follow a settings.TASKS that has just been set."""
    task_backends.__dict__.pop("settings", None)
    task_backends._settings = None  # type: ignore[attr-defined]
