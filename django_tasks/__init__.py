"""Background tasks for Django: queue, results and workers in the project's own database."""

from __future__ import annotations

from .definitions.context import TaskContext
from .definitions.progress import Progress
from .definitions.results import TaskError, TaskResult
from .definitions.retries import exponential
from .definitions.task import Task, task
from .dep14.base import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    TASK_MAX_PRIORITY,
    TASK_MIN_PRIORITY,
    TaskResultStatus,
)
from .dep14.handler import default_task_backend, task_backends
from .exceptions import (
    Cancel,
    InvalidTask,
    InvalidTaskBackend,
    Retry,
    Snooze,
    SoftTimeLimitExceeded,
    TaskFailed,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    WaitTimeout,
)

__version__ = "0.1.0"

#: Tells this distribution's files from those of another one with the same import name.
__distribution__ = "django-tasks-engine"

__all__ = [
    "DEFAULT_TASK_BACKEND_ALIAS",
    "DEFAULT_TASK_PRIORITY",
    "DEFAULT_TASK_QUEUE_NAME",
    "TASK_MAX_PRIORITY",
    "TASK_MIN_PRIORITY",
    "Cancel",
    "InvalidTask",
    "InvalidTaskBackend",
    "Progress",
    "Retry",
    "Snooze",
    "SoftTimeLimitExceeded",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskFailed",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskResultStatus",
    "WaitTimeout",
    "default_task_backend",
    "exponential",
    "task",
    "task_backends",
]

#: Names of the backport of django.tasks before 0.9.
_OLD_NAMES = {
    "DEFAULT_PRIORITY": DEFAULT_TASK_PRIORITY,
    "DEFAULT_QUEUE_NAME": DEFAULT_TASK_QUEUE_NAME,
    "MAX_PRIORITY": TASK_MAX_PRIORITY,
    "MIN_PRIORITY": TASK_MIN_PRIORITY,
    "ResultStatus": TaskResultStatus,
    "TASK_DEFAULT_PRIORITY": DEFAULT_TASK_PRIORITY,
    "tasks": task_backends,
}


def __getattr__(name: str) -> object:
    if name in _OLD_NAMES:
        import warnings

        warnings.warn(
            f"django_tasks.{name} is a name of the old django.tasks backport; see"
            " django_tasks.__all__ for today's names.",
            DeprecationWarning,
            stacklevel=2,
        )
        return _OLD_NAMES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
