"""
The schedules that code and settings declare.

They stand in three places: ``@task(schedule=…)``, ``DJANGO_TASKS["SCHEDULES"]`` and Celery's
``CELERY_BEAT_SCHEDULE``. A name that stands in several is taken from the settings first, then from
the task, then from Celery's. `store.schedules.sync` makes rows of what is read here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

from ..conf import app_settings, suggest
from ..exceptions import InvalidTask
from . import celery_settings, registry
from .protocols import AnyTask
from .schedule_options import COLUMNS, InvalidDeclaration, columns_of

#: Longest name of a schedule: the column's width.
MOST_CHARACTERS = 200

_DATETIMES = {"anchor_at", "clocked_at", "start_at", "end_at"}
_JSON = {"args", "kwargs"}


class Source(Enum):
    """Where a schedule is declared."""

    CELERY = "CELERY_BEAT_SCHEDULE"
    TASK = "@task"
    SETTINGS = 'DJANGO_TASKS["SCHEDULES"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One schedule as it is declared: a value for each of `COLUMNS`."""

    name: str
    #: The backend that it enqueues on.
    backend: str
    columns: Mapping[str, Any]

    def as_json(self) -> str:
        """Return the columns as text that is equal when they are."""
        return to_json(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one declaration."""

    name: str
    source: Source
    message: str
    #: Its task is not registered: nothing else is wrong.
    is_unknown_task: bool = False
    #: False: the schedule is declared all the same.
    is_left_out: bool = True

    @property
    def is_expected(self) -> bool:
        """Whether it is as it should be while a project moves away from Celery."""
        is_celerys = self.source is Source.CELERY
        return is_celerys and (self.is_unknown_task or not self.is_left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """All that is declared, by name, and what is wrong."""

    declarations: Mapping[str, Declaration]
    problems: tuple[Problem, ...]


class UnknownTask(InvalidDeclaration):
    """The declaration names a task that is not registered."""


def collect() -> Collection:
    """Read the three places; what is wrong in one declaration does not touch the others."""
    declarations: dict[str, Declaration] = {}
    problems: list[Problem] = []
    for source, name, read in _all():
        declarations.pop(name, None)  # a later place wins, be it right or wrong
        try:
            declarations[name], ignored = read()
        except InvalidDeclaration as error:
            is_unknown = isinstance(error, UnknownTask)
            problems.append(
                Problem(name=name, source=source, message=str(error), is_unknown_task=is_unknown)
            )
        else:
            problems += [
                Problem(name=name, source=source, message=text, is_left_out=False)
                for text in ignored
            ]
    return Collection(declarations=declarations, problems=tuple(problems))


def check(task: AnyTask) -> None:
    """Raise InvalidTask unless the task's own schedules can be read."""
    try:
        for name, options in _of_task(task):
            _declare(name, task, options)
    except InvalidDeclaration as error:
        raise InvalidTask(f"{task.module_path}: schedule: {error}") from None


def is_schedulable(task: AnyTask) -> bool:
    """Tell whether the admin offers `task`: those with a schedule in code unless they refuse."""
    if task.schedulable is not None:
        return task.schedulable
    if task.schedule is not None or app_settings.SCHEDULABLE_BY_DEFAULT:
        return True
    entries = [*app_settings.SCHEDULES.values(), *celery_settings.found().values()]
    return any(isinstance(e, Mapping) and e.get("task") == task.module_path for e in entries)


def schedulable_tasks() -> list[AnyTask]:
    """Return the tasks that the admin offers for schedules, ordered by path."""
    return [task for task in registry.known_tasks() if is_schedulable(task)]


# --- what a row has, and what the code says ------------------------------------------------------


def to_json(columns: Mapping[str, Any]) -> str:
    """Return columns as text that is equal when they are."""
    plain = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in columns.items()
    }
    return json.dumps(plain, sort_keys=True)


def from_json(text: str) -> dict[str, Any]:
    """Return the columns that to_json() made this text of."""
    return {
        name: datetime.fromisoformat(value) if name in _DATETIMES and value else value
        for name, value in json.loads(text).items()
        if name in COLUMNS  # one that a later version wrote, and this one does not have
    }


def drift_of(row: Any) -> dict[str, tuple[Any, Any]]:
    """
    Return where a schedule's row departs from its declaration: (row's, code's) by column.

    Empty for the admin's own.
    """
    return differences(row) if row.owner == "CODE" else {}


def differences(row: Any) -> dict[str, tuple[Any, Any]]:
    """
    Return what drift_of() does, also for a row that was imported.

    Empty for a declaration that cannot be read: the next sync writes it anew.
    """
    if not row.declared:
        return {}
    try:
        declared = from_json(row.declared)
    except (ValueError, TypeError, AttributeError):  # no JSON, no moment, no object
        return {}
    pairs = {name: (getattr(row, name), value) for name, value in declared.items()}
    return {name: pair for name, pair in pairs.items() if not is_same(name, *pair)}


def is_same(name: str, of_row: Any, of_code: Any) -> bool:
    if name == "anchor_at" and of_code is None:
        return True  # the row counts from the moment that it was first saved
    if name in _JSON:
        return _canonical(of_row) == _canonical(of_code)
    return bool(of_row == of_code)


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


# --- the three places ----------------------------------------------------------------------------

_Read: TypeAlias = Callable[[], tuple[Declaration, tuple[str, ...]]]


def _all() -> Iterator[tuple[Source, str, _Read]]:
    """Yield (source, name, function that reads it); of one name, the one that wins last."""
    for name, entry in celery_settings.found().items():
        yield Source.CELERY, str(name), partial(_read_celery, name, entry)
    for task in registry.known_tasks():
        for name, options in _of_task(task) if task.schedule is not None else ():
            yield Source.TASK, name, partial(_read_options, name, task, options)
    for name, entry in app_settings.SCHEDULES.items():
        yield Source.SETTINGS, str(name), partial(_read_entry, name, entry)


def _read_celery(name: Any, entry: Any) -> tuple[Declaration, tuple[str, ...]]:
    path, options, ignored = celery_settings.translated(entry)
    return _declare(name, _task_of(path), options), ignored


def _read_options(
    name: str, task: AnyTask, options: Mapping[str, Any]
) -> tuple[Declaration, tuple[str, ...]]:
    return _declare(name, task, options), ()


def _read_entry(name: Any, entry: Any) -> tuple[Declaration, tuple[str, ...]]:
    if not isinstance(entry, Mapping):
        raise InvalidDeclaration(
            f'write it as {{"task": "app.tasks.name", "schedule": …}}, not {entry!r}.'
        )
    if "task" not in entry:
        raise InvalidDeclaration('it lacks "task", the path of a task.')
    options = {key: value for key, value in entry.items() if key != "task"}
    return _declare(name, _task_of(entry["task"]), options), ()


def _of_task(task: AnyTask) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield the name and options of each schedule in ``@task(schedule=…)``."""
    from ..schedules import Spec

    given = task.schedule
    path = task.module_path
    if isinstance(given, Spec):
        yield path, {"schedule": given}
    elif not isinstance(given, Mapping) or not given:
        raise InvalidDeclaration(
            "give crontab(…), every(…), solar(…) or clocked(…), or a dict of names and schedules,"
            f" not {given!r}."
        )
    elif "schedule" in given:
        yield path, given
    else:
        for name, options in given.items():
            is_dict = isinstance(options, Mapping)
            yield f"{path}:{name}", options if is_dict else {"schedule": options}


def _task_of(path: Any) -> AnyTask:
    task = registry.find(path) if isinstance(path, str) else None
    if task is None:
        known = [each.module_path for each in registry.known_tasks()]
        raise UnknownTask(f"no task is registered as {path!r}{suggest(path, known)}.")
    return task


def _declare(name: Any, task: AnyTask, options: Mapping[str, Any]) -> Declaration:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MOST_CHARACTERS:
        raise InvalidDeclaration(
            f"its name must be text of 1 to {MOST_CHARACTERS} characters, not {name!r}."
        )
    columns = columns_of(task, options)
    return Declaration(name=name, backend=columns["backend"] or task.backend, columns=columns)
