"""Reports: how far a task is, and what became of it, for the people who wait for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils.formats import number_format
from django.utils.translation import pgettext_lazy

from ..conf import app_settings
from ..definitions import registry
from ..definitions.progress import Progress
from ..models import TaskAttempt, TaskRecord
from ..monitoring.reading import readable_progress
from ..redaction import arguments
from ..statuses import (
    ERROR_OUTCOMES,
    FINAL_STATUSES,
    PENDING_STATUSES,
    Status,
    celery_state,
    public_status,
)

#: Seconds after which a task that is due later should be asked about again, at the latest.
LONGEST_PAUSE = 30
_COLUMNS = ("task_path", "status", "attempts", "custom_state", "progress", "run_after")

#: Words for visitors, who know of no queues.
_LABELS = {
    Status.WAITING: pgettext_lazy("progress of a task", "Waiting"),
    Status.SCHEDULED: pgettext_lazy("progress of a task", "Waiting"),
    Status.READY: pgettext_lazy("progress of a task", "Waiting"),
    Status.RUNNING: pgettext_lazy("progress of a task", "Running"),
    Status.SUCCESSFUL: pgettext_lazy("progress of a task", "Done"),
    Status.FAILED: pgettext_lazy("progress of a task", "Failed"),
    Status.CANCELLED: pgettext_lazy("progress of a task", "Cancelled"),
}
_WAITING_TO_RETRY = pgettext_lazy("progress of a task", "Waiting to try again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far a task is. `outcome`: its result and error, if they may be seen."""

    status: Status
    attempts: int = 0
    custom_state: str | None = None
    progress: Progress | None = None
    run_after: datetime | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        return self.status in FINAL_STATUSES

    @property
    def percent(self) -> float | None:
        """0 to 100; None while the total is unknown. A successful task is at 100."""
        if self.status == Status.SUCCESSFUL:
            return 100.0
        return self.progress.percent if self.progress else None

    @property
    def label(self) -> str:
        """The status in a visitor's words, in the language of the moment."""
        is_pending = self.status in PENDING_STATUSES
        return str(_WAITING_TO_RETRY if is_pending and self.attempts else _LABELS[self.status])

    @property
    def text(self) -> str:
        """All of it on one line: the label, how far it is, the task's own message."""
        if self.status == Status.SUCCESSFUL or self.progress is None:
            return self.label
        return " · ".join(filter(None, (self.label, self._amount, str(self.progress.message))))

    @property
    def _amount(self) -> str:
        assert self.progress is not None
        if self.percent is None:
            return str(number_format(self.progress.done))
        return f"{math.floor(self.percent)} %"

    def retry_after(self, now: datetime) -> int | None:
        """Return the whole seconds after which to ask again; None when nothing will change."""
        if self.is_finished:
            return None
        if self.status == Status.SCHEDULED and self.run_after:
            left = math.ceil((self.run_after - now).total_seconds())
            return min(max(left, 1), LONGEST_PAUSE)
        return max(math.ceil(app_settings.PROGRESS_INTERVAL), 1)

    def as_json(self) -> dict[str, Any]:
        """Return the fields of the answer, as docs/reference/progress-api.md lists them."""
        progress = self.progress or Progress(done=0)
        return {
            "status": public_status(self.status),
            "record_status": self.status,
            "state": celery_state(self.status, self.attempts, self.custom_state),
            "finished": self.is_finished,
            "percent": self.percent,
            "done": progress.done,
            "total": progress.total,
            "message": str(progress.message),
            "label": self.label,
            "text": self.text,
            **self.outcome,
        }


def of_result(result: Any) -> Report:
    """Return the report of a result that was read before; any backend's will do."""
    return Report(
        status=Status(getattr(result, "record_status", result.status)),
        attempts=result.attempts,
        custom_state=getattr(result, "custom_state", None),
        progress=getattr(result, "progress", None),
        run_after=getattr(result, "run_after", None),
    )


def load(database: str, task_id: UUID, *, with_outcome: bool) -> Report | None:
    """Read the report of one task in one query; None if there is no such task."""
    rows = TaskRecord.objects.using(database).filter(pk=task_id).only(*_COLUMNS)
    if with_outcome:
        rows = rows.only(*_COLUMNS, "return_value").annotate(last_error=_last_error())
    row = rows.first()
    if row is None:
        return None
    return Report(
        status=Status(row.status),
        attempts=row.attempts,
        custom_state=row.custom_state,
        progress=readable_progress(row),
        run_after=row.run_after,
        outcome=_outcome(row) if with_outcome else {},
    )


def _last_error() -> Subquery:
    errors = TaskAttempt.objects.filter(task_id=OuterRef("pk"), outcome__in=ERROR_OUTCOMES)
    return Subquery(errors.order_by("-pk").values("exception_path")[:1])


def _outcome(row: Any) -> dict[str, Any]:
    """Return the result and the error's class, one of which is None; masked as in the admin."""
    outcome: dict[str, Any] = {"result": None, "error": None}
    if row.status == Status.SUCCESSFUL:
        outcome["result"] = arguments.mask_value(row.return_value, registry.find(row.task_path))
    elif row.status in FINAL_STATUSES:
        outcome["error"] = row.last_error
    return outcome
