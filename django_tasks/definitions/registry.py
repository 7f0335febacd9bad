"""
The tasks that this process knows, by dotted path.

It is filled by decorating, and is the only way from a stored path to code: nothing is imported
because a row names it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple

from ..exceptions import InvalidTask
from .protocols import AnyTask

_tasks: dict[str, AnyTask] = {}
_places: dict[str, _Place] = {}
#: The path of a task by each other name that it has.
_aliases: dict[str, str] = {}

#: Where the tasks are that come with the package.
_BUILT_IN = "django_tasks.definitions.built_in."
#: Whose code stands between a task and the line that makes it.
_MAKERS = ("django_tasks.", "django.tasks.")


class _Place(NamedTuple):
    """Where a task was made."""

    file: str
    line: int
    #: Of the modules that made it, and that its path names (a wrapper takes a path along): their
    #: specs. When a module is run again, it has another one.
    specs: dict[str, Any]

    @classmethod
    def of(cls, task: AnyTask) -> _Place:
        frame: FrameType | None = sys._getframe(1)
        while frame and str(frame.f_globals.get("__name__")).startswith(_MAKERS):
            frame = frame.f_back
        assert frame is not None
        names = (str(frame.f_globals.get("__name__")), str(task.func.__module__))
        specs = {name: getattr(sys.modules.get(name), "__spec__", None) for name in names}
        return cls(frame.f_code.co_filename, frame.f_lineno, specs)

    def is_run_again(self, before: _Place) -> bool:
        """Tell whether this is the same code as `before`, or a newer version of it."""
        # Scripts, shells and notebooks are run piece by piece.
        is_piecemeal = self.file.startswith("<") or "__main__" in self.specs
        return is_piecemeal or any(
            spec is not before.specs[name]
            for name, spec in self.specs.items()
            if name in before.specs
        )

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def register(task: AnyTask) -> None:
    """
    Remember `task` under its path; copies made by using() do not replace the original.

    Raise InvalidTask if another function has the path: rows name a task by it.
    """
    if not is_copy(task):
        _remember(task)


def register_decorated(task: AnyTask) -> None:
    """
    Raise InvalidTask if a decorator has just made a second task, with other options, of one.

    What is made for a backend with a class of tasks of its own is taken for a copy, as django.tasks
    has it.
    """
    known = _tasks.get(task.module_path)
    if known is None or (type(known) is type(task) and known != task):
        _remember(task)


def _remember(task: AnyTask) -> None:
    path = task.module_path
    place, before = _Place.of(task), _places.get(path)
    if path in _tasks and before and not place.is_run_again(before):
        raise InvalidTask(
            f"{path} is a task already, made at {before}; that of {place} would take its place."
            " Rows name a task by this path: give one of them a function of another name, or use"
            " .using() for other options of a call."
        )
    for alias in task.aliases:
        if _aliases.get(alias, path) != path:
            raise InvalidTask(f"{path}: {_aliases[alias]} has the alias {alias!r} already.")
    _tasks[path], _places[path] = task, place
    _aliases.update(dict.fromkeys(task.aliases, path))


def is_copy(task: AnyTask) -> bool:
    """Tell whether `task` was made of one that is known, by using()."""
    known = _tasks.get(task.module_path)
    return known is not None and known.func is task.func


def find(path: str) -> AnyTask | None:
    """Return the task decorated at `path`, or with that name or alias; None if there is none."""
    task = _tasks.get(path)
    if task is not None:
        return task
    if path.startswith(_BUILT_IN):
        from . import built_in  # noqa: F401 - decorates them, when the first one is needed

    return _tasks.get(_aliases.get(path, path))


def known_tasks() -> Iterator[AnyTask]:
    """Yield the decorated tasks, ordered by path."""
    return iter([_tasks[path] for path in sorted(_tasks)])
