"""Whether a backend can run a task: asked where it is decorated, and at each call."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from django.utils.inspect import get_func_args
from django.utils.timezone import is_aware

from ..conf import suggest
from ..definitions.signatures import place_of
from ..definitions.task import Task
from ..dep14.backends import BaseTaskBackend
from ..dep14.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY
from ..dep14.functions import is_coroutine_function, is_module_level_function
from ..exceptions import InvalidTask


def check_task(backend: BaseTaskBackend, task: Any) -> None:
    """Raise InvalidTask unless `backend` can run `task`."""
    _check_function(task.func, task.takes_context)
    if not backend.supports_async_task and is_coroutine_function(task.func):
        raise InvalidTask("Backend does not support async Tasks.")
    if not _is_priority(task.priority):
        raise InvalidTask(
            f"priority must be a whole number between {TASK_MIN_PRIORITY} and {TASK_MAX_PRIORITY}."
        )
    if isinstance(task.run_after, datetime) and not is_aware(task.run_after):
        raise InvalidTask("run_after must be an aware datetime.")
    if not isinstance(task.run_after, (datetime, timedelta, type(None))):
        raise InvalidTask("run_after must be an aware datetime or a timedelta.")
    if backend.queues and task.queue_name not in backend.queues:
        raise InvalidTask(_refused_queue(backend, task))
    if isinstance(task, Task) and task.atomic and is_coroutine_function(task.func):
        raise InvalidTask(
            f"{task.module_path}: atomic=True needs a plain function; Django has no"
            " transactions in async code."
        )


def _refused_queue(backend: BaseTaskBackend, task: Any) -> str:
    """Return which task asks for a queue that QUEUES does not have, and what to set."""
    known = sorted(backend.queues)
    wanted = json.dumps([*known, task.queue_name])
    return (
        f"Queue '{task.queue_name}' is not valid for backend. {task.module_path}"
        f" ({place_of(task.func)}) asks for it, and TASKS[{backend.alias!r}]['QUEUES'] has:"
        f" {', '.join(known)}{suggest(task.queue_name, known) or '.'} To add it, set"
        f' "QUEUES": {wanted} in TASKS["{backend.alias}"]; "QUEUES": [] allows any.'
    )


@cache  # what it raises is not kept
def _check_function(function: Callable[..., Any], takes_context: bool) -> None:
    """Raise InvalidTask unless a worker can find `function` and call it."""
    if not is_module_level_function(function) or function.__name__ == "<lambda>":
        raise InvalidTask(
            "Task function must be defined at a module level."
            f" A worker could not find {getattr(function, '__qualname__', function)!r}."
        )
    if takes_context and get_func_args(function)[:1] != ["context"]:
        raise InvalidTask(
            "Task takes context but does not have a first argument of 'context'. Write"
            f" `def {function.__name__}(context, ...)` ({place_of(function)})."
        )
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise InvalidTask(
            f"{function.__module__}.{function.__qualname__} ({place_of(function)}) is a generator,"
            " whose body a call does not run. Return a list, or enqueue a task for each item."
        )


def _is_priority(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and TASK_MIN_PRIORITY <= value <= TASK_MAX_PRIORITY
