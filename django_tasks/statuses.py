"""The statuses of a task record, and what Django and Celery call them."""

from __future__ import annotations

from django.db.models.enums import TextChoices
from django.utils.translation import pgettext_lazy

from .dep14.base import TaskResultStatus


class Status(TextChoices):
    """Where a task record stands. The rules between them are in ``store.tasks.transitions``."""

    WAITING = "WAITING", pgettext_lazy("task status", "Waiting")
    SCHEDULED = "SCHEDULED", pgettext_lazy("task status", "Scheduled")
    READY = "READY", pgettext_lazy("task status", "Ready")
    RUNNING = "RUNNING", pgettext_lazy("task status", "Running")
    SUCCESSFUL = "SUCCESSFUL", pgettext_lazy("task status", "Successful")
    FAILED = "FAILED", pgettext_lazy("task status", "Failed")
    CANCELLED = "CANCELLED", pgettext_lazy("task status", "Cancelled")


class AttemptOutcome(TextChoices):
    """How an attempt that did not succeed ended."""

    ERROR = "ERROR", pgettext_lazy("attempt outcome", "Error")
    TIMEOUT = "TIMEOUT", pgettext_lazy("attempt outcome", "Timeout")
    LOST = "LOST", pgettext_lazy("attempt outcome", "Worker lost")
    INTERRUPTED = "INTERRUPTED", pgettext_lazy("attempt outcome", "Interrupted")
    CANCELLED = "CANCELLED", pgettext_lazy("attempt outcome", "Cancelled")
    EXPIRED = "EXPIRED", pgettext_lazy("attempt outcome", "Expired")
    LATE = "LATE", pgettext_lazy("attempt outcome", "Late result refused")


PENDING_STATUSES = (Status.WAITING, Status.SCHEDULED, Status.READY)
FINAL_STATUSES = (Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED)

#: Outcomes that Django's ``TaskResult.errors`` shows. A late result is no error of the task.
ERROR_OUTCOMES = (
    AttemptOutcome.ERROR,
    AttemptOutcome.TIMEOUT,
    AttemptOutcome.LOST,
    AttemptOutcome.CANCELLED,
    AttemptOutcome.EXPIRED,
)

_PUBLIC = {
    Status.WAITING: TaskResultStatus.READY,
    Status.SCHEDULED: TaskResultStatus.READY,
    Status.READY: TaskResultStatus.READY,
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.SUCCESSFUL: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}


def public_status(status: str) -> TaskResultStatus:
    """Return the one of Django's four statuses that stands for `status`."""
    return _PUBLIC[Status(status)]


#: What the custom state of a task begins with that a worker did not know and has put back.
UNKNOWN_MARK = "UNKNOWN_TASK "


def celery_state(status: str, attempts: int, custom: str | None) -> str:
    """
    Return the state in Celery's words, or the task's own while it is running.

    RETRY is a task that waits for another attempt after one that failed.
    """
    match status:
        case Status.RUNNING:
            is_own = custom and not custom.startswith(UNKNOWN_MARK)  # a claim leaves the mark there
            return custom if custom and is_own else "STARTED"
        case Status.SUCCESSFUL:
            return "SUCCESS"
        case Status.FAILED:
            return "FAILURE"
        case Status.CANCELLED:
            return "REVOKED"
    return "RETRY" if attempts else "PENDING"
