"""Decide how lost tasks go on, whose process died: as values."""

from __future__ import annotations

import json
import logging
import signal
from typing import Any
from uuid import UUID

from ...conf import app_settings
from ...definitions import registry
from ...exceptions import TaskCancelled, TaskInterrupted, TimeLimitExceeded, WorkerLost
from ...models import TaskRecord
from ...statuses import AttemptOutcome, Status
from ...store.tasks import enqueue
from ...store.values import CLAIMED, Attempt, Claim, Ending, EndingKind
from ...store.workers.leases import Orphan
from ..execution.failures import ending_of, exception_path, traceback_text

logger = logging.getLogger("django_tasks.keeper")

#: Seconds that a task waits after its second, third … loss: what it hit may need a while.
DELAY_PER_LOSS = 2.0

#: What the supervisor writes after its last report.
LAST: dict[str, Any] = {"is_last": True}


def report(
    process: int, pid: int, entries: list[dict[str, Any]], *, signal_number: int | None,
    exit_code: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Describe a dead process for the keeper. Entries: id, claims, verdict, run_time."""
    return {
        "process": process,
        "pid": pid,
        "signal": signal_number,
        "exit_code": exit_code,
        "entries": entries,
    }


def to_line(report: dict[str, Any]) -> bytes:
    """Return a report as the supervisor writes it into the keeper's pipe."""
    return json.dumps(report).encode() + b"\n"


def of_line(line: bytes) -> dict[str, Any] | None:
    """Read a report; None for what is left of one that a keeper had read in part when it died."""
    try:
        report: dict[str, Any] = json.loads(line)
    except ValueError:
        logger.warning(
            "The report of a dead process was cut short when the keeper died; what the process had"
            " in hand is found in the table."
        )
        return None
    return report


def of_process(database: str, report: dict[str, Any], host: str) -> list[tuple[Claim, Ending]]:
    """Decide for all that a dead process had claimed and not finished."""
    entries = {UUID(entry["id"]): entry for entry in report["entries"]}
    rows = TaskRecord.objects.using(database).filter(pk__in=list(entries), status=Status.RUNNING)
    found = rows.values_list(*CLAIMED, "on_lost")
    claims = [(Claim._make((*row[:-1], False)), row[-1]) for row in found]
    return [
        (claim, _ending(database, claim, on_lost, entries[claim.id], report, host))
        for claim, on_lost in claims
        if claim.claims == entries[claim.id]["claims"]
    ]


def _ending(
    database: str, claim: Claim, on_lost: str | None, entry: dict[str, Any],
    report: dict[str, Any], host: str,
) -> Ending:  # fmt: skip
    match entry["verdict"]:
        case "unstarted":
            return _give_back(claim, None)
        case "interrupted":
            error: BaseException = TaskInterrupted(f"The worker on {host} had to stop.")
            return _give_back(claim, _attempt(AttemptOutcome.INTERRUPTED, error, entry))
        case "timeout":
            return _timed_out(database, claim, entry)
        case "cancelled":
            error = TaskCancelled(
                "The task was cancelled while it ran, did not stop by itself, and its process"
                " was killed."
            )
            attempt = _attempt(AttemptOutcome.CANCELLED, error, entry)
            return Ending.of(claim, EndingKind.CANCEL, attempt)
    error = WorkerLost(
        f"Process {report['pid']} on {host} {_how(report)} while it ran this task (or before the"
        " result was written)."
    )
    return _lost(claim, on_lost, _attempt(AttemptOutcome.LOST, error, entry, report))


def _attempt(
    outcome: AttemptOutcome,
    error: BaseException,
    entry: dict[str, Any],
    report: dict[str, Any] | None = None,
) -> Attempt:
    return Attempt(
        outcome=outcome,
        exception_path=exception_path(error),
        traceback=traceback_text(error),
        run_time=entry["run_time"],
        signal=report["signal"] if report else None,
        exit_code=report["exit_code"] if report else None,
    )


def _how(report: dict[str, Any]) -> str:
    number = report["signal"]
    if number is None:
        return f"exited with code {report['exit_code']}"
    name = signal.Signals(number).name if number in list(signal.Signals) else "unknown"
    hint = ", perhaps by the kernel for want of memory" if number == signal.SIGKILL else ""
    return f"was killed by signal {number} ({name}{hint})"


def _give_back(claim: Claim, attempt: Attempt | None) -> Ending:
    return Ending.of(claim, EndingKind.RELEASE, attempt)


def _timed_out(database: str, claim: Claim, entry: dict[str, Any]) -> Ending:
    task = registry.find(claim.task_path)
    if task is None:
        return _give_back(claim, None)
    error = TimeLimitExceeded(
        f"The task ran for longer than its time_limit of {task.time_limit or 0:g} s and its"
        " process was killed."
    )
    return ending_of(claim, task, error, entry["run_time"], lambda: _result(database, claim))


def _result(database: str, claim: Claim) -> Any:
    result = enqueue.load(database, claim.id)
    if result is None:
        raise LookupError(f"The record of task {claim.id} was deleted.")
    return result


def of_orphan(orphan: Orphan, finder_id: UUID) -> Ending:
    """Decide for a running task of a dead worker, or of a dead process of the finder's own."""
    if orphan.worker_id == finder_id:
        text = (
            f"Process {orphan.process} of worker {orphan.worker_id} ended while it ran this task"
            " (or before the result was written), and left no report of how."
        )
    else:
        text = (
            f"Worker {orphan.worker_id} did not renew its lease: it was killed, cut off from the"
            " database, or its machine stopped."
        )
    # Who found it is said so that its finder knows its own row again: see store.attempts.mark().
    error = WorkerLost(f"{text} Worker {finder_id} found it.")
    attempt = _attempt(AttemptOutcome.LOST, error, {"run_time": None})
    attempt = attempt._replace(worker_id=orphan.worker_id, process=orphan.process)
    return _lost(orphan.claim, orphan.on_lost, attempt)


def _lost(claim: Claim, on_lost: str | None, attempt: Attempt) -> Ending:
    """Decide by the row: the code of the task may be another one here, or unknown."""
    is_poison = claim.lost + 1 >= app_settings.MAX_LOST
    kind = EndingKind.POISON if is_poison or on_lost == "fail" else EndingKind.LOSE
    return Ending.of(claim, kind, attempt, claim.lost * DELAY_PER_LOSS)
