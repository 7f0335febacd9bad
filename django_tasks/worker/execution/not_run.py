"""Decide how a claim ends whose body did not run, or ran for nothing."""

from __future__ import annotations

import logging
import math
import time

from ...conf import app_settings
from ...runtime.printing import printable
from ...statuses import AttemptOutcome
from ...store.tasks import unknown
from ...store.values import Attempt, Claim, Ending, EndingKind
from .jobs import Job

logger = logging.getLogger("django_tasks.worker")

#: Seconds between two looks at a task that no worker knows, at most.
LONGEST_PAUSE = 3600.0
#: Seconds between two lines of one path.
LINE_INTERVAL = 60.0
PATHS_REMEMBERED = 1000


def unknown_task(job: Job) -> Ending:
    """
    Put a task back that this code does not know: another release may, in a rolling deploy.

    The pauses grow: what was renamed or removed for good costs less and less, and FAILS at last.
    """
    claim, waited = job.claim, job.waited
    limit = app_settings.UNKNOWN_TASK_TIMEOUT
    if limit is not None and waited >= limit:
        return _given_up(claim, waited)
    delay = min(max(app_settings.UNKNOWN_TASK_DELAY, waited), LONGEST_PAUSE)
    if _lines.allows(claim.task_path, time.monotonic()):
        logger.warning(
            "Task %s (%s) is not known to this worker, which imports the `tasks` module of each app"
            " in INSTALLED_APPS and DJANGO_TASKS['TASK_MODULES']. It and others of this path are"
            " put back, this one for %g s. Deploy the code, or cancel them in the admin.",
            claim.id, printable(claim.task_path), delay,
            extra={"task_id": str(claim.id), "path": claim.task_path},
        )  # fmt: skip
    ending = Ending.of(claim, EndingKind.SNOOZE, delay=delay)
    ending.fields["custom_state"] = unknown.mark(claim, waited + max(delay, 1.0))
    return ending


def _given_up(claim: Claim, waited: float) -> Ending:
    reason = (
        f"No worker knew {claim.task_path} for {waited:.0f} seconds. Deploy code that has it, under"
        " this path, and run the task again."
    )
    attempt = Attempt(
        outcome=AttemptOutcome.ERROR,
        exception_path="django_tasks.exceptions.TaskUnknown",
        traceback=f"django_tasks.exceptions.TaskUnknown: {reason}\n",
    )
    return Ending.of(claim, EndingKind.FAIL, attempt)


def unknown_context(claim: Claim, path: str) -> Ending:
    """Put a task back that would run without what travelled with it: as what is not known."""
    logger.warning(
        "Task %s (%s) carries what %r captured, which is not in this worker's"
        " DJANGO_TASKS['CONTEXT_PROPAGATORS']; looking again in %g s.",
        claim.id, printable(claim.task_path), printable(path), app_settings.UNKNOWN_TASK_DELAY,
        extra={"task_id": str(claim.id), "path": claim.task_path},
    )  # fmt: skip
    return _put_back(claim)


class _Lines:
    """One line per path and minute, in each process: a thousand rows are one mistake."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def allows(self, path: str, now: float) -> bool:
        """Tell whether a line of this path is due, and note it."""
        if now - self._last.get(path, -math.inf) < LINE_INTERVAL:
            return False
        if len(self._last) >= PATHS_REMEMBERED:
            self._last.clear()
        self._last[path] = now
        return True


_lines = _Lines()


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
