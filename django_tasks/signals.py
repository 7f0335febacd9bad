"""
Signals of django_tasks.

The first three are those of django.tasks; the sender is the backend class and `task_result` the
one keyword argument. The worker sends them only when somebody listens.
"""

from __future__ import annotations

import logging

from django.dispatch import Signal

from .dep14.private import live_receivers
from .dep14.signals import task_enqueued, task_finished, task_started

__all__ = [
    "task_enqueued",
    "task_finished",
    "task_retried",
    "task_started",
    "worker_started",
    "worker_stopped",
]

#: A failed attempt will be followed by another. Sender: backend class; `task_result`.
task_retried = Signal()

#: In each process of a worker that runs tasks, before its first and after its last task.
#: Sender: None; `worker_id` (str) and `process` (int, counts the processes of that worker).
worker_started = Signal()
worker_stopped = Signal()

#: Django's own receivers write each transition to this logger.
_django_logger = logging.getLogger("django.tasks")


def has_listeners(signal: Signal, sender: type, level: int = logging.INFO) -> bool:
    """
    Tell whether sending `signal` would reach anybody.

    Building a TaskResult for nobody is the dearest part of a short task.

    Django connects receivers that log; they count only where that log goes somewhere. `level`:
    what they would log at.
    """
    receivers = live_receivers(signal, sender)
    for group in receivers:
        for receiver in group:
            if not _only_logs(receiver):
                return True
    return bool(any(receivers)) and is_heard(_django_logger, level)


def _only_logs(receiver: object) -> bool:
    module: str = getattr(receiver, "__module__", "")
    return module in ("django.tasks.signals", "django_tasks.dep14._django52.signals")


def is_heard(logger: logging.Logger, level: int) -> bool:
    """Tell whether a record of `level` would reach a handler that was set up for this logger."""
    return bool(logger.handlers) and logger.isEnabledFor(level)
