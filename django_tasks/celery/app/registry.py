"""The tasks of the façade, by name. All apps of a process share them."""

from __future__ import annotations

from typing import Any

from ..exceptions import InvalidTaskError, NotRegistered

__all__ = ["TaskRegistry", "tasks"]


class TaskRegistry(dict[str, Any]):
    """Task instances by name."""

    NotRegistered = NotRegistered

    def __missing__(self, key: str) -> Any:
        raise self.NotRegistered(key)

    def register(self, task: Any) -> None:
        """Add an instance, or one of a class. Raise InvalidTaskError for a task without a name."""
        if not task.name:
            raise InvalidTaskError(
                f"Task class {type(task).__name__!r} must specify .name attribute"
            )
        self[task.name] = task() if isinstance(task, type) else task

    def unregister(self, name: Any) -> None:
        """Remove a task, given as it is or by name. Raise NotRegistered."""
        try:
            self.pop(getattr(name, "name", name))
        except KeyError:
            raise self.NotRegistered(name) from None

    def regular(self) -> dict[str, Any]:
        """Return all: no task is periodic by its class."""
        return dict(self)


tasks = TaskRegistry()
