"""Tasks and the @task decorator: django.tasks' own classes with this project's options added."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    Never,
    ParamSpec,
    TypeVar,
    overload,
)
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from .. import ids
from ..dep14 import base as dep14
from ..dep14.base import (
    DEFAULT_TASK_BACKEND_ALIAS,
    DEFAULT_TASK_PRIORITY,
    DEFAULT_TASK_QUEUE_NAME,
)
from ..dep14.handler import task_backends
from ..exceptions import InvalidTask
from . import canvas, declared_schedules, options, registry, tasks_setting
from .canvas import Signature
from .context import TaskContext
from .protocols import Backoff
from .results import Subscriptable, TaskResult
from .retries import DEFAULT_BACKOFF

if TYPE_CHECKING:
    from .protocols import Declarable

P = ParamSpec("P")
R = TypeVar("R")


if TYPE_CHECKING:
    from django.tasks.base import Task as _Task
else:
    _Task = Subscriptable(dep14.Task)

# Zero-argument super() fails in a slots dataclass before Python 3.14: the methods below name
# their base class.


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(_Task[P, R], Generic[P, R]):
    """
    A function that workers run, and how.

    Durations are seconds. Options that are None take the backend's OPTIONS, then the default.
    """

    # Django 6.0 declares these three without defaults.
    priority: int = DEFAULT_TASK_PRIORITY
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    #: The earliest time it runs; a timedelta counts from the moment it is enqueued.
    run_after: datetime | timedelta | None = None  # type: ignore[assignment]
    #: Attempts in all, from 1 on. None: the backend's max_attempts, else 1 (no retry).
    max_attempts: int | None = None
    #: Delay before another attempt: seconds, timedelta, list of seconds, or
    #: callable(exception, task_result) -> seconds or None to stop. None: the backend's backoff,
    #: else exponential from 2 s to 10 min.
    backoff: Backoff | None = None
    #: Exceptions that are worth another attempt.
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    #: Exceptions that are not, even if retry_on has them.
    give_up_on: tuple[type[BaseException], ...] = ()
    #: Seconds after which the process that runs it is killed. None: no limit.
    time_limit: float | None = None
    #: Seconds after which SoftTimeLimitExceeded is raised in it. None: no limit.
    soft_time_limit: float | None = None
    #: Not started by then, it is cancelled: seconds or timedelta from enqueueing, or a datetime.
    expires: float | timedelta | datetime | None = None
    #: How long its finished record is kept: seconds or timedelta. None: the RETENTION settings.
    result_ttl: float | timedelta | None = None
    #: Do not store the return value.
    ignore_result: bool = False
    #: Run the body and record its success in one transaction on the backend's database.
    atomic: bool = False
    #: When its worker dies: "retry" it up to MAX_LOST times, or "fail" it at once.
    on_lost: Literal["retry", "fail"] = "retry"
    #: Names of arguments that logs and the admin must not show.
    sensitive: tuple[str, ...] = ()
    #: Data of the caller's that travels with the task.
    metadata: dict[str, Any] | None = field(default=None, hash=False)
    #: What rows, schedules and settings name it by. None: the dotted path of its function.
    path: str | None = None
    #: Names that it had before: rows and settings that have one of them mean this task.
    aliases: tuple[str, ...] = ()
    #: The id of one call, for using() only; text becomes a UUID. None: one is made.
    task_id: UUID | None = None
    #: When it is enqueued by itself: a schedule, or a dict of names and schedules.
    schedule: Declarable | None = field(default=None, hash=False)
    #: Whether the admin offers it for schedules. None: as SCHEDULABLE_BY_DEFAULT says, and if it
    #: has a schedule in code.
    schedulable: bool | None = None

    def __new__(cls, **kwargs: Any) -> Task[P, R]:
        if not kwargs.keys() <= cls.__dataclass_fields__.keys():
            options.check_names(kwargs, cls.__dataclass_fields__)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        for name in ("backoff", "retry_on", "give_up_on", "sensitive", "aliases"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))  # tasks are hashable
        task_id: Any = self.task_id
        if isinstance(task_id, str):
            object.__setattr__(self, "task_id", ids.parse(task_id) or task_id)
        options.check_values(self)
        backend = tasks_setting.backend_or_none(self.backend)
        if isinstance(self.run_after, timedelta) and not hasattr(backend, "enqueue_many"):
            # Django's own backends know moments only.
            object.__setattr__(self, "run_after", datetime.now(UTC) + self.run_after)
        if backend is not None:
            backend.validate_task(self)
        if not registry.is_copy(self):
            if self.task_id is not None:
                raise TypeError(
                    "task_id is the id of one call, not an option of @task. Use"
                    " .using(task_id=...) where the task is enqueued."
                )
            if self.schedule is not None:
                declared_schedules.check(self)
        registry.register(self)

    def __reduce__(self) -> Any:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _unpickled, (type(self), values | {"func": self.module_path})

    @property
    def module_path(self) -> str:
        """What rows name it by: its own `path`, or its function's."""
        return self.path or f"{self.func.__module__}.{self.func.__qualname__}"

    def get_backend(self) -> Any:
        """
        Return its backend. Django's own method imports the handler on each call.

        Raise InvalidTaskBackend, with what is wrong, if TASKS has a mistake there.
        """
        try:
            return task_backends[self.backend]
        except tasks_setting.BROKEN as error:
            raise tasks_setting.explained(self.backend, error) from error

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        expires: float | timedelta | datetime | None = None,
        max_attempts: int | None = None,
        metadata: dict[str, Any] | None = None,
        task_id: UUID | str | None = None,
        **unknown: Never,
    ) -> Task[P, R]:
        """
        Return a copy with other values for one call; None keeps what the task has.

        `task_id`: a UUID that the caller chose for the task. To enqueue the same call with the same
        id again is safe: there is one task, and its result is returned. Raise TaskResultMismatch,
        when it is enqueued, if another call has the id. Raise TypeError for another name, with the
        one that is meant.
        """
        given: dict[str, Any] = {
            "priority": priority,
            "queue_name": queue_name,
            "run_after": run_after,
            "backend": backend,
            "expires": expires,
            "max_attempts": max_attempts,
            "metadata": metadata,
            "task_id": task_id,
        }
        if unknown:
            options.check_names_of_call(unknown, given, self.__dataclass_fields__)
        if backend is not None:
            task_backends[backend]  # a call may not go where no backend can be made
        changes = {name: value for name, value in given.items() if value is not None}
        copy = self.restored(**changes)
        copy.__post_init__()
        return copy

    def restored(self, **changes: Any) -> Task[P, R]:
        """Return a copy without validation: a stored task outlives changes of the settings."""
        copy = object.__new__(type(self))
        put = object.__setattr__
        for name in self.__dataclass_fields__:
            put(copy, name, getattr(self, name))
        for name, value in changes.items():
            put(copy, name, value)
        return copy

    if TYPE_CHECKING:

        def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]: ...  # type: ignore[override]
        async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]: ...  # type: ignore[override]
        def get_result(self, result_id: str) -> TaskResult[R]: ...  # type: ignore[override]
        async def aget_result(self, result_id: str) -> TaskResult[R]: ...  # type: ignore[override]

        def call(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        async def acall(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    else:
        #: Templates call what can be called, and would only be told that this cannot.
        do_not_call_in_templates = True

        def __call__(self, *args, **kwargs):
            """Raise TypeError: what to call instead. Type checkers know no such method."""
            name = self.func.__name__
            raise TypeError(
                f"{self.module_path} is a task, which is not called itself: {name}.enqueue(...) has"
                f" a worker run it, {name}.call(...) runs it here and now."
            )

        def __getattr__(self, name):
            hint = options.method_hint(name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

        def call(self, *args, **kwargs):
            """Run the function here and now, and return its value."""
            return dep14.Task.call(self, *_with_own_context(self, args), **kwargs)

        async def acall(self, *args, **kwargs):
            """See call()."""
            return await dep14.Task.acall(self, *_with_own_context(self, args), **kwargs)

    def enqueue_many(
        self,
        calls: Iterable[Sequence[Any] | tuple[Sequence[Any], dict[str, Any]]],
        *,
        task_ids: Iterable[UUID | str] | None = None,
    ) -> Sequence[TaskResult[R]]:
        """
        Enqueue one task per item, in one transaction and one round trip per 1,000.

        An item is a tuple or list of arguments, or a pair (arguments, keyword arguments). All
        items are checked before the first is written. `task_ids`: one per item, as in using(); the
        tasks that are there already stay as they are. None: ids are made.
        """
        pairs = (_as_call(index, call) for index, call in enumerate(calls))
        given = None if task_ids is None else options.checked_ids(task_ids)
        enqueue_many = getattr(self.get_backend(), "enqueue_many", None)
        if enqueue_many is not None:
            results: Sequence[TaskResult[R]] = enqueue_many(self, pairs, given)
            return results
        return [self.enqueue(*args, **kwargs) for args, kwargs in pairs]

    async def aenqueue_many(
        self,
        calls: Iterable[Sequence[Any] | tuple[Sequence[Any], dict[str, Any]]],
        *,
        task_ids: Iterable[UUID | str] | None = None,
    ) -> Sequence[TaskResult[R]]:
        """See enqueue_many()."""
        enqueue_many = sync_to_async(self.enqueue_many, thread_sensitive=True)
        return await enqueue_many(calls, task_ids=task_ids)

    if TYPE_CHECKING:

        def enqueue_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[R]: ...
        def enqueue_on_commit_of(
            self, database: str, /, *args: P.args, **kwargs: P.kwargs
        ) -> TaskResult[R]: ...

    else:

        def enqueue_on_commit(self, *args, **kwargs):
            """
            Enqueue when the transaction on the database "default" commits.

            The result's id is known at once. If the tasks are in that database, this is
            enqueue(), as the row is part of the transaction.
            """
            return _enqueue_on_commit(self, args, kwargs, DEFAULT_DB_ALIAS)

        def enqueue_on_commit_of(self, database, /, *args, **kwargs):
            """Enqueue when the transaction on `database` commits; see enqueue_on_commit()."""
            return _enqueue_on_commit(self, args, kwargs, database)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """
        Return the signature of a call, for chains, groups and chords.

        In a chain the value of what stands before it comes first, then `args`. Raise TypeError for
        arguments that cannot fit.
        """
        return canvas.sign(self, args, kwargs, immutable=False)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """Return the signature of just this call: it takes no value of what stands before it."""
        return canvas.sign(self, args, kwargs, immutable=True)

    @property
    def is_schedulable(self) -> bool:
        """Whether the admin offers it for schedules."""
        return declared_schedules.is_schedulable(self)

    @property
    def effective_max_attempts(self) -> int:
        """Attempts in all, with the backend's and the default value applied."""
        if self.max_attempts is not None:
            return self.max_attempts
        return int(getattr(self.get_backend(), "max_attempts", 1))

    @property
    def effective_backoff(self) -> Backoff:
        """The backoff, with the backend's and the default value applied."""
        if self.backoff is not None:
            return self.backoff
        backoff: Backoff = getattr(self.get_backend(), "backoff", DEFAULT_BACKOFF)
        return backoff


def _unpickled(cls: type[Task[..., Any]], values: dict[str, Any]) -> Task[..., Any]:
    path = values["func"]
    known = registry.find(path)
    if known is None:
        try:
            known = import_string(path)
        except ImportError:
            pass
    if not isinstance(known, Task):
        raise ValueError(f"Expected {path!r} to point to a Task instance.")
    return cls(**values | {"func": known.func})


def _enqueue_on_commit(task: Task[..., R], args: Any, kwargs: Any, using: str) -> TaskResult[R]:
    backend = task.get_backend()
    enqueue_on_commit = getattr(backend, "enqueue_on_commit", None)
    if enqueue_on_commit is None:
        raise InvalidTask(
            f"Backend {backend.alias!r} cannot give an id before the commit; use"
            " transaction.on_commit(functools.partial(task.enqueue, ...))."
        )
    result: TaskResult[R] = enqueue_on_commit(task, args, kwargs, using=using)
    return result


def _with_own_context(task: Task[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let a body that takes a context find all of ours, whichever backend calls it."""
    if task.takes_context and args and isinstance(args[0], dep14.TaskContext):
        return (TaskContext.of(args[0]), *args[1:])
    return args


def _as_call(index: int, call: Any) -> tuple[Sequence[Any], dict[str, Any]]:
    if isinstance(call, (tuple, list)):
        if len(call) == 2 and isinstance(call[0], (tuple, list)) and isinstance(call[1], dict):
            return call[0], call[1]
        return call, {}
    raise TypeError(
        f"enqueue_many: item {index} is of type {type(call).__qualname__}; pass a tuple of"
        " arguments such as (1, 2), or a pair of arguments and keyword arguments such as"
        " ((1, 2), {'x': 3})."
    )


@overload
def task(
    function: Callable[Concatenate[TaskContext, P], Awaitable[R]],
    /,
    *,
    takes_context: Literal[True],
    **kwargs: Any,
) -> Task[P, R]: ...
@overload
def task(
    function: Callable[Concatenate[TaskContext, P], R],
    /,
    *,
    takes_context: Literal[True],
    **kwargs: Any,
) -> Task[P, R]: ...
@overload
def task(function: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    takes_context: Literal[True],
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    max_attempts: int | None = ...,
    backoff: Backoff | None = ...,
    retry_on: tuple[type[BaseException], ...] = ...,
    give_up_on: tuple[type[BaseException], ...] = ...,
    time_limit: float | None = ...,
    soft_time_limit: float | None = ...,
    expires: float | timedelta | datetime | None = ...,
    result_ttl: float | timedelta | None = ...,
    ignore_result: bool = ...,
    atomic: bool = ...,
    on_lost: Literal["retry", "fail"] = ...,
    sensitive: tuple[str, ...] = ...,
    metadata: dict[str, Any] | None = ...,
    schedule: Declarable | None = ...,
    schedulable: bool | None = ...,
    name: str | None = ...,
    aliases: tuple[str, ...] = ...,
) -> _ContextDecorator: ...
@overload
def task(
    *,
    takes_context: Literal[False] = ...,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    max_attempts: int | None = ...,
    backoff: Backoff | None = ...,
    retry_on: tuple[type[BaseException], ...] = ...,
    give_up_on: tuple[type[BaseException], ...] = ...,
    time_limit: float | None = ...,
    soft_time_limit: float | None = ...,
    expires: float | timedelta | datetime | None = ...,
    result_ttl: float | timedelta | None = ...,
    ignore_result: bool = ...,
    atomic: bool = ...,
    on_lost: Literal["retry", "fail"] = ...,
    sensitive: tuple[str, ...] = ...,
    metadata: dict[str, Any] | None = ...,
    schedule: Declarable | None = ...,
    schedulable: bool | None = ...,
    name: str | None = ...,
    aliases: tuple[str, ...] = ...,
) -> _Decorator: ...
def task(function: Callable[..., Any] | None = None, /, **kwargs: Any) -> Any:
    """
    Make a task of a module-level function.

    The options are the fields of `Task`; run_after is not among them (use ``.using()``). `name`
    is its `path`: with it, the function can be renamed or moved while tasks are enqueued. Raise
    TypeError for an unknown option, InvalidTask for a wrong value or function.
    """
    if "name" in kwargs:
        kwargs["path"] = kwargs.pop("name")
    if "run_after" in kwargs:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "Use .using(run_after=...) to set it dynamically."
        )
    kwargs.setdefault("priority", DEFAULT_TASK_PRIORITY)
    kwargs.setdefault("queue_name", DEFAULT_TASK_QUEUE_NAME)
    kwargs.setdefault("backend", DEFAULT_TASK_BACKEND_ALIAS)

    def wrapper(func: Callable[..., Any]) -> Task[..., Any]:
        backend = tasks_setting.backend_or_none(kwargs["backend"])
        task_class: type[Any] = Task if backend is None else backend.task_class
        # Backends for tests (immediate, dummy) run our tasks as they are.
        made: Task[..., Any] = (task_class if issubclass(task_class, Task) else Task)(
            func=func, **kwargs
        )
        registry.register_decorated(made)
        return made

    return wrapper(function) if function is not None else wrapper


if TYPE_CHECKING:

    class _Decorator:
        @overload
        def __call__(self, function: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
        def __call__(self, function: Any, /) -> Any: ...

    class _ContextDecorator:
        @overload
        def __call__(
            self, function: Callable[Concatenate[TaskContext, P], Awaitable[R]], /
        ) -> Task[P, R]: ...
        @overload
        def __call__(self, function: Callable[Concatenate[TaskContext, P], R], /) -> Task[P, R]: ...
        def __call__(self, function: Any, /) -> Any: ...
