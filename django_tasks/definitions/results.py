"""Results of tasks: what is known of one that was enqueued, and waiting for it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from ..conf import app_settings
from ..dep14 import base as dep14
from ..exceptions import TaskFailed, WaitTimeout
from ..statuses import FINAL_STATUSES, Status, celery_state
from . import progress_tokens
from .current import is_inside_a_task
from .progress import Progress

R = TypeVar("R")


class Subscriptable:
    """Stands for a class that is generic in the type stubs but not when it runs."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __getitem__(self, _: Any) -> type:
        return self.cls


if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.tasks.base import TaskResult as _TaskResult
else:
    _TaskResult = Subscriptable(dep14.TaskResult)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError(dep14.TaskError):  # type: ignore[misc] # frozen, which the stubs do not say
    """An attempt that did not succeed."""

    #: What happened: one of `statuses.AttemptOutcome`.
    outcome: str = "ERROR"
    attempt: int = 0
    finished_at: datetime | None = None

    @property
    def exception_class(self) -> type[BaseException]:
        """
        The class of the exception, if its module is loaded.

        Raise ImportError otherwise: a path that a row names is not imported. Raise ValueError if
        the path names something else than an exception.
        """
        module, _, name = self.exception_class_path.rpartition(".")
        found = getattr(sys.modules.get(module), name, None)
        if found is None:
            raise ImportError(f"{self.exception_class_path!r} is not loaded in this process.")
        if not (isinstance(found, type) and issubclass(found, BaseException)):
            raise ValueError(f"{self.exception_class_path!r} does not reference a valid exception.")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult(_TaskResult[..., R], Generic[R]):  # type: ignore[misc] # as above
    """What is known of one enqueued task. It is a copy: refresh() reads it again."""

    #: The record's own status, finer than `status`: see `statuses.Status`.
    record_status: str = Status.READY
    attempts_made: int = 0
    custom_state: str | None = None
    #: What the task stored with context.set_state().
    meta: Any = None
    progress: Progress | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    #: What was captured when it was enqueued, by the paths in CONTEXT_PROPAGATORS.
    propagated: dict[str, Any] = field(default_factory=dict)
    run_after: datetime | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        """Take args and kwargs as they are: they come from JSON."""

    @property
    def attempts(self) -> int:
        """Attempts that count: without those whose worker was lost or stopped."""
        return self.attempts_made

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED, or the task's own state."""
        return celery_state(self.record_status, self.attempts_made, self.custom_state)

    @property
    def is_finished(self) -> bool:
        return self.record_status in FINAL_STATUSES

    def refresh(self) -> None:
        """Read the result again. Raise TaskResultDoesNotExist if it was deleted."""
        self._copy(self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        """See refresh()."""
        self._copy(await self.task.get_backend().aget_result(self.id))

    def _copy(self, fresh: Any) -> None:
        for f in fields(self):
            if f.name not in ("task", "id"):
                object.__setattr__(self, f.name, getattr(fresh, f.name))

    def wait(self, timeout: float | None = None) -> R:
        """
        Wait until the task has finished and return its value.

        `timeout`: seconds; None waits for ever, 0 looks once. Raise WaitTimeout (a TimeoutError)
        that says why when it is over, TaskFailed with the remote traceback when the task failed or
        was cancelled, TaskResultDoesNotExist when it was deleted, RuntimeError inside of a task
        body, where waiting blocks a worker's slot (allow it with
        DJANGO_TASKS["ALLOW_WAIT_IN_TASKS"]), and inside of a transaction that would not see it
        finish.
        """
        refuse_in_a_task()
        refuse_in_an_event_loop()
        for look, pause in enumerate(pauses(timeout)):
            self.refresh()
            if self.is_finished:
                return self._value()
            if look == 0:
                self._check_wait(timeout)
            time.sleep(pause)
        raise self._timeout(timeout)

    async def await_(self, timeout: float | None = None) -> R:
        """See wait()."""
        refuse_in_a_task()
        for look, pause in enumerate(pauses(timeout)):
            await self.arefresh()
            if self.is_finished:
                return self._value()
            if look == 0:
                await sync_to_async(self._check_wait, thread_sensitive=True)(timeout)
            await asyncio.sleep(pause)
        raise await sync_to_async(self._timeout, thread_sensitive=True)(timeout)

    def _value(self) -> R:
        if self.record_status == Status.SUCCESSFUL:
            value: R = self.return_value
            return value
        last = self.errors[-1] if self.errors else None
        verb = "was cancelled" if self.record_status == Status.CANCELLED else "failed"
        raise TaskFailed(
            f"Task {self.task.module_path} ({self.id}) {verb}"
            f" after {self.attempts} attempt{'s' if self.attempts != 1 else ''}.",
            last.exception_class_path if last else "",
            last.traceback if last else "",
        )

    def _check_wait(self, timeout: float | None) -> None:
        """Raise RuntimeError if further looks would show the same as the first."""
        check_wait = getattr(self._backend(), "check_wait", None)
        if check_wait is not None and (timeout is None or timeout > 0):
            check_wait()

    def _timeout(self, timeout: float | None) -> WaitTimeout:
        """Return the error, with the reason unless there was but one look."""
        said = (
            f"Task {self.task.module_path} ({self.id}) of queue {self.task.queue_name!r} was"
            f" {self.record_status} after {timeout:g} s."
        )
        explain = getattr(self._backend(), "explain", None)
        if explain is not None and timeout is not None and timeout > 0:
            said = f"{said} {explain(self.id)}".rstrip()
        return WaitTimeout(said)

    def cancel(self) -> bool:
        """
        Cancel the task. A running one is told to stop, at the latest after two seconds.

        Return whether that was possible: False if it had already finished.
        """
        return bool(self._backend().cancel(self.id))

    def requeue(self) -> bool:
        """Run a failed or cancelled task again, with its attempts counted anew."""
        return bool(self._backend().requeue(self.id))

    async def acancel(self) -> bool:
        """See cancel()."""
        return await sync_to_async(self.cancel, thread_sensitive=True)()

    async def arequeue(self) -> bool:
        """See requeue()."""
        return await sync_to_async(self.requeue, thread_sensitive=True)()

    def progress_token(
        self,
        *,
        max_age: float | timedelta | None = progress_tokens.MAX_AGE,
        allows: progress_tokens.Allows = "progress",
    ) -> str:
        """
        Return signed text that lets whoever has it ask how far this task is, without a login.

        `max_age`: seconds or a timedelta, a day by default; None: for ever. `allows`: "progress",
        or "result" to show the return value and the error's class too. Raise ValueError for other
        values.
        """
        return progress_tokens.issue(
            self.id, self.backend, max_age=max_age, allows=allows, now=time.time()
        )

    def progress_url(
        self,
        request: HttpRequest | None = None,
        *,
        max_age: float | timedelta | None = progress_tokens.MAX_AGE,
        allows: progress_tokens.Allows = "progress",
    ) -> str:
        """
        Return the address that tells how far this task is; with its host if there is a `request`.

        `max_age` and `allows`: see progress_token(). Raise NoReverseMatch if the project's URLs do
        not include django_tasks.urls.
        """
        # Imported when needed: a worker can do without URLs.
        from django.urls import reverse

        token = self.progress_token(max_age=max_age, allows=allows)
        url = reverse("django_tasks:progress", args=[token])
        return request.build_absolute_uri(url) if request is not None else url

    def _backend(self) -> Any:
        return self.task.get_backend()


def refuse_in_a_task() -> None:
    if is_inside_a_task() and not app_settings.ALLOW_WAIT_IN_TASKS:
        raise RuntimeError(
            "Waiting for a result inside of a task blocks a slot of the worker, and a pool whose"
            " slots all wait never ends. Enqueue a follow-up task instead, or allow it with"
            " DJANGO_TASKS = {'ALLOW_WAIT_IN_TASKS': True}."
        )


def refuse_in_an_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        raise SynchronousOnlyOperation(
            "wait() would stop the event loop that this code runs in: use `await"
            " result.await_(timeout)`."
        )


def pauses(timeout: float | None, longest: float = 0.25) -> Iterator[float]:
    """Yield growing pauses from 2 ms to `longest` seconds until `timeout` seconds are over."""
    end = None if timeout is None else time.monotonic() + timeout
    pause = 0.002
    while True:
        left = float("inf") if end is None else end - time.monotonic()
        yield max(0.0, min(pause, left))
        if left <= 0:
            return
        pause = min(pause * 1.5, longest)
