from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from inspect import iscoroutinefunction, isfunction
from traceback import format_exception
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.checks import CheckMessage
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.inspect import get_func_args

from .base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
from .constants import (
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    TASK_MAX_PRIORITY,
    TASK_MIN_PRIORITY,
)
from .exceptions import InvalidTask, TaskResultDoesNotExist
from .json import normalize_json
from .signals import task_enqueued, task_finished, task_started


class BaseTaskBackend(metaclass=ABCMeta):
    task_class = Task
    supports_defer = False  # obeys Task.run_after
    supports_async_task = False  # runs coroutine functions
    supports_get_result = False  # finds results from any thread or process
    supports_priority = False  # runs tasks in the order of their priority

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        self.alias = alias
        self.queues = set(params.get("QUEUES", [DEFAULT_TASK_QUEUE_NAME]))  # empty: any queue
        self.options = params.get("OPTIONS", {})

    def validate_task(self, task: Task) -> None:
        """Raise InvalidTask if this backend cannot run the task."""
        for problem in _problems(self, task):
            raise InvalidTask(problem)

    @abstractmethod
    def enqueue(self, task: Task, args: Sequence[Any], kwargs: dict[str, Any]) -> TaskResult: ...

    async def aenqueue(self, task: Task, args: Sequence[Any], kwargs: dict[str, Any]) -> TaskResult:
        return await sync_to_async(self.enqueue)(task=task, args=args, kwargs=kwargs)

    def get_result(self, result_id: str) -> TaskResult:
        """Return the result with this id, or raise TaskResultDoesNotExist."""
        raise NotImplementedError("This backend does not support retrieving or refreshing results.")

    async def aget_result(self, result_id: str) -> TaskResult:
        return await sync_to_async(self.get_result)(result_id=result_id)

    def check(self, **kwargs: Any) -> Iterable[CheckMessage]:
        return []


def _problems(backend: BaseTaskBackend, task: Task) -> Iterator[str]:
    """Yield what is wrong, the most basic first: later lines rely on the earlier ones."""
    if not isfunction(task.func) or "<locals>" in task.func.__qualname__:
        yield "Task function must be defined at a module level."
    if iscoroutinefunction(task.func) and not backend.supports_async_task:
        yield "Backend does not support async Tasks."
    if task.takes_context and get_func_args(task.func)[:1] != ["context"]:
        yield "Task takes context but does not have a first argument of 'context'."
    if task.priority != DEFAULT_TASK_PRIORITY and not backend.supports_priority:
        yield "Backend does not support setting priority of tasks."
    if not TASK_MIN_PRIORITY <= task.priority <= TASK_MAX_PRIORITY or task.priority % 1:
        yield (
            f"priority must be a whole number between {TASK_MIN_PRIORITY} and {TASK_MAX_PRIORITY}."
        )
    if task.run_after is not None and not backend.supports_defer:
        yield "Backend does not support run_after."
    if settings.USE_TZ and task.run_after is not None and timezone.is_naive(task.run_after):
        yield "run_after must be an aware datetime."
    if backend.queues and task.queue_name not in backend.queues:
        yield f"Queue '{task.queue_name}' is not valid for backend."


class DummyBackend(BaseTaskBackend):
    """Keeps what was enqueued in ``results``, for tests, and runs nothing."""

    supports_defer = True
    supports_async_task = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.results: list[TaskResult] = []

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: dict[str, Any]) -> TaskResult:
        self.validate_task(task)
        result = _new_result(self, task, args, kwargs)
        self._store_result(result)
        return deepcopy(result)  # a caller's changes must not reach the stored one

    def _store_result(self, result: TaskResult) -> None:
        _change(result, enqueued_at=timezone.now())
        self.results.append(result)
        task_enqueued.send(type(self), task_result=result)

    def get_result(self, result_id: str) -> TaskResult:
        for result in self.results:
            if result.id == result_id:
                return result
        raise TaskResultDoesNotExist(result_id)

    async def aget_result(self, result_id: str) -> TaskResult:
        # Not through sync_to_async: another thread has another backend, with other results.
        return self.get_result(result_id)

    def clear(self) -> None:
        self.results.clear()


class ImmediateBackend(BaseTaskBackend):
    """Runs a task right where it is enqueued."""

    supports_async_task = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.worker_id = get_random_string(32)

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: dict[str, Any]) -> TaskResult:
        self.validate_task(task)
        result = _new_result(self, task, args, kwargs)
        self._execute_task(result)
        return result

    def _execute_task(self, task_result: TaskResult) -> None:
        _change(task_result, enqueued_at=timezone.now())
        task_enqueued.send(type(self), task_result=task_result)
        self._start(task_result)
        try:
            _change(task_result, _return_value=normalize_json(_call(task_result)))
        except KeyboardInterrupt:
            raise  # the person at the terminal means the process, not the task
        except BaseException as error:  # noqa: BLE001 SystemExit and CancelledError fail a task too
            task_result.errors.append(_task_error(error))
            # Sent in here because the log receiver reads the exception being handled.
            self._finish(task_result, TaskResultStatus.FAILED)
        else:
            self._finish(task_result, TaskResultStatus.SUCCESSFUL)

    def _start(self, task_result: TaskResult) -> None:
        now = timezone.now()
        _change(task_result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        task_result.worker_ids.append(self.worker_id)
        task_started.send(type(self), task_result=task_result)

    def _finish(self, task_result: TaskResult, status: TaskResultStatus) -> None:
        _change(task_result, status=status, finished_at=timezone.now())
        task_finished.send(type(self), task_result=task_result)


def _new_result(
    backend: BaseTaskBackend, task: Task, args: Sequence[Any], kwargs: dict[str, Any]
) -> TaskResult:
    return TaskResult(
        task=task,
        id=get_random_string(32),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=list(args),
        kwargs=kwargs,
        backend=backend.alias,
        errors=[],
        worker_ids=[],
    )


def _change(result: TaskResult, **values: Any) -> None:
    """Set fields of a result, which is frozen for everyone but its backend."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def _call(result: TaskResult) -> Any:
    context = [TaskContext(task_result=result)] if result.task.takes_context else []
    return result.task.call(*context, *result.args, **result.kwargs)


def _task_error(error: BaseException) -> TaskError:
    kind = type(error)
    return TaskError(
        exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
        traceback="".join(format_exception(error)),
    )
