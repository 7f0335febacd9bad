"""Repeat a unit of work that the database gave up for another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..runtime.faults import is_conflict

T = TypeVar("T")

TRIES = 5


def is_callers(connection: BaseDatabaseWrapper) -> bool:
    """
    Tell whether a caller's transaction is open, or may be: in atomic(), or with autocommit off.

    What the database takes back then is the caller's to do again.
    """
    is_automatic = connection.connection is None or connection.autocommit
    return connection.in_atomic_block or not is_automatic


def repeated(database: str, work: Callable[[], T]) -> T:
    """
    Do `work`, a transaction of its own, up to five times: a deadlock ends one of two.

    Inside of a caller's transaction it is done once: repeating is the caller's.
    """
    belongs_to_caller = is_callers(connections[database])
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except DatabaseError as error:
            if belongs_to_caller or attempt == TRIES or not is_conflict(error):
                raise
            time.sleep(0.01 * 2**attempt * random.random())  # noqa: S311 - spreads load
    raise AssertionError("unreachable")
