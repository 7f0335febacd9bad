"""Signals over the life of a task; importing this connects the "django.tasks" log receivers."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks.signals import task_enqueued, task_finished, task_started
else:
    from ._django52.signals import task_enqueued, task_finished, task_started

__all__ = ["task_enqueued", "task_finished", "task_started"]
