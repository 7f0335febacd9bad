"""Results by id, and those of tasks that ran eagerly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..definitions.results import pauses
from ..dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ..dep14.handler import task_backends
from ..exceptions import TaskResultDoesNotExist
from ..statuses import Status
from . import states
from .exceptions import TaskRevokedError, TimeoutError
from .joining import allow_join_result, assert_will_not_block, denied_join_result
from .remote_errors import exception_of
from .values import decode

if TYPE_CHECKING:
    from ..definitions.results import TaskResult

__all__ = ["AsyncResult", "EagerResult", "allow_join_result", "denied_join_result"]


class AsyncResult:
    """
    The result of a task, by its id.

    It is read with each use until the task has finished. An id of no task is PENDING, as in Celery.
    """

    def __init__(
        self,
        id: str,
        backend: Any = None,
        task_name: str | None = None,
        app: Any = None,
        parent: Any = None,
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires valid id, not {type(id)}")
        self.id = str(id)
        self.task_name = task_name
        self.app = app
        self.parent = parent
        self._finished: TaskResult[Any] | None = None

    @property
    def task_id(self) -> str:
        """The id, by its other name."""
        return self.id

    @property
    def native_id(self) -> UUID:
        """The id that the row has."""
        from .app.native import native_id

        return native_id(self.id)

    @property
    def backend(self) -> Any:
        """The native backend."""
        return task_backends[DEFAULT_TASK_BACKEND_ALIAS]

    def _read(self) -> TaskResult[Any] | None:
        """Return what is known of the task now; None for an unknown id."""
        if self._finished is not None:
            return self._finished
        try:
            result: TaskResult[Any] = self.backend.get_result(str(self.native_id))
        except TaskResultDoesNotExist:
            return None
        if result.is_finished:
            self._finished = result
        return result

    # --- what is known --------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of `celery.states`, or the task's own."""
        return _state_of(self._read())

    status = state

    @property
    def result(self) -> Any:
        """The value; of a failed task the exception; while it runs what update_state() said."""
        return _value_of(self._read())

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of a task that failed or is retried, as text."""
        result = self._read()
        is_error = _state_of(result) in states.EXCEPTION_STATES
        return result.errors[-1].traceback if result and is_error and result.errors else None

    @property
    def date_done(self) -> Any:
        """When it finished."""
        result = self._read()
        return result.finished_at if result else None

    @property
    def name(self) -> str | None:
        """The name of the task."""
        result = self._read()
        return result.task.module_path if result else self.task_name

    @property
    def args(self) -> Any:
        """What it was called with."""
        result = self._read()
        return decode(result.args) if result else None

    @property
    def kwargs(self) -> Any:
        """What it was called with by name."""
        result = self._read()
        return decode(result.kwargs) if result else None

    @property
    def worker(self) -> str | None:
        """The id of the worker that ran it last."""
        result = self._read()
        return result.worker_ids[-1] if result and result.worker_ids else None

    @property
    def retries(self) -> int | None:
        """How often it was retried."""
        result = self._read()
        return max(0, result.attempts - 1) if result else None

    @property
    def queue(self) -> str | None:
        """The name of its queue."""
        result = self._read()
        return result.task.queue_name if result else None

    @property
    def children(self) -> list[Any]:
        """Nothing: which tasks a task has called is not stored."""
        return []

    def ready(self) -> bool:
        """Tell whether the task has finished."""
        result = self._read()
        return result is not None and result.is_finished

    def successful(self) -> bool:
        """Tell whether the task returned a value."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Tell whether the task failed."""
        return self.state == states.FAILURE

    def exists(self) -> bool:
        """Tell whether there is such a task."""
        return self._read() is not None

    @property
    def ignored(self) -> bool:
        """Whether the value is not stored."""
        result = self._read()
        return bool(result and getattr(result.task, "ignore_result", False))

    # --- waiting --------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Any = None,
        on_message: Any = None,
        on_interval: Any = None,
        disable_sync_subtasks: bool = True,
        **kwargs: Any,
    ) -> Any:
        """
        Wait until the task has finished, and return its value.

        `timeout`: seconds; None waits for ever. `propagate`: raise the exception of a task that
        failed; else return it. `interval`: most seconds between two looks. Raise TimeoutError,
        which says why the task has not finished; RuntimeError inside of a task, unless
        `disable_sync_subtasks` is False, and in a transaction that would not see it finish.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        self._wait(timeout, interval, on_interval)
        value, state = self.result, self.state
        if propagate and state in states.PROPAGATE_STATES:
            raise value if isinstance(value, BaseException) else Exception(value)
        if callback is not None:
            callback(self.id, value)
        return value

    wait = get

    def _wait(self, timeout: float | None, interval: float, on_interval: Any) -> None:
        check_wait = getattr(self.backend, "check_wait", None)
        for look, pause in enumerate(pauses(timeout, interval)):
            if self.ready():
                return
            if look == 0 and check_wait is not None and (timeout is None or timeout > 0):
                check_wait()
            if on_interval is not None:
                on_interval()
            time.sleep(pause)
        raise TimeoutError(self._why_not(timeout))

    def _why_not(self, timeout: float | None) -> str:
        explain = getattr(self.backend, "explain", None)
        why = explain(str(self.native_id)) if explain else ""
        return f"The operation timed out: task {self.id} after {timeout:g} s. {why}".rstrip()

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """Return the result as it is now; raise the exception of a task that failed."""
        value, state = self.result, self.state
        if propagate and state in states.PROPAGATE_STATES:
            raise value
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw

    # --- changing -------------------------------------------------------------------------------

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: Any = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Cancel the task unless it runs; with `terminate` also then."""
        from .app.control import revoke

        revoke([self.id], terminate)

    def forget(self) -> None:
        """Delete the task with its result, if it has finished."""
        from ..store.tasks import deletions

        deletions.delete_finished(self.backend.database, [self.native_id])
        self._finished = None

    def as_tuple(self) -> Any:
        """Return the ids of this result and those before it."""
        return (self.id, self.parent and self.parent.as_tuple()), None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return other.id == self.id
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __reduce__(self) -> Any:
        return type(self), (self.id, None, self.task_name, None, self.parent)


def _state_of(result: TaskResult[Any] | None) -> str:
    if result is None:
        return states.PENDING
    if result.record_status == Status.CANCELLED and result.errors:
        if result.errors[-1].exception_class_path.endswith("celery.app.trace.Ignored"):
            return result.custom_state or states.IGNORED
        if result.errors[-1].exception_class_path.endswith("celery.app.trace.Rejected"):
            return states.REJECTED
    return result.state


def _value_of(result: TaskResult[Any] | None) -> Any:
    state = _state_of(result)
    if result is None:
        return None
    if result.record_status == Status.SUCCESSFUL:
        return decode(result.return_value)
    if result.record_status == Status.CANCELLED and state == states.REVOKED:
        return TaskRevokedError("revoked")
    if state in (states.FAILURE, states.RETRY) and result.errors and not result.custom_state:
        return exception_of(result.errors[-1])
    if result.record_status == Status.FAILED and result.errors:
        return exception_of(result.errors[-1])
    return decode(result.meta)


class EagerResult(AsyncResult):
    """The result of a task that ran here."""

    def __init__(
        self,
        id: str,
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id, task_name=name)
        self._result = ret_value
        self._state = state
        self._traceback = traceback

    @property
    def state(self) -> str:
        """How it ended."""
        return self._state

    status = state

    @property
    def result(self) -> Any:
        """What it returned, or raised."""
        return self._result

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of what it raised, as text."""
        return self._traceback

    @property
    def name(self) -> str | None:
        """The name of the task."""
        return self.task_name

    def ready(self) -> bool:
        """Return True."""
        return True

    def get(  # type: ignore[override]
        self,
        timeout: float | None = None,
        propagate: bool = True,
        disable_sync_subtasks: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Return the value; raise what the body raised, or with `propagate=False` return it."""
        if disable_sync_subtasks:
            assert_will_not_block()
        if self.state in states.PROPAGATE_STATES and propagate:
            raise self.result if isinstance(self.result, Exception) else Exception(self.result)
        has_value = self.state == states.SUCCESS or self.state in states.PROPAGATE_STATES
        return self.result if has_value else None

    wait = get  # type: ignore[assignment]

    def forget(self) -> None:
        """Do nothing: it is stored nowhere."""

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Make it a revoked one, as Celery does."""
        self._state = states.REVOKED
        self._result = TaskRevokedError("revoked")
        self._traceback = None

    def __reduce__(self) -> Any:
        return type(self), (self.id, self._result, self._state, self._traceback, self.task_name)
