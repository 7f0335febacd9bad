"""
The tasks that workflows bring along. `registry.find` imports them when it is asked for one.

So a project without workflows does not have them in its lists of tasks.
"""

from __future__ import annotations

from typing import Any

from ..dep14.base import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_QUEUE_NAME
from ..dep14.handler import task_backends
from . import registry
from .context import TaskContext
from .task import task

# Calls are given the backend and queue of other tasks. These are ones that the project has.
_aliases = list(task_backends.settings)
_BACKEND = DEFAULT_TASK_BACKEND_ALIAS
if _BACKEND not in _aliases:
    _BACKEND = _aliases[0]
_queues = task_backends[_BACKEND].queues
_QUEUE = DEFAULT_TASK_QUEUE_NAME
if _queues and _QUEUE not in _queues:
    _QUEUE = min(_queues)


@task(takes_context=True, backend=_BACKEND, queue_name=_QUEUE, schedulable=False)
def starmap(context: TaskContext, path: str, calls: list[list[Any]]) -> list[Any]:
    """Call the task at `path` with the arguments of each call; return the list of values."""
    called = registry.find(path)
    if called is None:
        raise LookupError(f"There is no task {path!r} in this process.")
    own = (context,) if called.takes_context else ()
    return [called.call(*own, *args) for args in calls]


@task(backend=_BACKEND, queue_name=_QUEUE, schedulable=False)
def collect(value: Any) -> Any:
    """Return `value`: the one end of a group whose members may fail."""
    return value
