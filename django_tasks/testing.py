"""
Helpers for the tests of projects that use django_tasks.

They run tasks in the test's own thread, on its own connection, so they work inside of TestCase's
transaction, without a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from .backends.database import DatabaseBackend
from .definitions.results import TaskResult
from .definitions.task import Task
from .dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from .dep14.handler import task_backends
from .models import TaskRecord
from .routing import QueueSelection
from .store.tasks import ends, enqueue, transitions
from .worker.config import WorkerConfig
from .worker.execution.inline import InlineWorker

__all__ = ["enqueued_tasks", "run_pending_tasks"]


def run_pending_tasks(
    *,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    queues: str = "*",
    limit: int | None = None,
    include_scheduled: bool = False,
) -> list[TaskResult[Any]]:
    """
    Run the tasks that are ready, here and now, and return their results.

    Tasks that those enqueue are run, too; those of paused queues are left, as by a worker.
    `limit`: most tasks to run; None: until none is left.
    `include_scheduled`: run also what is due later, as retries, without waiting for its time.
    Time limits are not enforced. Raise nothing for a task that fails: look at its result.
    """
    chosen = task_backends[backend]
    if not isinstance(chosen, DatabaseBackend):
        raise TypeError(f"Backend {backend!r} keeps no tasks in a database; there is none to run.")
    config = WorkerConfig(
        backend=backend,
        database=chosen.database,
        queues=QueueSelection.parse(queues),
        pool="solo",
        processes=1,
        slots=1,
        grace=0.0,
        host="test",
        worker_id=uuid4(),
    )
    worker = InlineWorker(config)
    ids: list[UUID] = []
    while limit is None or len(ids) < limit:
        transitions.promote(chosen.database, at_any_time=include_scheduled)
        transitions.expire(chosen.database)
        ends.finish_decided(chosen.database)
        task_id = worker.run_next()
        if task_id is None:
            break
        ids.append(task_id)
    by_id = {result.id: result for result in enqueue.load_many(chosen.database, ids)}
    return [by_id[str(task_id)] for task_id in dict.fromkeys(ids)]


def enqueued_tasks(
    task: Task[..., Any] | None = None, *, matches: Callable[[TaskResult[Any]], bool] | None = None
) -> list[TaskResult[Any]]:
    """Return what was enqueued and has not started: all, of one task, or what `matches` accepts."""
    database = _database_of(task)
    rows = TaskRecord.objects.using(database).filter(claims=0).order_by("pk")
    if task is not None:
        rows = rows.filter(task_path=task.module_path)
    found = {result.id: result for result in enqueue.load_many(database, [r.pk for r in rows])}
    results = [found[str(row.pk)] for row in rows]
    return [result for result in results if matches is None or matches(result)]


def _database_of(task: Task[..., Any] | None) -> str:
    backend = task_backends[task.backend if task is not None else DEFAULT_TASK_BACKEND_ALIAS]
    if not isinstance(backend, DatabaseBackend):
        raise TypeError(f"Backend {backend.alias!r} keeps no tasks in a database.")
    return backend.database
