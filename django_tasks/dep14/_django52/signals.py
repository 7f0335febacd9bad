import logging
import sys
from typing import Any

from django.dispatch import Signal, receiver

from .base import TaskResult, TaskResultStatus

logger = logging.getLogger("django.tasks")

# The sender is the backend's class; receivers get ``task_result``.
task_enqueued = Signal()
task_started = Signal()
task_finished = Signal()


@receiver(task_enqueued)
def log_task_enqueued(sender: Any, task_result: TaskResult, **kwargs: Any) -> None:
    logger.debug(
        "Task id=%s path=%s enqueued backend=%s",
        task_result.id,
        task_result.task.module_path,
        task_result.backend,
    )


@receiver(task_started)
def log_task_started(sender: Any, task_result: TaskResult, **kwargs: Any) -> None:
    _log_state(logging.INFO, task_result)


@receiver(task_finished)
def log_task_finished(sender: Any, task_result: TaskResult, **kwargs: Any) -> None:
    failed = task_result.status == TaskResultStatus.FAILED
    # A failure is sent from inside the except block, so the exception is still at hand.
    exc_info = sys.exc_info()
    _log_state(
        logging.ERROR if failed else logging.INFO,
        task_result,
        # With no exception at hand, (None, None, None) would be logged as "NoneType: None".
        exc_info=exc_info if exc_info[0] else None,
    )


def _log_state(level: int, task_result: TaskResult, exc_info: Any = None) -> None:
    logger.log(
        level,
        "Task id=%s path=%s state=%s",
        task_result.id,
        task_result.task.module_path,
        task_result.status,
        exc_info=exc_info,
        stacklevel=2,
    )
