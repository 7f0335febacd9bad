"""The options of a task: their rules, and messages that say which one is wrong and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.timezone import is_aware

from .. import ids
from ..conf import suggest
from ..exceptions import InvalidTask
from ..routing import is_queue_name
from . import propagation
from .protocols import AnyTask

ON_LOST = ("retry", "fail")
MOST_ATTEMPTS = 1_000_000
#: Seconds of the longest time limit, delay or lifetime: a century.
LONGEST = 100 * 365 * 86400.0

#: Names that another system uses for an option of ours.
_ELSEWHERE = {
    "retries": "max_attempts (attempts in all, so one more than retries)",
    "max_retries": "max_attempts (attempts in all, so one more than retries)",
    "retry_backoff": "backoff",
    "default_retry_delay": "backoff",
    "autoretry_for": "retry_on",
    "dont_autoretry_for": "give_up_on",
    "timeout": "time_limit",
    "queue": "queue_name",
    "bind": "takes_context",
    "cron": 'schedule, as in schedule=crontab("0 7 * * *")',
    "run_every": "schedule, as in schedule=every(minutes=5)",
    "enqueue_on_commit": "the method task.enqueue_on_commit(): the database backend enqueues in"
    " the caller's transaction anyway",
}

#: Names that another system uses for what using() takes.
_OF_A_CALL = {
    "countdown": "run_after=timedelta(seconds=...)",
    "delay": "run_after=timedelta(seconds=...)",
    "eta": "run_after=..., an aware datetime",
    "queue": "queue_name=...",
    "retries": "max_attempts=... (attempts in all, so one more than retries)",
    "max_retries": "max_attempts=... (attempts in all, so one more than retries)",
    "job_id": "task_id=...",
}

#: Methods that tasks of other systems have, and what to call instead.
_METHODS = {
    "delay": ".enqueue(...)",
    "apply_async": ".enqueue(...), or .using(run_after=timedelta(seconds=...),"
    " queue_name=...).enqueue(...)",
    "delay_on_commit": ".enqueue_on_commit(...)",
    "apply_async_on_commit": ".enqueue_on_commit(...)",
    "apply": ".call(...)",
    "signature": ".s(...), or .si(...) to take no value of a task before it",
    "send": ".enqueue(...)",
    "send_with_options": ".using(run_after=timedelta(seconds=...)).enqueue(...)",
    "AsyncResult": ".get_result(id)",
}


def method_hint(name: str) -> str:
    """Return what to call instead of a method that Celery's tasks have; empty for others."""
    return f"; use {_METHODS[name]}" if name in _METHODS else ""


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for an option that tasks do not have."""
    known = set(known)
    for name in given:
        if name not in known:
            hint = f"; use {_ELSEWHERE[name]}" if name in _ELSEWHERE else suggest(name, known)
            raise TypeError(f"@task has no option {name!r}{hint}")


def check_names_of_call(given: Iterable[str], known: Iterable[str], options: Iterable[str]) -> None:
    """Raise TypeError for a name that using() does not take; `options`: those of @task."""
    for name in given:
        if name in _OF_A_CALL:
            hint = f"; use {_OF_A_CALL[name]}"
        elif name in options:
            hint = f"; set it in the decorator, @task({name}=...)"
        else:
            hint = suggest(name, known)
        raise TypeError(f"using() has no argument {name!r}{hint}")


def check_values(task: AnyTask) -> None:
    """Raise InvalidTask for the first option of `task` with a wrong value."""
    for error in _errors(task):
        raise InvalidTask(f"{task.module_path}: {error}")


def backoff_error(backoff: Any) -> str | None:
    """Return what is wrong with a backoff, or None."""
    if backoff is None or callable(backoff) or _is_ttl(backoff):
        return None
    if isinstance(backoff, (list, tuple)) and backoff and all(map(_is_ttl, backoff)):
        return None
    return (
        "backoff must be seconds or a timedelta from 0 on, a list of seconds, or a callable"
        f" (exception, task_result) -> seconds | None, not {backoff!r}."
    )


def _errors(task: AnyTask) -> Iterable[str]:
    if not is_queue_name(task.queue_name):
        yield (
            f"queue_name must be text of up to 100 characters without spaces, commas or '*',"
            f" not {task.queue_name!r}."
        )
    if task.max_attempts is not None and not _is_whole(task.max_attempts, 1, MOST_ATTEMPTS):
        yield (
            f"max_attempts must be a whole number from 1 to {MOST_ATTEMPTS:,},"
            f" not {task.max_attempts!r}."
        )
    for name in ("time_limit", "soft_time_limit"):
        value = getattr(task, name)
        if value is not None and not _is_seconds(value):
            yield f"{name} must be a number of seconds above 0, or None, not {value!r}."
    if task.time_limit and task.soft_time_limit and task.soft_time_limit >= task.time_limit:
        yield (
            f"soft_time_limit ({task.soft_time_limit:g}) must be below time_limit"
            f" ({task.time_limit:g})."
        )
    if task.on_lost not in ON_LOST:
        yield f"on_lost must be 'retry' or 'fail', not {task.on_lost!r}."
    for name in ("retry_on", "give_up_on"):
        if not _are_exceptions(getattr(task, name)):
            yield f"{name} must be a tuple of exception classes, not {getattr(task, name)!r}."
    if error := backoff_error(task.backoff):
        yield error
    if error := _expires_error(task.expires):
        yield error
    if task.result_ttl is not None and not _is_ttl(task.result_ttl):
        yield (
            "result_ttl must be seconds or a timedelta from 0 on, or None,"
            f" not {task.result_ttl!r}."
        )
    yield from _name_errors(task)
    task_id: Any = task.task_id
    if task_id is not None and not isinstance(task_id, UUID):
        yield _id_error("task_id", task_id)
    schedulable: Any = task.schedulable
    if schedulable is not None and not isinstance(schedulable, bool):
        yield f"schedulable must be True, False or None, not {schedulable!r}."
    metadata: Any = task.metadata
    if metadata is not None and not isinstance(metadata, dict):
        yield f"metadata must be a dict, not {type(metadata).__qualname__}."
    elif metadata:
        try:
            propagation.metadata_text(metadata, {})
        except (TypeError, ValueError) as error:
            yield str(error)


def _name_errors(task: AnyTask) -> Iterable[str]:
    for what in (*(() if task.path is None else (task.path,)), *task.aliases):
        if not _is_path(what):
            yield f"a name must be text of up to 255 characters without spaces, not {what!r}."
    if not _are_names(task.sensitive):
        yield f"sensitive must be a tuple of argument names, not {task.sensitive!r}."


def checked_ids(given: Iterable[UUID | str]) -> Sequence[UUID]:
    """Return the ids of several calls. Raise ValueError for what is no UUID, or comes twice."""
    checked: dict[UUID, int] = {}
    for index, value in enumerate(given):
        task_id = value if isinstance(value, UUID) else ids.parse(value)
        if task_id is None:
            raise ValueError(_id_error(f"task_ids[{index}]", value))
        if checked.setdefault(task_id, index) != index:
            raise ValueError(
                f"task_ids[{index}] is the same as task_ids[{checked[task_id]}]: an id is that of"
                " one call."
            )
    return list(checked)


def _id_error(name: str, value: Any) -> str:
    return (
        f"{name} must be a UUID or its text, not {value!r}. uuid.uuid5() makes one of a name, such"
        " as an order's number."
    )


def _is_path(value: Any) -> bool:
    is_text = isinstance(value, str) and value.isprintable() and " " not in value
    return is_text and 0 < len(value) <= 255


def _are_names(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(name, str) for name in value)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= LONGEST


def _is_ttl(value: Any) -> bool:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return value == 0 or _is_seconds(value)


def _are_exceptions(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in value
    )


def _expires_error(expires: Any) -> str | None:
    if isinstance(expires, datetime):
        return None if is_aware(expires) else "expires must be an aware datetime."
    if expires is None or _is_ttl(expires):
        return None
    return f"expires must be seconds, a timedelta or an aware datetime, or None, not {expires!r}."
