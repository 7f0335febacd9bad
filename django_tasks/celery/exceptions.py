"""Celery's exceptions. What a body raises to say what follows is translated in `app.trace`."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from ..exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from ..exceptions import WorkerLost as WorkerLostError

__all__ = [
    "AlreadyRegistered",
    "BackendError",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "RetryTaskError",
    "SecurityError",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
]


class CeleryWarning(UserWarning):
    """Base of Celery's warnings."""


class AlwaysEagerIgnored(CeleryWarning):
    """A task was sent by name although tasks are to run eagerly."""


class CeleryError(Exception):
    """Base of Celery's errors."""


class OperationalError(Exception):
    """A broker could not be reached, as kombu calls it. Nothing here raises it."""


class TaskPredicate(CeleryError):
    """Base of what a body raises to say what follows."""


class Retry(TaskPredicate):
    """
    The task is to run again.

    `exc`: why. `when`: seconds from now, or a datetime; None: at once. `sig`: the call that
    follows, for those that run eagerly.
    """

    message: str | None = None
    exc: BaseException | None = None
    when: float | datetime | None = None

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
    ) -> None:
        self.message = message
        self.exc = None if isinstance(exc, str) else exc
        self.excs = exc if isinstance(exc, str) else repr(exc) if exc else None
        self.when = when
        self.is_eager = is_eager
        self.sig = sig
        super().__init__(message, exc, when)

    def humanize(self) -> str:
        """Say when it runs again."""
        if isinstance(self.when, (int, float)):
            return f"in {self.when}s"
        return f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        if self.excs:
            return f"Retry {self.humanize()}: {self.excs}"
        return f"Retry {self.humanize()}"

    def __reduce__(self) -> Any:
        return self.__class__, (self.message, self.exc, self.when)


RetryTaskError = Retry


class Ignore(TaskPredicate):
    """The task ends, and its state stays what the body made it."""


class Reject(TaskPredicate):
    """The task ends without a result, or (`requeue`) runs again at once."""

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(reason, requeue)

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class ImproperlyConfigured(CeleryError):
    """The app's configuration is wrong."""


class SecurityError(CeleryError):
    """Kept for imports: there are no signed messages."""


class TaskError(CeleryError):
    """Base of errors about tasks."""


class QueueNotFound(KeyError, TaskError):
    """Kept for imports: any queue may be named."""


class IncompleteStream(TaskError):
    """Kept for imports."""


class NotRegistered(KeyError, TaskError):
    """No task has this name."""

    def __repr__(self) -> str:
        return f"Task of kind {self} never registered, please make sure it's imported."


class AlreadyRegistered(TaskError):
    """Kept for imports."""


class TimeoutError(TaskError, builtins.TimeoutError):
    """The task did not finish in the time that was given."""


class MaxRetriesExceededError(TaskError):
    """The task was retried as often as it may be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_args = kwargs.pop("task_args", [])
        self.task_kwargs = kwargs.pop("task_kwargs", {})
        super().__init__(*args, **kwargs)


class TaskRevokedError(TaskError):
    """The task was revoked: there is no result."""


class InvalidTaskError(TaskError):
    """The task's data are wrong."""


class ChordError(TaskError):
    """A part of a chord failed."""


class WorkerTerminate(SystemExit):
    """Kept for imports: workers stop by signals, or by control.shutdown()."""


SystemTerminate = WorkerTerminate


class WorkerShutdown(SystemExit):
    """Kept for imports, as WorkerTerminate."""


class BackendError(Exception):
    """Kept for imports: what the database raises is the database's own error."""


class BackendGetMetaError(BackendError):
    """Kept for imports."""


class BackendStoreError(BackendError):
    """Kept for imports."""
