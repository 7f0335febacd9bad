from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from inspect import isclass, iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import TextChoices
from django.utils.module_loading import import_string
from django.utils.translation import pgettext_lazy

from .constants import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
    TASK_MAX_PRIORITY,
    TASK_MIN_PRIORITY,
    TASK_REFRESH_ATTRS,
)
from .exceptions import TaskResultMismatch
from .handler import task_backends
from .json import normalize_json

__all__ = [
    "DEFAULT_TASK_BACKEND_ALIAS",
    "DEFAULT_TASK_PRIORITY",
    "DEFAULT_TASK_QUEUE_NAME",
    "TASK_MAX_PRIORITY",
    "TASK_MIN_PRIORITY",
    "TASK_REFRESH_ATTRS",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultStatus",
    "task",
]


class TaskResultStatus(TextChoices):
    READY = "READY", pgettext_lazy("Task", "Ready")  # also between two attempts
    RUNNING = "RUNNING", pgettext_lazy("Task", "Running")
    FAILED = "FAILED", pgettext_lazy("Task", "Failed")
    SUCCESSFUL = "SUCCESSFUL", pgettext_lazy("Task", "Successful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A function and how it is to run. Its backend validates every new Task, copies included."""

    func: Callable[..., Any]
    priority: int = DEFAULT_TASK_PRIORITY
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    run_after: datetime | None = None  # not before this moment
    takes_context: bool = False  # pass a TaskContext as the first argument

    def __post_init__(self) -> None:
        self.get_backend().validate_task(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # The function is found by its path: its module attribute is the Task around it, so
        # pickle could not store the function itself.
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return type(self)._reconstruct, (values | {"func": self.module_path},)

    @classmethod
    def _reconstruct(cls, values: dict[str, Any]) -> "Task":
        path = values["func"]
        try:
            func = import_string(path).func
        except (ImportError, AttributeError) as error:
            raise ValueError(f"Expected {path!r} to point to a Task instance.") from error
        return cls(**(values | {"func": func}))

    @property
    def name(self) -> str:
        return self.func.__name__

    @property
    def module_path(self) -> str:
        return f"{self.func.__module__}.{self.func.__qualname__}"

    def get_backend(self) -> Any:
        return task_backends[self.backend]

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | None = None,
        backend: str | None = None,
    ) -> "Task":
        """Return a copy with what was given changed; None keeps a value, it cannot clear one."""
        given = {
            "priority": priority,
            "queue_name": queue_name,
            "run_after": run_after,
            "backend": backend,
        }
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        return replace(self, **changes)

    def enqueue(self, *args: Any, **kwargs: Any) -> "TaskResult":
        result: TaskResult = self.get_backend().enqueue(self, args, kwargs)
        return result

    async def aenqueue(self, *args: Any, **kwargs: Any) -> "TaskResult":
        result: TaskResult = await self.get_backend().aenqueue(self, args, kwargs)
        return result

    def get_result(self, result_id: str) -> "TaskResult":
        """Return this task's result, or raise TaskResultDoesNotExist or TaskResultMismatch."""
        return _result_of(self, self.get_backend().get_result(result_id))

    async def aget_result(self, result_id: str) -> "TaskResult":
        return _result_of(self, await self.get_backend().aget_result(result_id))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now, whether it is a coroutine function or not."""
        if iscoroutinefunction(self.func):
            return async_to_sync(self.func)(*args, **kwargs)
        return self.func(*args, **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        if iscoroutinefunction(self.func):
            return await self.func(*args, **kwargs)
        return await sync_to_async(self.func)(*args, **kwargs)


def _result_of(task: Task, result: "TaskResult") -> "TaskResult":
    if result.task.func != task.func:
        raise TaskResultMismatch(f"Task does not match (received {result.task.module_path!r})")
    return result


def task(
    function: Callable[..., Any] | None = None,
    *,
    priority: int = DEFAULT_TASK_PRIORITY,
    queue_name: str = DEFAULT_TASK_QUEUE_NAME,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    takes_context: bool = False,
    **kwargs: Any,
) -> Any:
    """Make a function a Task of its backend's task_class, which also takes any further options."""
    if "run_after" in kwargs:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "Use .using(run_after=...) to set it dynamically."
        )

    def decorate(func: Callable[..., Any]) -> Any:
        return task_backends[backend].task_class(
            func=func,
            priority=priority,
            queue_name=queue_name,
            backend=backend,
            takes_context=takes_context,
            **kwargs,
        )

    return decorate(function) if function else decorate


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why an attempt failed, as text: the exception may come from another process."""

    exception_class_path: str
    traceback: str

    @property
    def exception_class(self) -> type[BaseException]:
        found = import_string(self.exception_class_path)
        if isclass(found) and issubclass(found, BaseException):
            return found
        raise ValueError(f"{self.exception_class_path!r} does not reference a valid exception.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One enqueued run of a task, as last read from the backend."""

    task: Task
    id: str
    status: TaskResultStatus
    enqueued_at: datetime | None
    started_at: datetime | None  # of the first attempt
    finished_at: datetime | None
    last_attempted_at: datetime | None
    args: list[Any]
    kwargs: dict[str, Any]
    backend: str
    errors: list[TaskError]
    worker_ids: list[str]  # one per attempt
    _return_value: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", normalize_json(self.args))
        object.__setattr__(self, "kwargs", normalize_json(self.kwargs))

    @property
    def return_value(self) -> Any:
        """What the function returned. ValueError if it has not, because None may be that too."""
        if self.status == TaskResultStatus.SUCCESSFUL:
            return self._return_value
        if self.status == TaskResultStatus.FAILED:
            raise ValueError("Task failed")
        raise ValueError("Task has not finished yet")

    @property
    def is_finished(self) -> bool:
        return self.status in {TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL}

    @property
    def attempts(self) -> int:
        return len(self.worker_ids)

    def refresh(self) -> None:
        """Read the result again from the backend."""
        _take_over(self, self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        _take_over(self, await self.task.get_backend().aget_result(self.id))


def _take_over(result: TaskResult, stored: TaskResult) -> None:
    for name in TASK_REFRESH_ATTRS:
        object.__setattr__(result, name, getattr(stored, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """What a task with takes_context=True learns about its own run."""

    task_result: TaskResult

    @property
    def attempt(self) -> int:
        return self.task_result.attempts
