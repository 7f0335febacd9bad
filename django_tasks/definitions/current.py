"""Whether the code that asks runs inside of a task body, and of which."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple
from uuid import UUID

#: The id of the task whose body runs here, or None.
current_task_id: ContextVar[UUID | None] = ContextVar("django_tasks_current_task_id", default=None)


class CurrentTask(NamedTuple):
    """What a propagator may know of the task whose context it restores."""

    id: UUID
    path: str
    queue_name: str
    #: The number of this attempt, from 1 on.
    attempt: int


#: Set before propagators restore a body's context, and without propagators never.
current_task: ContextVar[CurrentTask | None] = ContextVar("django_tasks_current_task", default=None)


def is_inside_a_task() -> bool:
    """Tell whether a worker called the code that asks."""
    return current_task_id.get() is not None
