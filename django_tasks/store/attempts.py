"""Attempts: the rows that say what became of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ..models import TaskAttempt, TaskRecord
from ..statuses import AttemptOutcome, Status
from .dialects import DatabaseNow
from .rows import Attempt, Ending, EndingKind, Success


def of_ending(
    ending: Ending, attempt: Attempt | None, worker_id: UUID, process: int, host: str
) -> list[TaskAttempt]:
    """Return the row of an ending's attempt, in a list; an empty one when there is none."""
    if attempt is None:
        return []
    run_time = attempt.run_time
    return [
        TaskAttempt(
            task_id=ending.id,
            number=ending.number,
            claim=ending.claims,
            outcome=attempt.outcome,
            worker_id=worker_id,
            process=process,
            host=host,
            started_at=DatabaseNow(-run_time) if run_time is not None else None,
            finished_at=DatabaseNow(),
            run_time=run_time,
            exception_path=attempt.exception_path,
            traceback=attempt.traceback,
            signal=attempt.signal,
            exit_code=attempt.exit_code,
        )
    ]


def was_written(database: str, ending: Ending) -> bool:
    """Tell whether this very ending is in the database: its attempt row came with it."""
    if ending.attempt is None:
        return True  # nothing but "given back": whoever owns it now, it is not this claim's
    return (
        TaskAttempt.objects.using(database)
        .filter(task_id=ending.id, claim=ending.claims, outcome=ending.attempt.outcome)
        .exists()
    )


def count(database: str, task_id: UUID, number: int, exception_path: str) -> int:
    """Count the records of a task's attempt of this number that name this exception."""
    rows = TaskAttempt.objects.using(database).filter(task_id=task_id, number=number)
    return rows.filter(exception_path=exception_path).count()


def refused_successes(
    database: str, successes: Sequence[Success], worker_id: UUID, process: int, host: str
) -> list[UUID]:
    """
    Return which of `successes` did not hold, and write a LATE attempt for each.

    One that this claim had written before (its reply was lost) did hold.
    """
    rows = TaskRecord.objects.using(database).filter(pk__in=[s.id for s in successes])
    held = {
        (task_id, claims)
        for task_id, claims, status in rows.values_list("pk", "claims", "status")
        if status == Status.SUCCESSFUL
    }
    late = [s for s in successes if (s.id, s.claims) not in held]
    attempt = Attempt(outcome=AttemptOutcome.LATE, traceback="success refused")
    TaskAttempt.objects.using(database).bulk_create(
        row
        for s in late
        for row in of_ending(
            Ending(id=s.id, claims=s.claims, number=0, kind=EndingKind.LATE),
            attempt,
            worker_id,
            process,
            host,
        )
    )
    return [s.id for s in late]
