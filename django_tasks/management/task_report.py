"""The report of tasks_inspect on one task. Its arguments, result and tracebacks are not in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..models import TaskAttempt, TaskRecord
from ..monitoring.diagnosis import Reason, diagnose
from ..monitoring.reading import database_now, most_attempts
from .tasks_command import duration

#: Attempts that are listed, the newest.
SHOWN = 20
_COLUMNS = (
    "task_path",
    "status",
    "queue_name",
    "priority",
    "backend",
    "enqueued_at",
    "run_after",
    "expires_at",
    "last_attempted_at",
    "finished_at",
    "run_time",
    "attempts",
    "max_attempts",
    "claims",
    "lost",
    "worker_id",
    "cancel_requested",
)
_OF_ATTEMPT = (
    "number",
    "outcome",
    "host",
    "started_at",
    "finished_at",
    "run_time",
    "exception_path",
    "signal",
    "exit_code",
)
HEADERS = ("attempt", "outcome", "host", "finished", "ran", "exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """One task, why it does not run, and its newest attempts that did not succeed, oldest first."""

    record: TaskRecord
    now: datetime
    reasons: Sequence[Reason]
    attempts: Sequence[TaskAttempt]

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values, for people; what says nothing is left out."""
        record = self.record
        most = most_attempts(record)
        tries = str(record.attempts) if most is None else f"{record.attempts} of {most}"
        facts = [
            ("task", record.task_path),
            ("status", record.status),
            ("queue", f"{record.queue_name}, priority {record.priority}"),
            ("attempts", f"{tries}, {record.lost} lost" if record.lost else tries),
            ("enqueued", self._datetime(record.enqueued_at)),
            ("run after", self._datetime(record.run_after)),
            ("expires", self._datetime(record.expires_at)),
            ("started", self._datetime(record.last_attempted_at)),
            ("finished", self._datetime(record.finished_at)),
            ("worker", str(record.worker_id or "")),
        ]
        return [(name, value) for name, value in facts if value]

    def _datetime(self, moment: datetime | None) -> str:
        if moment is None:
            return ""
        seconds = (self.now - moment).total_seconds()
        away = f"in {duration(-seconds)}" if seconds < 0 else f"{duration(seconds)} ago"
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({away})"

    def cells(self) -> list[list[str]]:
        """Return the rows of the table of attempts."""
        return [
            [
                str(attempt.number),
                attempt.outcome,
                attempt.host or "-",
                self._datetime(attempt.finished_at),
                duration(attempt.run_time),
                attempt.exception_path or "-",
            ]
            for attempt in self.attempts
        ]

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON; moments are ISO 8601 in UTC."""
        record = {name: _plain(getattr(self.record, name)) for name in _COLUMNS}
        record["max_attempts"] = most_attempts(self.record)
        return {
            "task": {"id": str(self.record.pk), **record},
            "reasons": [asdict(reason) for reason in self.reasons],
            "attempts": [
                {name: _plain(getattr(attempt, name)) for name in _OF_ATTEMPT}
                for attempt in self.attempts
            ],
        }


def report_of(database: str, task_id: UUID) -> TaskReport | None:
    """Read a task; None if there is none of this id."""
    rows = TaskRecord.objects.using(database).only("id", *_COLUMNS)
    record = rows.filter(pk=task_id).first()
    if record is None:
        return None
    now = database_now(database)
    attempts = TaskAttempt.objects.using(database).filter(task_id=task_id).order_by("-pk")
    return TaskReport(
        record=record,
        now=now,
        reasons=diagnose(record, now=now),
        attempts=list(attempts.only("id", *_OF_ATTEMPT)[:SHOWN])[::-1],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
