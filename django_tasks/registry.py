"""
The tasks that this process knows, by dotted path.

It is filled by decorating, and is the only way from a stored path to code: nothing is imported
because a row names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Task

_tasks: dict[str, Task[..., Any]] = {}


def register(task: Task[..., Any]) -> None:
    """Remember `task` under its path; copies made by using() do not replace the original."""
    if not is_copy(task):
        _tasks[task.module_path] = task


def is_copy(task: Task[..., Any]) -> bool:
    """Tell whether `task` was made of one that is known, by using()."""
    known = _tasks.get(task.module_path)
    return known is not None and known.func is task.func


def find(path: str) -> Task[..., Any] | None:
    """Return the task decorated at `path`, or None."""
    return _tasks.get(path)


def known_tasks() -> Iterator[Task[..., Any]]:
    """Yield the decorated tasks, ordered by path."""
    return iter([_tasks[path] for path in sorted(_tasks)])
