"""Apps and tasks."""

from __future__ import annotations

from typing import Any

from .. import _state
from .._state import app_or_default, current_app
from .base import Celery

__all__ = ["Celery", "app_or_default", "default_app", "shared_task"]

default_app = current_app


def shared_task(*args: Any, **options: Any) -> Any:
    """Make a task of a function, for whichever app is the current one: see `Celery.task`."""
    return _state.get_current_app().task(*args, app=current_app, **options)
