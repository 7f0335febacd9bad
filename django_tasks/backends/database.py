"""The backend that stores tasks in the project's database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction

from .. import conf, ids, instrumentation, serializers
from ..brokers import configured as known_brokers
from ..brokers.base import Broker, Ready
from ..conf import app_settings, suggest
from ..definitions import codecs, propagation
from ..definitions.codecs import Serializer
from ..definitions.protocols import Backoff
from ..definitions.results import TaskResult
from ..definitions.retries import DEFAULT_BACKOFF
from ..definitions.signatures import checker_of
from ..definitions.task import Task
from ..dep14.backends import BaseTaskBackend
from ..exceptions import InvalidTask, TaskResultDoesNotExist
from ..instrumentation import Batch, Event, TaskEvent
from ..routing import is_queue_name
from ..runtime.extensions import EXTENSIONS, WrongExtension, load_class
from ..signals import has_listeners, task_enqueued
from . import options
from .validation import check_task

if TYPE_CHECKING:
    from ..store.tasks.enqueue import NewTask

# The store imports models, which a backend must not do before the app registry is ready: tasks
# are decorated, and backends made, while apps load. Hence the imports inside of the methods.


class DatabaseBackend(BaseTaskBackend):
    """
    Enqueues by inserting a row in the caller's transaction; `manage.py runworker` runs it.

    OPTIONS: see `options.OPTIONS`. QUEUES: names that tasks may use; an empty list allows any.
    """

    task_class = Task
    #: Its tasks are rows: workers, schedules and the admin serve it.
    stores_rows = True
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    supports_metadata = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, options.without_mistakes(params))
        #: What is wrong with its settings. Decorators make backends: a mistake must not keep the
        #: project from being imported, so `check` tells of it, and `database` raises it.
        self.mistakes = list(options.errors(alias, params))
        self.max_attempts: int = 1 if self.mistakes else self.options.get("max_attempts", 1)

    @cached_property
    def database(self) -> str:
        """
        The alias of the database that holds this backend's tasks.

        Whoever uses the backend asks for it. Raise ImproperlyConfigured if its settings are wrong.
        """
        from ..models import TaskRecord

        self._refuse_mistakes()
        named: str | None = self.options.get("database")
        return named or router.db_for_write(TaskRecord)

    def _refuse_mistakes(self) -> None:
        """Raise ImproperlyConfigured if the settings of this backend are wrong."""
        if self.mistakes:
            raise ImproperlyConfigured(" ".join(self.mistakes))

    @cached_property
    def backoff(self) -> Backoff:
        """The backoff of tasks that have none."""
        backoff: Backoff | str | None = self.options.get("backoff")
        if isinstance(backoff, str):
            return options.imported_backoff(self.alias, backoff)
        return DEFAULT_BACKOFF if backoff is None else backoff

    @cached_property
    def serializer(self) -> Serializer | None:
        """What encodes arguments and results. None: they are plain JSON."""
        path: str | None = self.options.get("serializer")
        if path is None:
            return None
        self._refuse_mistakes()
        where = f"TASKS[{self.alias!r}]['OPTIONS']['serializer']"
        made: Serializer = load_class(where, path, Serializer)()
        return made

    @property
    def broker(self) -> Broker:
        """Who hands out ready ids."""
        return known_brokers.broker_for(self.alias)

    def ready_queues(self) -> list[str]:
        """Return the queues that have ready tasks, for brokers that cannot say."""
        from ..store import dialects

        connection = connections[self.database]
        return dialects.dialect_for(connection).ready_queues(connection, self.alias)

    # --- validation -----------------------------------------------------------------------------

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask unless this backend can run `task`."""
        check_task(self, task)

    # --- enqueue --------------------------------------------------------------------------------

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> TaskResult[Any]:  # type: ignore[override]
        """Store a task in the caller's transaction and return its result at once."""
        new = self.prepare(task)
        return self._store(new, task.task_id or ids.uuid7(), self._to_json(task, args, kwargs))

    def _store(self, new: NewTask, task_id: UUID, own: tuple[str, str]) -> TaskResult[Any]:
        from ..store.tasks import enqueue

        wake = self.broker.wakes(new.task.queue_name)
        if new.task.task_id is None:
            enqueue.insert(self.database, new, task_id, *own, wake=wake)
        elif there := self._insert_given(new, task_id, own, wake):
            return there
        self._publish(new, [task_id])
        result = new.result(task_id, *own)
        self.tell([result])
        return result

    def _insert_given(
        self, new: NewTask, task_id: UUID, own: tuple[str, str], wake: bool
    ) -> TaskResult[Any] | None:
        """Store it under the caller's id; return the result of the task that was there before."""
        from ..store.tasks import given_ids, publishing

        there = given_ids.insert(self.database, new, task_id, *own, wake=wake)
        if there is not None:
            # Whoever stored it may have ended before the broker was told.
            publishing.publish_again(self.database, [task_id])
        return there

    def enqueue_many(
        self,
        task: Any,
        calls: Iterable[tuple[Sequence[Any], dict[str, Any]]],
        task_ids: Sequence[UUID] | None = None,
    ) -> Sequence[TaskResult[Any]]:
        """Store a task per item, all or none; see `Task.enqueue_many`."""
        new = self.prepare(task)
        if task.task_id is not None:
            raise InvalidTask("task_id is of one call; give enqueue_many() task_ids, one per item.")
        from ..store.tasks import enqueue

        if task_ids is not None:
            calls = list(calls)
            if len(calls) != len(task_ids):
                raise ValueError(
                    f"enqueue_many: {len(calls)} items and {len(task_ids)} task_ids; give one id"
                    " per item."
                )
        own = enqueue.make_rows(
            calls, lambda args, kwargs: self._to_json(task, args, kwargs), task_ids
        )
        if task_ids is not None:
            return self._store_given(new, own)
        results = enqueue.EnqueuedMany(new, own)
        if own:
            enqueue.insert_many(self.database, new, own, wake=self.broker.wakes(task.queue_name))
            self._publish(new, [task_id for task_id, _, _ in own])
            self.tell(results)
        return results

    def _store_given(
        self, new: NewTask, own: Sequence[tuple[UUID, str, str]]
    ) -> Sequence[TaskResult[Any]]:
        """Store what is not there yet under the callers' ids; return all results."""
        from ..store.tasks import enqueue, given_ids, publishing

        wake = self.broker.wakes(new.task.queue_name)
        there = given_ids.insert_many(self.database, new, own, wake=wake)
        stored = [row for row in own if row[0] not in there]
        if stored:
            self._publish(new, [task_id for task_id, _, _ in stored])
            self.tell(enqueue.EnqueuedMany(new, stored))
        publishing.publish_again(self.database, there)
        return enqueue.EnqueuedMany(new, own, there)

    def enqueue_on_commit(
        self, task: Any, args: Sequence[Any], kwargs: dict[str, Any], *, using: str
    ) -> TaskResult[Any]:
        """Store the task when the transaction on `using` commits; see `Task.enqueue_on_commit`."""
        if using == self.database:
            return self.enqueue(task, args, kwargs)
        new = self.prepare(task)
        task_id = task.task_id or ids.uuid7()
        own = self._to_json(task, args, kwargs)
        result = new.result(task_id, *own)
        transaction.on_commit(partial(self._store, new, task_id, own), using=using)
        return result

    def _publish(self, new: NewTask, task_ids: Sequence[UUID]) -> None:
        """Hand out tasks once they are committed; notify keepers of those that are to run later."""
        if not self.broker.publishes:
            return
        from ..store.tasks import publishing

        task = new.task
        if new.is_due:
            ready = [Ready(task_id, task.queue_name, task.priority) for task_id in task_ids]
            publishing.publish(self.database, self.alias, ready)
        if new.run_after is not None:  # also of what is due: the database's clock decides
            publishing.expect(self.database)

    def prepare(self, task: Any) -> NewTask:
        from ..store.tasks.enqueue import NewTask, database_clock

        if not isinstance(task, Task):
            raise InvalidTask(
                f"{task!r} was made for another backend's task class. Import `task` from"
                " django_tasks, or decorate with this backend's alias."
            )
        self.validate_task(task)
        captured = propagation.capture() if app_settings.CONTEXT_PROPAGATORS else {}
        return NewTask(
            task,
            self.alias,
            datetime.now(UTC),
            propagation.metadata_text(task.metadata, captured),
            lambda: database_clock(self.database),
        )

    def _to_json(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[str, str]:
        checker = checker_of(task.func, task.takes_context)
        checker.check(args, kwargs)
        if self.serializer is not None:
            args, kwargs = codecs.encoded(self.serializer, args, kwargs)
        limit = app_settings.MAX_ARGS_BYTES
        try:
            args_json = serializers.dumps(list(args), "args", limit) if args else "[]"
            left = limit - len(args_json)
            return args_json, serializers.dumps(kwargs, "kwargs", left) if kwargs else "{}"
        except (TypeError, ValueError):
            for name, value in checker.named(args, kwargs):
                serializers.normalized(value, f"argument {name!r}")
            raise  # each is JSON: together they are too large

    def tell(self, results: Sequence[TaskResult[Any]]) -> None:
        """Tell of tasks that were enqueued: subscribers after the commit, receivers at once."""
        if instrumentation.subscribers():
            events = [_event(result) for result in results]
            batch = Batch(Event.ENQUEUED, self.alias, events)
            transaction.on_commit(partial(instrumentation.tell, batch), using=self.database)
        self.send_enqueued(results)

    def send_enqueued(self, results: Sequence[TaskResult[Any]]) -> None:
        """Send task_enqueued for each."""
        if has_listeners(task_enqueued, type(self)):
            for result in results:
                task_enqueued.send(type(self), task_result=result)

    # --- results --------------------------------------------------------------------------------

    def get_result(self, result_id: str) -> TaskResult[Any]:
        """Return a task's result. Raise TaskResultDoesNotExist for an unknown or malformed id."""
        from ..store.tasks import enqueue

        task_id = ids.parse(result_id)
        result = enqueue.load(self.database, task_id) if task_id else None
        if result is None:
            raise TaskResultDoesNotExist(
                f"There is no task {result_id!r} in the database {self.database!r} of backend"
                f" {self.alias!r}: it was deleted since, or its transaction was not committed."
            )
        return result

    def check_wait(self) -> None:
        """Raise RuntimeError if waiting for a result would be in vain."""
        from . import waiting

        waiting.check(self.database)

    def explain(self, result_id: str) -> str:
        """Return in English why a task has not finished; empty for an unknown id."""
        from . import waiting

        task_id = ids.parse(result_id)
        return waiting.explain(self.database, task_id) if task_id else ""

    def exists(self, result_id: str) -> bool:
        """Tell whether there is a task of this id."""
        from ..models import TaskRecord

        task_id = ids.parse(result_id)
        rows = TaskRecord.objects.using(self.database)
        return task_id is not None and rows.filter(pk=task_id).exists()

    def cancel(self, result_id: str) -> bool:
        """Cancel a task; see `TaskResult.cancel`."""
        from ..store.tasks import transitions

        task_id = ids.parse(result_id)
        return task_id is not None and any(transitions.cancel(self.database, [task_id]))

    def requeue(self, result_id: str) -> bool:
        """Run a failed or cancelled task again; see `TaskResult.requeue`."""
        from ..store.tasks import transitions

        task_id = ids.parse(result_id)
        return task_id is not None and bool(transitions.requeue(self.database, [task_id]))

    # --- checks ---------------------------------------------------------------------------------

    def check(self, **kwargs: Any) -> Iterable[django_checks.CheckMessage]:  # type: ignore[override]
        """Return what is wrong with this backend's settings, without a query."""
        from django.apps import apps

        if not apps.is_installed("django_tasks"):
            yield django_checks.Error(
                f"TASKS[{self.alias!r}] names DatabaseBackend, but its app is not installed.",
                hint='Add "django_tasks" to INSTALLED_APPS and run `manage.py migrate`.',
                id="django_tasks.E002",
            )
        if self.mistakes:
            for mistake in self.mistakes:
                yield django_checks.Error(mistake, id="django_tasks.E016")
            return  # what else there is to say relies on them
        database = self.options.get("database")
        if database is not None and database not in connections:
            yield django_checks.Error(
                f"TASKS[{self.alias!r}]['OPTIONS']['database'] is {database!r}, which is not in"
                f" DATABASES{suggest(database, connections)}",
                id="django_tasks.E004",
            )
        if not conf.current()[1]:  # E003 tells of those, and brokers read settings
            yield from self._check_broker()
        try:
            self.serializer  # noqa: B018 - imports it
        except ImproperlyConfigured as error:
            yield django_checks.Error(str(error), hint=EXTENSIONS, id="django_tasks.E015")
        try:
            self.backoff  # noqa: B018 - imports it
        except ImproperlyConfigured as error:
            yield django_checks.Error(str(error), id="django_tasks.E008")
        for queue_name in sorted(map(str, self.queues)):
            if not is_queue_name(queue_name):
                yield django_checks.Error(
                    f"TASKS[{self.alias!r}]['QUEUES'] has {queue_name!r}, which is no queue name.",
                    hint="Up to 100 characters without spaces, commas or '*'.",
                    id="django_tasks.E005",
                )

    def _check_broker(self) -> Iterable[django_checks.CheckMessage]:
        try:
            broker = self.broker
        except WrongExtension as error:
            return [django_checks.Error(str(error), hint=EXTENSIONS, id="django_tasks.E014")]
        except ImproperlyConfigured as error:
            return [django_checks.Error(str(error), id="django_tasks.E009")]
        return broker.check()


def _event(result: TaskResult[Any]) -> TaskEvent:
    task = result.task
    return TaskEvent(
        UUID(result.id),
        task.module_path,
        task.queue_name,
        task.priority,
        enqueued_at=result.enqueued_at,
        run_after=task.run_after if isinstance(task.run_after, datetime) else None,
    )
