"""
Exceptions of django_tasks.

    TaskException (django.tasks)
    ├── InvalidTask                 the task definition or call is wrong
    ├── InvalidTaskBackend          TASKS is wrong
    ├── TaskResultDoesNotExist, TaskResultMismatch
    └── TaskFailed                  result.wait(): the task failed or was cancelled
    WaitTimeout (TimeoutError)      result.wait(): not finished in time
    TaskControl                     raised by a task body to say what happens next
    ├── Retry, Snooze, Cancel
    SoftTimeLimitExceeded           raised in a task body at its soft_time_limit
    TaskInterruption (BaseException)
    ├── TaskInterrupted             raised in a body when its worker must stop now
    └── TaskCancelRequested         raised in a body when somebody cancels it
    TimeLimitExceeded, WorkerLost, TransactionLost, TaskCancelled, TaskExpired
                                    named in the attempts of a task, never raised in a body
"""

from __future__ import annotations

from datetime import timedelta

from .dep14.exceptions import (
    InvalidTask,
    InvalidTaskBackend,
    TaskException,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)

#: Names that the backport of django.tasks used until 0.12.
InvalidTaskError = InvalidTask
InvalidTaskBackendError = InvalidTaskBackend
ResultDoesNotExist = TaskResultDoesNotExist

__all__ = [
    "Cancel",
    "InvalidTask",
    "InvalidTaskBackend",
    "InvalidTaskBackendError",
    "InvalidTaskError",
    "ResultDoesNotExist",
    "Retry",
    "Snooze",
    "SoftTimeLimitExceeded",
    "TaskCancelRequested",
    "TaskCancelled",
    "TaskControl",
    "TaskException",
    "TaskExpired",
    "TaskFailed",
    "TaskInterrupted",
    "TaskInterruption",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TimeLimitExceeded",
    "TransactionLost",
    "WaitTimeout",
    "WorkerLost",
]


class TaskFailed(TaskException):
    """
    The task that was waited for ended in FAILED or CANCELLED.

    `exception_class_path` is the dotted path of the last error (empty when there was none) and
    `traceback` the text of its traceback on the worker.
    """

    def __init__(self, message: str, exception_class_path: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.exception_class_path = exception_class_path
        self.traceback = traceback

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\nOn the worker:\n{self.traceback}" if self.traceback else message


class WaitTimeout(TimeoutError):
    """The task did not finish while ``result.wait(timeout)`` waited for it."""


class TaskControl(Exception):
    """Base of the exceptions by which a task body says what happens next."""


#: Ten years: databases have no later dates for what computes them.
_LONGEST = 10 * 365 * 86400.0


def _seconds(delay: float | timedelta | None) -> float | None:
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    if delay is not None and not 0 <= delay < float("inf"):
        raise ValueError(f"delay must be a number of seconds from 0 on, not {delay!r}.")
    return None if delay is None else min(delay, _LONGEST)


class Retry(TaskControl):
    """
    Ask for another attempt.

    `delay`: seconds or a timedelta; None (default) takes the task's backoff, 0 is at once. It
    counts as an attempt: when `max_attempts` is spent, the task fails with this exception, or
    with the one it was raised from.
    """

    def __init__(self, delay: float | timedelta | None = None, message: str = "") -> None:
        self.delay = _seconds(delay)
        super().__init__(message or "The task asked for another attempt.")


class Snooze(TaskControl):
    """
    Run the task again after `delay` (seconds or a timedelta) without spending an attempt.
    """

    def __init__(self, delay: float | timedelta, message: str = "") -> None:
        self.delay = _seconds(delay) or 0.0
        super().__init__(message or f"The task snoozed for {self.delay:g} seconds.")


class Cancel(TaskControl):
    """End the task as CANCELLED, without another attempt."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "The task cancelled itself.")


class SoftTimeLimitExceeded(Exception):
    """The task ran for longer than its soft_time_limit; it may clean up until its time_limit."""


class TaskInterruption(BaseException):
    """
    Base of what the worker raises in a body from outside.

    Not an Exception, so that ``except Exception`` in a body does not swallow it.
    """


class TaskInterrupted(TaskInterruption):
    """The worker stops and the grace period is over: the task is given back unfinished."""


class TaskCancelRequested(TaskInterruption):
    """Somebody cancelled the running task."""


class TimeLimitExceeded(Exception):
    """The task ran for longer than its time_limit and its process was killed."""


class WorkerLost(Exception):
    """The process that ran the task died, or its worker's lease ran out."""


class TransactionLost(Exception):
    """The database cut off the transaction of a task with atomic=True; it is given back."""


class TaskCancelled(Exception):
    """The task was cancelled."""


class StepCancelled(Exception):
    """The step of a workflow was cancelled, as others ended in another way than it needs."""


class TaskUnknown(Exception):
    """No worker knew the task for UNKNOWN_TASK_TIMEOUT seconds."""


class TaskExpired(Exception):
    """The task was not started before its expires_at."""
