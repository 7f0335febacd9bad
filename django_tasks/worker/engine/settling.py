"""Writing endings by the batch when the database refuses some of them."""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError

from ...runtime.faults import is_lock_timeout, is_outage
from ...store.tasks.transitions import Settled
from ...store.values import Ending

Refused = list[tuple[Ending, DatabaseError]]


def settle_apart(
    settle: Callable[[list[Ending]], Settled], endings: list[Ending]
) -> tuple[Settled, Refused]:
    """
    Settle endings; return, too, those that the database refuses, with what it said.

    A batch that it refuses, or in which it waits for somebody's lock, is halved until what it
    refuses is alone, or locked. Raise what an outage raises,
    also when some are written: they count as accepted when they are settled again.
    """
    try:
        return settle(endings), []
    except DatabaseError as error:
        is_locked = is_lock_timeout(error)  # what its end changes beside its row
        if is_outage(error) and not is_locked:
            raise
        if len(endings) == 1 and is_locked:
            return Settled([], set(), endings), []
        if len(endings) == 1:
            return Settled([], set(), []), [(endings[0], error)]
    half = len(endings) // 2
    first, refused = settle_apart(settle, endings[:half])
    second, also_refused = settle_apart(settle, endings[half:])
    return joined(first, second), refused + also_refused


def joined(first: Settled, second: Settled) -> Settled:
    """Return what became of both."""
    return Settled(
        first.refused + second.refused,
        first.cancelled | second.cancelled,
        first.locked + second.locked,
    )
