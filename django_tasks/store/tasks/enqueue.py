"""Enqueue tasks: write their records. And read results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NoReturn, overload
from uuid import UUID

from django.db import IntegrityError, InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ... import serializers
from ...definitions import codecs, propagation, registry
from ...definitions.progress import Progress
from ...definitions.results import TaskError, TaskResult
from ...definitions.task import Task
from ...ids import uuid7
from ...models import TaskAttempt, TaskRecord
from ...statuses import ERROR_OUTCOMES, FINAL_STATUSES, AttemptOutcome, Status, public_status
from .. import dialects
from ..retrying import is_callers
from ..values import NewRow, NewRows
from . import policy

#: Columns that the rows of one enqueue_many() share.
_SHARED = (
    "task_path",
    "queue_name",
    "priority",
    "backend",
    "metadata",
    "max_attempts",
    "run_after",
    "expires_at",
    "enqueued_at",
)
_RUN_AFTER = _SHARED.index("run_after")
CHUNK = 1000


class NewTask:
    """A task that is about to be stored: what its rows share, and the results to return."""

    def __init__(
        self,
        task: Task[..., Any],
        alias: str,
        now: datetime,
        metadata: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        self.task = task
        self.alias = alias
        self.now = now
        self.metadata = metadata
        #: By which clock `run_after` is compared: the database's if it was asked.
        self.moment = clock() if _is_delay(task.run_after) or _is_delay(task.expires) else now
        self.run_after = _after(task.run_after, self.moment)
        self.expires_at = _after(task.expires, self.moment)
        if isinstance(task.run_after, timedelta) and task.run_after <= timedelta(0):
            self.run_after = None

    @property
    def is_due(self) -> bool:
        """Whether it may run at once."""
        return self.run_after is None or self.run_after <= self.moment

    def shared_values(self, connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
        """Return the values of `_SHARED` as the database's driver takes them."""
        adapt = connection.ops.adapt_datetimefield_value
        task = self.task
        return (
            task.module_path,
            task.queue_name,
            task.priority,
            self.alias,
            self.metadata,
            task.max_attempts,
            adapt(self.run_after),
            adapt(self.expires_at),
            adapt(self.now),
        )

    def row(self, connection: BaseDatabaseWrapper, task_id: Any, args: str, kwargs: str) -> NewRow:
        """Return the row of one task, whose id is given as the driver takes it."""
        shared = self.shared_values(connection)
        given = [i for i, value in enumerate(shared) if value is not None]
        policies = policy.of(self.task)
        return NewRow(
            columns=("id", "args", "kwargs", *[_SHARED[i] for i in given], *policies),
            values=(task_id, args, kwargs, *[shared[i] for i in given], *policies.values()),
            run_after=shared[_RUN_AFTER],
            queue_name=self.task.queue_name,
        )

    def result(self, task_id: UUID, args: str, kwargs: str) -> TaskResult[Any]:
        """Return the result as get_result() would read it now."""
        metadata, propagated = propagation.split(self.metadata)
        own_args, own_kwargs = codecs.read_arguments(self.alias, args, kwargs)
        return TaskResult(
            task=self.task.restored(
                run_after=self.run_after,
                expires=self.expires_at or self.task.expires,
                task_id=None,
            ),
            id=str(task_id),
            status=public_status(Status.READY),
            enqueued_at=self.now,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=own_args,
            kwargs=own_kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
            record_status=Status.READY if self.is_due else Status.SCHEDULED,
            metadata=metadata,
            propagated=propagated,
            run_after=self.run_after,
            expires_at=self.expires_at,
        )


def _is_delay(when: float | timedelta | datetime | None) -> bool:
    return when is not None and not isinstance(when, datetime)


def _after(when: float | timedelta | datetime | None, moment: datetime) -> datetime | None:
    """Return when that is, counted from `moment`."""
    if when is None:
        return None
    if isinstance(when, datetime):
        return when.astimezone(UTC)
    return moment + (when if isinstance(when, timedelta) else timedelta(seconds=when))


def database_clock(database: str) -> datetime:
    """Return the time of the database."""
    connection = connections[database]
    return dialects.dialect_for(connection).clock(connection)


def sees_commits(database: str) -> bool:
    """Tell whether a transaction that is open, if one is, sees what others commit meanwhile."""
    connection = connections[database]
    return not is_callers(connection) or dialects.dialect_for(connection).sees_commits(connection)


def insert(
    database: str, new: NewTask, task_id: UUID, args: str, kwargs: str, *, wake: bool
) -> None:
    """Store one task in the caller's transaction, if there is one."""
    connection = connections[database]
    dialect = dialects.dialect_for(connection)
    row = new.row(connection, dialect.to_id(task_id), args, kwargs)
    surely(connection, lambda: dialect.insert(connection, row, wake and new.run_after is None))


def insert_many(
    database: str, new: NewTask, own: Sequence[tuple[UUID, str, str]], *, wake: bool
) -> None:
    """Store tasks that differ in their arguments only, all or none."""
    connection = connections[database]

    def insert_all() -> None:
        with transaction.atomic(using=database, savepoint=False):
            insert_chunks(connection, new, own, wake=wake)

    surely(connection, insert_all)


def insert_chunks(
    connection: BaseDatabaseWrapper,
    new: NewTask,
    own: Sequence[tuple[UUID, str, str]],
    *,
    wake: bool,
    further: Mapping[str, Any] = MappingProxyType({}),
    waits: bool = False,
) -> None:
    """
    Insert so many rows by one statement per `CHUNK`.

    `further`: columns that all of them have set, and their values. `waits`: WAITING for others.
    """
    dialect = dialects.dialect_for(connection)
    shared = new.shared_values(connection)
    columns = {**policy.of(new.task), **further}
    for start in range(0, len(own), CHUNK):
        rows = NewRows(
            columns=(*_SHARED, *columns),
            shared=(*shared, *columns.values()),
            own=own[start : start + CHUNK],
            run_after=shared[_RUN_AFTER],
            queue_name=new.task.queue_name,
            waits=waits,
        )
        dialect.insert_many(connection, rows, wake and new.run_after is None)


def surely(connection: BaseDatabaseWrapper, insert: Callable[[], None]) -> None:
    """
    Insert, once more if the connection breaks outside of a caller's transaction.

    The reply to the commit may be all that was lost; the ids are nobody else's, so that a row that
    is there already shows itself. (`insert` of ids that others may use, too, looks for itself.)
    """
    # A new connection has lost what the caller wrote before.
    raw, belongs_to_caller = connection.connection, is_callers(connection)
    try:
        insert()
    except (OperationalError, InterfaceError):
        if belongs_to_caller or _works(connection, raw):
            raise  # the caller's to repeat, or another reason: a lock, a full disk
        connection.close()
        try:
            insert()
        except IntegrityError:
            return  # the first try was committed


def _works(connection: BaseDatabaseWrapper, raw: Any) -> bool:
    """Tell whether the connection is the one it was and still there."""
    if raw is not None and connection.connection is not raw:
        return False  # the end of atomic() has replaced it already
    return connection.connection is not None and connection.is_usable()


class EnqueuedMany(Sequence[TaskResult[Any]]):
    """The results of enqueue_many(), each built when it is asked for."""

    def __init__(
        self,
        new: NewTask,
        own: Sequence[tuple[UUID, str, str]],
        there: Mapping[UUID, TaskResult[Any]] | None = None,
    ) -> None:
        self._new = new
        self._own = own
        #: Results of those that were stored before.
        self._there = there or {}
        self._built: dict[int, TaskResult[Any]] = {}

    def __len__(self) -> int:
        return len(self._own)

    @overload
    def __getitem__(self, index: int) -> TaskResult[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TaskResult[Any]]: ...
    def __getitem__(self, index: int | slice) -> TaskResult[Any] | Sequence[TaskResult[Any]]:
        if isinstance(index, slice):
            return EnqueuedMany(self._new, self._own[index], self._there)
        position = range(len(self._own))[index]
        if position not in self._built:
            own = self._own[position]
            self._built[position] = self._there.get(own[0]) or self._new.result(*own)
        return self._built[position]

    def __repr__(self) -> str:
        return f"<{len(self)} enqueued tasks of {self._new.task.module_path}>"

    @property
    def ids(self) -> list[str]:
        """The ids of all results."""
        return [str(task_id) for task_id, _, _ in self._own]


def make_rows(
    calls: Iterable[tuple[Sequence[Any], dict[str, Any]]],
    to_json: Callable[[Sequence[Any], dict[str, Any]], tuple[str, str]],
    task_ids: Iterable[UUID] | None = None,
) -> list[tuple[UUID, str, str]]:
    """
    Return an (id, args, kwargs) for each call; raise before any of them is stored.

    `task_ids`: one for each. None: they are made.
    """
    given = iter(uuid7, None) if task_ids is None else task_ids
    rows: list[tuple[UUID, str, str]] = []
    for index, (task_id, (args, kwargs)) in enumerate(zip(given, calls, strict=False)):
        try:
            rows.append((task_id, *to_json(args, kwargs)))
        except (TypeError, ValueError) as error:
            raise type(error)(f"enqueue_many: item {index}: {error}") from None
    return rows


def load(database: str, task_id: UUID) -> TaskResult[Any] | None:
    """Return the result of one task as it is stored, or None."""
    for result in load_many(database, [task_id]):
        return result
    return None


def load_many(database: str, task_ids: Sequence[UUID]) -> list[TaskResult[Any]]:
    """Return the results of several tasks, with their attempts, in two queries."""
    return results_of(database, list(TaskRecord.objects.using(database).filter(pk__in=task_ids)))


def results_of(database: str, records: Sequence[TaskRecord]) -> list[TaskResult[Any]]:
    """Return the results of rows that were read, with their attempts, in one query."""
    attempts: dict[UUID, list[TaskAttempt]] = {record.pk: [] for record in records}
    asked = [record.pk for record in records if _may_have_attempts(record)]
    if asked:
        for attempt in TaskAttempt.objects.using(database).filter(task_id__in=asked):
            attempts[attempt.task_id].append(attempt)
    return [result_of(record, attempts[record.pk]) for record in records]


def _may_have_attempts(record: TaskRecord) -> bool:
    """Tell whether attempts may be stored: not before the first ended otherwise than well."""
    if record.status in (Status.RUNNING, Status.SUCCESSFUL):
        return record.claims > 1
    return record.claims > 0 or record.status in FINAL_STATUSES


def result_of(record: TaskRecord, attempts: Sequence[TaskAttempt]) -> TaskResult[Any]:
    """Build the result that `record` and its attempts describe."""
    kept = [a for a in attempts if a.outcome != AttemptOutcome.LATE]
    worker_ids = [str(a.worker_id) for a in kept if a.worker_id is not None]
    if record.status in (Status.RUNNING, Status.SUCCESSFUL) and record.worker_id:
        worker_ids.append(str(record.worker_id))
    metadata, propagated = propagation.split(record.metadata)
    args, kwargs = codecs.read_arguments(record.backend, record.args, record.kwargs)
    result: TaskResult[Any] = TaskResult(
        task=_task_of(record),
        id=str(record.pk),
        status=public_status(record.status),
        enqueued_at=record.enqueued_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        last_attempted_at=record.last_attempted_at,
        args=args,
        kwargs=kwargs,
        backend=record.backend,
        errors=[_error_of(a) for a in kept if a.outcome in ERROR_OUTCOMES],
        worker_ids=worker_ids,
        record_status=Status(record.status),
        attempts_made=record.attempts,
        custom_state=record.custom_state,
        meta=serializers.loads(record.meta) if record.meta else None,
        progress=Progress.from_json(record.progress),
        metadata=metadata,
        propagated=propagated,
        run_after=record.run_after,
        expires_at=record.expires_at,
    )
    if record.return_value is not None:
        value = codecs.read_value(record.backend, record.return_value)
        object.__setattr__(result, "_return_value", value)
    return result


def _error_of(attempt: TaskAttempt) -> TaskError:
    return TaskError(
        exception_class_path=attempt.exception_path,
        traceback=attempt.traceback,
        outcome=attempt.outcome,
        attempt=attempt.number,
        finished_at=attempt.finished_at,
    )


def _task_of(record: TaskRecord) -> Task[..., Any]:
    """Return the task as it was enqueued; settings that changed since do not matter."""
    known = registry.find(record.task_path)
    if known is None:
        return _unknown_task(record)
    task: Task[..., Any] = known.restored(
        priority=record.priority,
        queue_name=record.queue_name,
        run_after=record.run_after,
        expires=record.expires_at or known.expires,
        backend=record.backend,
        max_attempts=known.max_attempts if record.max_attempts is None else record.max_attempts,
        metadata=propagation.split(record.metadata)[0] or known.metadata,
        **policy.restored(known, record.result_ttl, record.on_lost),
    )
    return task


def _unknown_task(record: TaskRecord) -> Task[..., Any]:
    """Stand in for a task whose code is gone: its result can still be read."""

    def gone(*args: Any, **kwargs: Any) -> NoReturn:
        raise LookupError(f"Task {record.task_path} is not known in this process.")

    gone.__module__, _, gone.__qualname__ = record.task_path.rpartition(".")
    gone.__name__ = gone.__qualname__
    defaults = {name: f.default for name, f in Task.__dataclass_fields__.items()}
    blank: Task[..., Any] = object.__new__(Task)
    for name, value in defaults.items():
        object.__setattr__(blank, name, value)
    return blank.restored(
        func=gone,
        priority=record.priority,
        queue_name=record.queue_name,
        run_after=record.run_after,
        backend=record.backend,
        **policy.restored(blank, record.result_ttl, record.on_lost),
    )
