"""This project, at its defaults and at its best settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from benchmarks import failures, flatness, held, profile
from benchmarks.systems.base import Arguments, System, python

TABLE = "django_tasks_taskrecord"
BLOCKS, BLOCK = 6, 200
#: The number of the Redis database of the project's cache.
BROKER = 11
#: The queue in RabbitMQ of the task queue `default`; the prefix is in the project's settings.
QUEUE = "benchmarks__default__default"


class DjangoTasks(System):
    name = "django-tasks"
    title = "django_tasks, at its defaults"
    configuration = "`runworker --pool prefork --concurrency N`"
    drain_tasks = 50_000
    options: ClassVar[list[str]] = []

    def setup(self) -> None:
        self.create_database()
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from benchmarks.project import django_tasks_tasks

        self.tasks = django_tasks_tasks
        self.clear()

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        getattr(self.tasks, task).enqueue(*arguments)

    def enqueue_many(self, task: str, arguments: Iterable[Arguments]) -> None:
        getattr(self.tasks, task).enqueue_many(arguments)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        kind = ["--pool", pool or "prefork", "--concurrency", str(slots if pool else processes)]
        return [python("django", "runworker", *kind, *self.options)]

    def done(self) -> int:
        """Counted through the index of plain successes, as there may be millions of older ones."""
        return self.count(
            f"SELECT count(*) FROM {TABLE} WHERE status = 'SUCCESSFUL' AND prune_after IS NULL"
            f" AND finished_at > '{self.since}'"
        )

    def forget_done(self) -> None:
        """Count anew from now on."""
        row = self.connection.execute("SELECT clock_timestamp()").fetchone()
        self.since = row[0] if row else None

    def clear(self) -> None:
        self.connection.execute(f"TRUNCATE {TABLE} CASCADE")
        self.forget_done()


class DjangoTasksBest(DjangoTasks):
    name = "django-tasks-best"
    title = "django_tasks, at its best settings"
    configuration = (
        "the same with `--queues default --verbosity 0` (no log line per task, as the peers)"
    )
    options: ClassVar[list[str]] = ["--queues", "default", "--verbosity", "0"]


class DjangoTasksRedis(DjangoTasks):
    name = "django-tasks-redis"
    title = "django_tasks, Redis as its broker"
    configuration = 'the defaults, and `OPTIONS = {"broker": "redis"}`'
    uses_redis = True
    nap_tasks: ClassVar = {}  # as without

    def clear(self) -> None:
        super().clear()
        self.redis_database(BROKER).flushdb()


class DjangoTasksKombu(DjangoTasks):
    name = "django-tasks-rabbitmq"
    title = "django_tasks, RabbitMQ as its broker"
    configuration = "the defaults, and the broker `kombu` with classic queues, its default"
    uses_rabbitmq = True
    nap_tasks: ClassVar = {}  # as without

    def clear(self) -> None:
        super().clear()
        import kombu
        from amqp.exceptions import NotFound

        with kombu.Connection(os.environ["BENCH_RABBITMQ_URL"]) as connection:
            try:
                connection.default_channel.queue_purge(QUEUE)
            except NotFound:
                return  # nothing was published yet


def create_ratio(bench: Any) -> dict[str, Any]:
    """The time of task.enqueue() in times of Model.objects.create() of the same row."""
    from django_tasks.models import TaskRecord

    system = bench.system
    row = {"task_path": system.tasks.noop.module_path, "queue_name": "default"}
    row |= {"status": "READY", "backend": "default", "args": "[7]", "kwargs": "{}"}
    seconds = {"enqueue": 0.0, "create": 0.0}
    for _ in range(BLOCKS):
        seconds["create"] += timed(
            lambda: TaskRecord.objects.create(**row, enqueued_at=datetime.now(UTC))
        )
        seconds["enqueue"] += timed(lambda: system.tasks.noop.enqueue(7))
    system.clear()
    return {"create_ratio": seconds["enqueue"] / seconds["create"]}


def timed(call: Any) -> float:
    from time import perf_counter

    start = perf_counter()
    for _ in range(BLOCK):
        call()
    return perf_counter() - start


DjangoTasks.extras = {
    "enqueue": create_ratio,
    "failures": failures.measure,
    "flat": flatness.measure,
    "held": held.measure,
    "profile": profile.measure,
}
DjangoTasksBest.extras = {"profile": profile.measure}
DjangoTasksRedis.extras = DjangoTasksKombu.extras = {"flat": flatness.measure_snapshot}
