"""
Signals of django_tasks.

The first three are those of django.tasks; the sender is the backend class and `task_result` the
one keyword argument. The worker sends them only when somebody listens.
"""

from __future__ import annotations

from django.dispatch import Signal

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
