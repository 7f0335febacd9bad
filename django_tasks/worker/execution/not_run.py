"""Decide how a claim ends whose body did not run, or ran for nothing."""

from __future__ import annotations

import logging

from ...conf import app_settings
from ...runtime.printing import printable
from ...statuses import AttemptOutcome
from ...store.values import Attempt, Claim, Ending, EndingKind

logger = logging.getLogger("django_tasks.worker")


def unknown_task(claim: Claim) -> Ending:
    """Put a task back that this code does not know: another release may, in a rolling deploy."""
    logger.warning(
        "Task %s (%s) is not known to this worker, which imports the `tasks` module of each app in"
        " INSTALLED_APPS and DJANGO_TASKS['TASK_MODULES']; looking again in %g s.",
        claim.id, printable(claim.task_path), app_settings.UNKNOWN_TASK_DELAY,
        extra={"task_id": str(claim.id), "path": claim.task_path},
    )  # fmt: skip
    return _put_back(claim)


def unknown_context(claim: Claim, path: str) -> Ending:
    """Put a task back that would run without what travelled with it: as what is not known."""
    logger.warning(
        "Task %s (%s) carries what %r captured, which is not in this worker's"
        " DJANGO_TASKS['CONTEXT_PROPAGATORS']; looking again in %g s.",
        claim.id, printable(claim.task_path), printable(path), app_settings.UNKNOWN_TASK_DELAY,
        extra={"task_id": str(claim.id), "path": claim.task_path},
    )  # fmt: skip
    return _put_back(claim)


def _put_back(claim: Claim) -> Ending:
    ending = Ending.of(claim, EndingKind.SNOOZE, delay=app_settings.UNKNOWN_TASK_DELAY)
    ending.fields["custom_state"] = None
    return ending


def expired(claim: Claim) -> Ending:
    """End a task that was claimed after its expires_at."""
    attempt = Attempt(
        outcome=AttemptOutcome.EXPIRED,
        exception_path="django_tasks.exceptions.TaskExpired",
        traceback="django_tasks.exceptions.TaskExpired: The task was not started before it"
        " expired.\n",
    )
    return Ending.of(claim, EndingKind.EXPIRE, attempt)


def given_back(claim: Claim, delay: float = 0.0) -> Ending:
    """Give a task back that was not started."""
    return Ending.of(claim, EndingKind.RELEASE, delay=delay)


def late(claim: Claim) -> Ending:
    """Say that the claim was lost while the body ran."""
    return Ending.of(claim, EndingKind.LATE, Attempt(outcome=AttemptOutcome.LATE))
