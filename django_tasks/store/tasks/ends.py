"""
The one place through which tasks come to an end, but for plain successes.

What hangs on the end of a task happens here, in its transaction: joins of workflows count it, and
what waited for the last one is released or cancelled. Successes of plain tasks, on which nothing
hangs, keep the statement that ends them and claims the next ones at once (dialects.succeed).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from uuid import UUID

from django.db import connections, transaction

from ...statuses import FINAL_STATUSES, PENDING_STATUSES, AttemptOutcome, Status
from .. import dialects
from ..retrying import repeated
from ..values import AttemptRow, Change
from ..workflows import joins
from ..workflows.joins import Ended, How
from . import attempts, publishing
from .ready import notify_ready


def write(
    database: str,
    changes: Sequence[Change],
    rows: Sequence[AttemptRow],
    hooked: Collection[UUID] = (),
    expected: Sequence[Status] = (Status.RUNNING,),
    *,
    waits: bool = True,
) -> int:
    """
    Write what became of tasks whose rows are locked, with their attempts; return how many.

    `hooked`: those of them that are steps of workflows. `waits`: for locks on what counts them.
    """
    changed = _write(database, changes, rows, expected)
    if hooked:
        carry_on(
            database,
            {
                change.id: Ended(How.WELL if change.status == Status.SUCCESSFUL else How.BADLY)
                for change in changes
                if change.id in hooked and change.status in FINAL_STATUSES
            },
            waits=waits,
        )
    return changed


def carry_on(database: str, ended: dict[UUID, Ended], *, waits: bool = True) -> None:
    """
    Count the ends of steps where others wait for them, and release or cancel these.

    In the transaction that ended them. What is cancelled ends in its turn, joins.WAVES times; what
    is left then is done by keepers, see finish_decided().
    """
    for wave in range(joins.WAVES):
        if not ended:
            return
        outcome = joins.count(database, ended, carries_out=wave + 1 < joins.WAVES, waits=waits)
        _release(database, outcome)
        ended = _cancel(database, outcome)


def finish_decided(database: str, *, seconds: float | None = None) -> bool:
    """
    Carry out what joins have decided and was too much for the transactions that decided it.

    Return whether there may be more. `seconds`: begin no further chunk after so long; None: until
    all is carried out.
    """
    end = float("inf") if seconds is None else time.monotonic() + seconds
    while repeated(database, partial(_finish_chunk, database)):
        if time.monotonic() >= end:
            return True
    return False


def _finish_chunk(database: str) -> bool:
    with transaction.atomic(using=database):
        outcome = joins.decided(database)
        if outcome is None:
            return False
        _release(database, outcome)
        carry_on(database, _cancel(database, outcome))
        return bool(outcome.released or outcome.cancelled)


def _release(database: str, outcome: joins.Outcome) -> None:
    """Write what joins release, and have it found."""
    if not outcome.released:
        return
    connection = connections[database]
    dialects.dialect_for(connection).change(connection, outcome.released, (Status.WAITING,))
    notify_ready(database, [each.id for each in outcome.released if each.delay <= 0])
    if any(each.delay > 0 for each in outcome.released):
        publishing.expect(database)


def _cancel(database: str, outcome: joins.Outcome) -> dict[UUID, Ended]:
    """Cancel the steps that joins say are not to run; return what became of them."""
    cancelled = [each.step for each in outcome.cancelled]
    _write(
        database,
        [Change(step.id, step.claims, Status.CANCELLED) for step in cancelled],
        [
            attempts.cancellation(
                each.step.id,
                each.step.attempts,
                AttemptOutcome.CANCELLED,
                "StepCancelled",
                each.reason,
            )
            for each in outcome.cancelled
        ],
        PENDING_STATUSES,
    )
    return {each.step.id: each.ended for each in outcome.cancelled}


def _write(
    database: str,
    changes: Sequence[Change],
    rows: Sequence[AttemptRow],
    expected: Sequence[Status],
) -> int:
    connection = connections[database]
    dialect = dialects.dialect_for(connection)
    changed = dialect.change(connection, changes, expected) if changes else 0
    if rows:
        dialect.insert_attempts(connection, rows)
    return changed
