"""Remote control, in Celery's shapes: workers are asked, and tasks found, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NoReturn

from ...definitions import registry as native_registry
from ...dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ...dep14.handler import task_backends
from ..values import decode

__all__ = ["Control", "Inspect"]

#: Tasks that one answer lists.
MOST_TASKS = 1000


def _backend() -> Any:
    return task_backends[DEFAULT_TASK_BACKEND_ALIAS]


def revoke(task_ids: Iterable[Any], terminate: bool) -> None:
    """Cancel tasks: those that have not started, and with `terminate` those that run, too."""
    from ...models import TaskRecord
    from ...statuses import PENDING_STATUSES
    from ...store.tasks import transitions
    from .native import native_id

    database = _backend().database
    ids = [native_id(task_id) for task_id in task_ids]
    if not terminate:
        rows = TaskRecord.objects.using(database).filter(pk__in=ids, status__in=PENDING_STATUSES)
        ids = list(rows.values_list("pk", flat=True))
    transitions.cancel(database, ids)


class Inspect:
    """
    Questions to the workers. Each answer has a worker's name as key; None: there is no worker.

    `destination`: names of workers; None: all. `timeout` has no effect: the database answers.
    """

    def __init__(
        self,
        destination: Any = None,
        timeout: float = 1.0,
        callback: Any = None,
        connection: Any = None,
        app: Any = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: Any = None,
    ) -> None:
        self.app = app
        self.destination = [destination] if isinstance(destination, str) else destination

    def _workers(self) -> dict[str, Any]:
        """Return the rows of live workers by name."""
        from ...monitoring.reading import database_now
        from ...monitoring.workers import is_beat, is_live, read_rows

        database = _backend().database
        now = database_now(database)
        live = [row for row in read_rows(database) if not is_beat(row) and is_live(row, now)]
        named = {f"celery@{row}": row for row in live}
        wanted = self.destination
        return {name: row for name, row in named.items() if wanted is None or name in wanted}

    def ping(self, destination: Any = None) -> Any:
        """Return ``{worker: {"ok": "pong"}}`` of those whose lease is good."""
        if destination is not None:
            return Inspect(destination, app=self.app).ping()
        return {name: {"ok": "pong"} for name in self._workers()} or None

    def active(self, safe: Any = None) -> Any:
        """Return the tasks that each worker runs."""
        from ...models import TaskRecord
        from ...statuses import Status

        workers = self._workers()
        names = {row.pk: name for name, row in workers.items()}
        found: dict[str, list[Any]] = {name: [] for name in workers}
        rows = TaskRecord.objects.using(_backend().database).filter(
            status=Status.RUNNING, worker_id__in=list(names)
        )
        for row in rows.order_by("last_attempted_at")[:MOST_TASKS]:
            found[names[row.worker_id]].append(_described(row, names[row.worker_id]))
        return found or None

    def reserved(self, safe: Any = None) -> Any:
        """Return the tasks that are ready, the next ones first, each under one worker for them."""
        from ...statuses import Status

        return self._waiting(Status.READY, ("-priority", "pk"), lambda task: task)

    def scheduled(self, safe: Any = None) -> Any:
        """Return the tasks that are due later, each under one worker for their queue."""
        from ...statuses import Status

        def entry(task: dict[str, Any]) -> dict[str, Any]:
            return {"eta": task.pop("eta"), "priority": task["priority"], "request": task}

        return self._waiting(Status.SCHEDULED, ("run_after", "pk"), entry)

    def _waiting(self, status: str, order: tuple[str, ...], entry: Any) -> Any:
        from ...models import TaskRecord
        from ...routing import QueueSelection

        workers = self._workers()
        served = {name: QueueSelection.parse(row.queues) for name, row in workers.items()}
        found: dict[str, list[Any]] = {name: [] for name in workers}
        rows = TaskRecord.objects.using(_backend().database).filter(status=status)
        for row in rows.order_by(*order)[:MOST_TASKS] if workers else ():
            for name, queues in served.items():
                if queues.matches(row.queue_name):
                    task = _described(row, name)
                    task["eta"] = row.run_after.isoformat() if row.run_after else None
                    found[name].append(entry(task))
                    break
        return found or None

    def registered(self, *taskinfoitems: str) -> Any:
        """Return the names of the tasks that this process knows, for each worker."""
        names = [task.module_path for task in native_registry.known_tasks()]
        return {name: list(names) for name in self._workers()} or None

    registered_tasks = registered

    def active_queues(self) -> Any:
        """Return the queues that each worker serves."""
        return {
            name: [
                {"name": queue, "routing_key": queue, "exchange": {"name": "", "type": "direct"}}
                for queue in row.queues.split(",")
            ]
            for name, row in self._workers().items()
        } or None

    def stats(self) -> Any:
        """Return the pool, the process id and the seconds since the start of each worker."""
        from ...monitoring.reading import database_now

        now = database_now(_backend().database)
        return {
            name: {
                "pid": row.pid,
                "uptime": int((now - row.started_at).total_seconds()),
                "pool": {"implementation": row.pool, "max-concurrency": row.concurrency},
                "prefetch_count": 0,
                "total": {},
                "broker": {"transport": "database"},
                "clock": "0",
            }
            for name, row in self._workers().items()
        } or None

    def revoked(self) -> Any:
        """Return an empty list for each worker: what is revoked is over."""
        return {name: [] for name in self._workers()} or None

    def query_task(self, *ids: Any) -> Any:
        """Return ``{worker: {id: [state, task]}}`` for those of the ids that are there."""
        wanted = {str(i) for given in ids for i in ([given] if isinstance(given, str) else given)}
        found: dict[str, Any] = {}
        for state, listed in (("active", self.active()), ("reserved", self.reserved())):
            for name, tasks in (listed or {}).items():
                of_worker = found.setdefault(name, {})
                of_worker.update({t["id"]: [state, t] for t in tasks if t["id"] in wanted})
        return found or None

    def conf(self, with_defaults: bool = False) -> Any:
        """Return the names of the settings of this process' app, for each worker."""
        names = self.app.conf.humanize() if self.app is not None else ""
        return {name: {"settings": names} for name in self._workers()} or None

    def report(self) -> Any:
        """Return the versions that each worker runs."""
        return {name: {"ok": row.versions} for name, row in self._workers().items()} or None

    def clock(self) -> Any:
        """Return zeros: there is no logical clock."""
        return {name: {"clock": 0} for name in self._workers()} or None


def _described(row: Any, worker: str) -> dict[str, Any]:
    """Return a task as Celery's workers describe it."""
    from ... import serializers

    started: datetime | None = row.last_attempted_at
    return {
        "id": str(row.metadata_value.get("celery", {}).get("id", row.pk)),
        "name": row.task_path,
        "args": decode(serializers.loads(row.args)),
        "kwargs": decode(serializers.loads(row.kwargs)),
        "type": row.task_path,
        "hostname": worker,
        "time_start": started.timestamp() if started else None,
        "acknowledged": started is not None,
        "delivery_info": {
            "exchange": "",
            "routing_key": row.queue_name,
            "priority": row.priority,
            "redelivered": row.claims > 1,
        },
        "priority": row.priority,
        "worker_pid": None,
    }


_REFUSED = {
    "rate_limit": "there are no rate limits",
    "time_limit": "set the limits on the task",
    "autoscale": "use `manage.py runworker --autoscale`",
    "pool_restart": "restart the worker",
    "broadcast": "workers are asked one thing at a time; use the other methods",
    "election": "there is no gossip between workers",
    "heartbeat": "leases are renewed in the database",
    "revoke_by_stamped_headers": "there are no stamps",
    "terminate_by_stamped_headers": "there are no stamps",
}


class Control:
    """What can be asked of workers, and of tasks."""

    Inspect: Any = Inspect

    def __init__(self, app: Any = None) -> None:
        self.app = app

    def inspect(self, *args: Any, **kwargs: Any) -> Any:
        """Return questions to the workers; see `Inspect`."""
        kwargs.setdefault("app", self.app)
        return self.Inspect(*args, **kwargs)

    def revoke(
        self,
        task_id: Any,
        destination: Any = None,
        terminate: bool = False,
        signal: Any = None,
        **kwargs: Any,
    ) -> None:
        """
        Cancel a task, or several, unless they run; with `terminate` also then.

        A body that runs sees an exception at the latest after two seconds, whatever the `signal`.
        """
        revoke(task_id if isinstance(task_id, (list, tuple, set)) else [task_id], terminate)

    def terminate(self, task_id: Any, **kwargs: Any) -> None:
        """Cancel a task, also while it runs."""
        self.revoke(task_id, terminate=True)

    def ping(self, destination: Any = None, timeout: float = 1.0, **kwargs: Any) -> list[Any]:
        """Return ``[{worker: {"ok": "pong"}}, …]``."""
        answers = self.inspect(destination).ping() or {}
        return [{name: answer} for name, answer in answers.items()]

    def purge(self, connection: Any = None) -> int:
        """Delete all tasks that have not started; return how many."""
        from ...models import TaskRecord
        from ...statuses import Status
        from ...store.tasks import deletions

        backend = _backend()
        rows = TaskRecord.objects.using(backend.database).filter(
            backend=backend.alias, status__in=(Status.READY, Status.SCHEDULED)
        )
        names = rows.order_by().values_list("queue_name", flat=True).distinct()
        return sum(deletions.purge(backend.database, backend.alias, n)[0] for n in list(names))

    discard_all = purge

    def shutdown(self, destination: Any = None, **kwargs: Any) -> None:
        """Ask workers to stop gently. `destination`: names; None: all."""
        from ...control import stop_worker

        for row in self.inspect(destination)._workers().values():
            stop_worker(row.pk)

    def cancel_consumer(self, queue: str, destination: Any = None, **kwargs: Any) -> None:
        """Pause a queue, for all workers."""
        from ...control import pause_queue

        pause_queue(str(queue))

    def add_consumer(self, queue: str, destination: Any = None, **kwargs: Any) -> None:
        """Resume a queue that was paused, for all workers."""
        from ...control import resume_queue

        resume_queue(str(queue))

    def pool_grow(self, n: int = 1, destination: Any = None, **kwargs: Any) -> None:
        """Let workers run `n` tasks more at the same time."""
        from ...control import scale_worker

        for row in self.inspect(destination)._workers().values():
            scale_worker(row.pk, row.concurrency + n)

    def pool_shrink(self, n: int = 1, destination: Any = None, **kwargs: Any) -> None:
        """Let workers run `n` tasks less at the same time."""
        self.pool_grow(-n, destination)

    def enable_events(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: there are no events."""

    def disable_events(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: there are no events."""

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            _refuse(name)
        raise AttributeError(f"'Control' object has no attribute {name!r}")


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"control.{name}() is not offered: {_REFUSED[name]}.")
