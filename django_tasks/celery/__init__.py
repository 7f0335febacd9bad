"""
Celery's names for what django_tasks does: ``from django_tasks.celery import shared_task``.

Modules below have the names that they have in Celery. `install()` makes ``import celery`` itself
lead here.
"""

from __future__ import annotations

from ._state import current_app, current_task
from .app import shared_task
from .app.base import Celery
from .app.task import Task
from .canvas import Signature, maybe_signature, signature, subtask
from .installation import install
from .utils import uuid

__all__ = [
    "Celery",
    "Signature",
    "Task",
    "current_app",
    "current_task",
    "install",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
]

#: The version of Celery whose names these are, for code that compares it.
__version__ = VERSION = "5.6.0"
SERIES = "django_tasks"


def __getattr__(name: str) -> object:
    from . import canvas

    try:
        return getattr(canvas, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
