"""Running a body as Celery's workers do: hooks, signals and what became of it, in their order."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import exceptions as native
from ... import serializers
from ...conf import app_settings
from .. import _state, signals, states
from ..billiard.einfo import ExceptionInfo
from ..exceptions import Ignore, Reject, Retry
from ..notices import say_once
from ..utils.time import maybe_make_aware
from ..values import decode, encode
from .context import Context, WorkerContext

if TYPE_CHECKING:
    from ...definitions.context import TaskContext
    from .task import Task

logger = logging.getLogger("celery.app.trace")


class Traced(NamedTuple):
    """What became of a body. `value`: what it returned, or the exception that it raised."""

    state: str | None
    value: Any
    einfo: ExceptionInfo | None = None


class Ignored(native.Cancel):
    """A body raised Ignore: the task is over, and its state is what the body made it."""


class Rejected(native.Cancel):
    """A body raised Reject: the task is over."""


def trace(
    task: Task,
    request: Context,
    args: Any,
    kwargs: Any,
    *,
    propagate: bool = False,
    finish: Callable[[Any], Any] = lambda value: value,
) -> Traced:
    """
    Run the body of `task` for `request`, with hooks and signals.

    `propagate`: raise what it raises, but for Ignore and Reject. `finish` makes of what it returns
    what is stored; what that raises fails the task.
    """
    _state._task_stack.push(task)
    task.request_stack.push(request)
    traced = Traced(None, None)
    named = {"task_id": request.id, "task": task, "args": args, "kwargs": kwargs}
    try:
        signals.task_prerun.send(task, **named)
        traced = _attempt(task, request, args, kwargs, propagate, finish)
        if traced.state not in (states.IGNORED, states.REJECTED):
            after = (traced.state, traced.value, request.id, args, kwargs, None)
            _call_hook(task.after_return, after, request)
        return traced
    finally:
        signals.task_postrun.send(task, **named, retval=traced.value, state=traced.state)
        task.request_stack.pop()
        _state._task_stack.pop()


def _attempt(
    task: Task,
    request: Context,
    args: Any,
    kwargs: Any,
    propagate: bool,
    finish: Callable[[Any], Any],
) -> Traced:
    try:
        task.before_start(request.id, args, kwargs)
        value = _body_of(task)(*args, **kwargs)
        stored = finish(value)
    except Reject as error:
        return Traced(states.REJECTED, error, ExceptionInfo())
    except Ignore as error:
        return Traced(states.IGNORED, error, ExceptionInfo())
    except Retry as error:
        if propagate:
            raise
        return _after_retry(task, request, error)
    except native.TaskControl:
        raise  # the native spelling of the same
    except Exception as error:
        if propagate:
            raise
        return _after_failure(task, request, error, args, kwargs)
    _call_hook(task.on_success, (value, request.id, args, kwargs), request)
    signals.task_success.send(task, result=value)
    return Traced(states.SUCCESS, stored)


def _body_of(task: Task) -> Callable[..., Any]:
    from .task import Task

    is_overridden = type(task).__call__ is not Task.__call__
    return task if is_overridden else task.run


def _after_retry(task: Task, request: Context, retry: Retry) -> Traced:
    einfo = ExceptionInfo()
    arguments = (retry.exc, request.id, request.args, request.kwargs, einfo)
    _call_hook(task.on_retry, arguments, request)
    signals.task_retry.send(task, request=request, reason=retry, einfo=einfo)
    return Traced(states.RETRY, retry, einfo)


def _after_failure(
    task: Task, request: Context, error: Exception, args: Any, kwargs: Any
) -> Traced:
    einfo = ExceptionInfo()
    _call_hook(task.on_failure, (error, request.id, args, kwargs, einfo), request)
    signals.task_failure.send(
        task,
        task_id=request.id,
        exception=error,
        args=args,
        kwargs=kwargs,
        traceback=error.__traceback__,
        einfo=einfo,
    )
    return Traced(states.FAILURE, error, einfo)


def _call_hook(hook: Callable[..., Any], arguments: Any, request: Context) -> None:
    """Call a hook of the task. What it raises changes nothing, unless the task runs eagerly."""
    try:
        hook(*arguments)
    except Exception as error:
        if request.is_eager:
            raise
        name = getattr(hook, "__name__", repr(hook))
        logger.exception("Task %s[%s] %s handler raised: %r", request.task, request.id, name, error)
        signals.task_internal_error.send(
            request.task,
            task_id=request.id,
            args=request.args,
            kwargs=request.kwargs,
            request=request,
            exception=error,
            traceback=sys.exc_info()[2],
            einfo=ExceptionInfo(),
        )


def run_in_worker(task: Task, context: TaskContext, args: Any, kwargs: Any) -> Any:
    """
    Run the body for the worker, and return what it is to store.

    Raise the native exceptions that say what else is to become of the task.
    """
    args, kwargs = decode(list(args)), decode(kwargs)
    request = WorkerContext(context, task, args, kwargs)
    finish = (lambda value: value) if task.ignore_result else encode
    traced = trace(task, request, args, kwargs, finish=finish)
    if traced.state == states.SUCCESS:
        return traced.value
    if traced.state == states.RETRY:
        _run_again(task, request, traced.value)
    if traced.state == states.IGNORED:
        raise Ignored("The task asked to be ignored.") from traced.value
    if traced.state == states.REJECTED:
        if traced.value.requeue:
            raise native.Snooze(0, "The task asked to be run again.") from traced.value
        raise Rejected(f"The task was rejected: {traced.value.reason}") from traced.value
    raise traced.value


def _run_again(task: Task, request: WorkerContext, retry: Retry) -> None:
    if retry.sig is None and task.max_retries is not None and request.retries >= task.max_retries:
        raise retry
    if retry.sig is not None:
        _change_row(request, retry.sig)
    raise native.Retry(_seconds(retry.when), str(retry)) from retry.exc


def _seconds(when: Any) -> float:
    if isinstance(when, datetime):
        when = (maybe_make_aware(when) - datetime.now(UTC)).total_seconds()
    return max(0.0, float(when or 0))


def _change_row(request: WorkerContext, call: Any) -> None:
    """Let the next attempt have other arguments, or run in another queue."""
    fields = {}
    for name, was in (("args", request.args), ("kwargs", request.kwargs)):
        value = call.get(name)
        value = list(value) if name == "args" else dict(value)
        if value != was:
            fields[name] = serializers.dumps(encode(value), name, app_settings.MAX_ARGS_BYTES)
    options = dict(call.get("options") or {})
    if (queue := options.pop("queue", None)) is not None:
        fields["queue_name"] = str(queue)
    for name in sorted(options):
        say_once(f"self.retry({name}=…) has no effect: the task runs again as it was called.")
    if fields:
        request._context._store(fields, now=False)
