"""Whether the code that asks runs inside of a task body."""

from __future__ import annotations

from contextvars import ContextVar
from uuid import UUID

#: The id of the task whose body runs here, or None.
current_task_id: ContextVar[UUID | None] = ContextVar("django_tasks_current_task_id", default=None)


def is_inside_a_task() -> bool:
    """Tell whether a worker called the code that asks."""
    return current_task_id.get() is not None
