"""Write attempts: the rows of claims that did not succeed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import connections

from ...models import TaskAttempt, TaskRecord
from ...statuses import AttemptOutcome, Status
from .. import dialects
from ..values import Attempt, AttemptRow, Ending, EndingKind, Success, Writer

#: What tells an attempt from those that others wrote of the same claim.
Mark = tuple[Any, ...]


def of_ending(ending: Ending, attempt: Attempt | None, writer: Writer) -> Iterator[AttemptRow]:
    """Yield the row of an ending's attempt, if there is one."""
    if attempt is not None:
        yield AttemptRow(
            task_id=ending.id,
            number=ending.number,
            claim=ending.claims,
            outcome=attempt.outcome,
            worker_id=attempt.worker_id or writer.worker_id,
            process=writer.process if attempt.process is None else attempt.process,
            host=writer.host,
            run_time=attempt.run_time,
            exception_path=attempt.exception_path,
            traceback=attempt.traceback,
            signal=attempt.signal,
            exit_code=attempt.exit_code,
        )


def late(ending: Ending) -> Attempt:
    """Return the attempt that records a refused ending."""
    what = "success" if ending.kind is EndingKind.LATE else ending.kind
    return Attempt(outcome=AttemptOutcome.LATE, traceback=f"{what} refused")


def cancelled_meanwhile(ending: Ending, number: int) -> AttemptRow:
    """Return what is written beside an ending that would have had the task run again."""
    return cancellation(
        ending.id,
        number,
        AttemptOutcome.CANCELLED,
        "TaskCancelled",
        "The task was cancelled while it ran, and would have run again.",
        claim=ending.claims,
    )


def cancellation(
    task_id: UUID, number: int, outcome: AttemptOutcome, name: str, reason: str, claim: int = 0
) -> AttemptRow:
    """Return the row that says why a task that nobody ran any more was ended."""
    path = f"django_tasks.exceptions.{name}"
    return AttemptRow(
        task_id, number, claim, outcome, exception_path=path, traceback=f"{path}: {reason}\n"
    )


def written(database: str, endings: Iterable[Ending]) -> set[Mark]:
    """Return the marks of what is written of the claims that `endings` are about."""
    claims = {(ending.id, ending.claims) for ending in endings}
    rows = TaskAttempt.objects.using(database).filter(
        task_id__in={task_id for task_id, _ in claims}
    )
    return {
        _mark(*row)
        for row in rows.order_by().values_list(
            "task_id", "claim", "outcome", "worker_id", "process", "traceback"
        )
        if row[:2] in claims
    }


def mark(row: AttemptRow) -> Mark:
    """
    Return by what this row is known again, by whoever does not know whether it was committed.

    A process writes one outcome of its claim. Of one that was lost any keeper may write, and the
    text names it.
    """
    return _mark(row.task_id, row.claim, row.outcome, row.worker_id, row.process, row.traceback)


def _mark(
    task_id: UUID, claim: int, outcome: str, worker_id: UUID | None, process: int | None, text: str
) -> Mark:
    is_anybodys = outcome == AttemptOutcome.LOST
    return task_id, claim, outcome, worker_id, process, text if is_anybodys else ""


def count(database: str, task_id: UUID, number: int, exception_path: str) -> int:
    """Count the records of a task's attempt of this number that name this exception."""
    rows = TaskAttempt.objects.using(database).filter(task_id=task_id, number=number)
    return rows.filter(exception_path=exception_path).count()


def refused_successes(
    database: str, successes: Sequence[Success], worker_id: UUID, process: int, host: str
) -> tuple[list[UUID], list[UUID]]:
    """
    Return which of `successes` did not hold, and which are for somebody else's lock to go.

    A LATE attempt tells of each of the first. One that this claim had written before (its reply
    was lost) did hold.
    """
    rows = TaskRecord.objects.using(database).filter(pk__in=[s.id for s in successes])
    found = {
        (task_id, claims): status
        for task_id, claims, status in rows.values_list("pk", "claims", "status")
    }
    fates = [(s, found.get((s.id, s.claims))) for s in successes]
    refused = [s for s, status in fates if status not in (Status.SUCCESSFUL, Status.RUNNING)]
    if refused:
        writer = Writer(worker_id, process, host)
        endings = [
            Ending(s.id, s.claims, number=0, kind=EndingKind.LATE, fields={}) for s in refused
        ]
        connection = connections[database]
        dialects.dialect_for(connection).insert_attempts(
            connection, [row for e in endings for row in of_ending(e, late(e), writer)]
        )
    return [s.id for s in refused], [s.id for s, status in fates if status == Status.RUNNING]
