"""Build the call that a schedule enqueues: its task, the row's options, arguments that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ... import serializers
from ...conf import app_settings, suggest
from ...definitions import registry
from ...definitions.backends import is_storing
from ...definitions.protocols import AnyTask, StoringBackend
from ...definitions.signatures import checker_of
from ...dep14.handler import task_backends
from ...exceptions import InvalidTask, InvalidTaskBackend
from ...models import Schedule
from ...routing import is_queue_name


class UnknownTask(ValidationError):
    """No task of this path is known in this process; another version of the code may know it."""

    def __init__(self, path: str) -> None:
        known = [task.module_path for task in registry.known_tasks()]
        text = _("There is no task %(path)r.") % {"path": path}
        super().__init__({"task_path": text.removesuffix(".") + (suggest(path, known) or ".")})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledCall:
    """A call that can be enqueued. `args` and `kwargs` are JSON as records store it."""

    task: AnyTask
    backend: StoringBackend
    args: str
    kwargs: str

    @property
    def queue_name(self) -> str:
        return self.task.queue_name


def call_of(row: Schedule, database: str) -> ScheduledCall:
    """
    Return what the row enqueues to `database`.

    Raise UnknownTask for a path without a task, ValidationError with the column's name for
    arguments that do not fit its function, or a backend, queue or priority that it cannot have.
    """
    known = registry.find(row.task_path)
    if known is None:
        raise UnknownTask(row.task_path)
    args, kwargs = _arguments(row, known)
    backend = _backend(row.backend or known.backend, database)
    return ScheduledCall(
        task=_with_options(known, row, backend), backend=backend, args=args, kwargs=kwargs
    )


def _arguments(row: Schedule, task: AnyTask) -> tuple[str, str]:
    args = _loaded(row.args, "args", list, _("Not a JSON list, as [1, 2]."))
    kwargs = _loaded(row.kwargs, "kwargs", dict, _('Not a JSON object, as {"x": 1}.'))
    try:
        checker_of(task.func, task.takes_context).check(args, kwargs)
    except TypeError as error:
        field = _misfit(task, args, kwargs)
        raise ValidationError({field: str(error)}) from None
    limit = app_settings.MAX_ARGS_BYTES
    args_json = _dumped(args, "args", limit)
    return args_json, _dumped(kwargs, "kwargs", limit - len(args_json))


def _loaded(text: str, field: str, kind: type, message: str) -> Any:
    try:
        value = serializers.loads(text)
    except (ValueError, RecursionError):
        raise ValidationError({field: message}) from None
    if not isinstance(value, kind):
        raise ValidationError({field: message})
    return value


def _dumped(value: Any, field: str, limit: int) -> str:
    try:
        return serializers.dumps(value, field, limit)
    except (TypeError, ValueError) as error:
        raise ValidationError({field: str(error)}) from None


def _misfit(task: AnyTask, args: list[Any], kwargs: dict[str, Any]) -> str:
    """Return which of the two columns does not fit: missing arguments are a matter of `args`."""
    signature = checker_of(task.func, task.takes_context).signature
    try:
        signature.bind_partial(*args)
    except TypeError:
        return "args"
    return "kwargs" if kwargs else "args"


def _backend(alias: str, database: str) -> StoringBackend:
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend as error:
        raise ValidationError({"backend": str(error)}) from None
    if not is_storing(backend):
        raise ValidationError(
            {"backend": _("Backend %(alias)r does not store its tasks.") % {"alias": alias}}
        )
    if backend.database != database:
        raise ValidationError(
            {
                "backend": _(
                    "Backend %(alias)r stores its tasks in database %(other)r, not in"
                    " %(database)r, where this schedule is."
                )
                % {"alias": alias, "other": backend.database, "database": database}
            }
        )
    return backend


def _with_options(known: AnyTask, row: Schedule, backend: StoringBackend) -> AnyTask:
    options: dict[str, Any] = {"backend": backend.alias}
    if row.queue_name:
        options["queue_name"] = row.queue_name
    if row.priority is not None:
        options["priority"] = row.priority
    task: AnyTask = known.restored(**options)
    if not is_queue_name(task.queue_name):
        raise ValidationError(
            {"queue_name": _("Up to 100 characters without spaces, commas or '*'.")}
        )
    try:
        backend.validate_task(task)
    except InvalidTask as error:
        field = "priority" if "priority" in str(error) else "queue_name"
        raise ValidationError({field: str(error)}) from None
    return task
