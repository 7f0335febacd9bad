"""Doing a unit of work again that the database gave up for another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, connections

from .dialects import is_conflict

T = TypeVar("T")

TRIES = 5


def repeated(database: str, work: Callable[[], T]) -> T:
    """
    Do `work`, a transaction of its own, up to five times: a deadlock ends one of two.

    Inside of a caller's transaction it is done once: repeating is the caller's.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except DatabaseError as error:
            is_last = attempt == TRIES or connections[database].in_atomic_block
            if is_last or not is_conflict(error):
                raise
            time.sleep(0.01 * 2**attempt * random.random())  # noqa: S311 - spreads load
    raise AssertionError("unreachable")
