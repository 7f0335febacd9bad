"""Celery on Redis or RabbitMQ, results in Redis or, by django-celery-results, in the database."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.systems.base import System, python

BROKER, RESULTS = 11, 12


class Celery(System):
    name = "celery-redis"
    title = "Celery, results in Redis"
    configuration = "Redis broker and results, prefork, acknowledged early, all defaults"
    uses_redis = True
    drain_tasks = 10_000
    nap_tasks: ClassVar = {"threads": "nap"}

    def setup(self) -> None:
        self.create_database()
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from benchmarks.project import celery_app

        self.app = celery_app
        self.clear()

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        getattr(self.app, task).delay(*arguments)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        concurrency = slots if pool else processes
        options = ["--pool", pool or "prefork", "--concurrency", str(concurrency)]
        return [python("celery", "-A", "benchmarks.project.celery_app", "worker", *options)]

    def done(self) -> int:
        return int(self.redis_database(RESULTS).dbsize())

    def clear(self) -> None:
        for number in (BROKER, RESULTS):
            self.redis_database(number).flushdb()


class CeleryRabbitMQ(Celery):
    name = "celery-rabbitmq"
    title = "Celery on RabbitMQ, results in Redis"
    configuration = "RabbitMQ broker (a classic queue, its default), Redis results, prefork"
    uses_rabbitmq = True
    nap_tasks: ClassVar = {}  # as on Redis

    def clear(self) -> None:
        super().clear()
        self.app.app.control.purge()


class CeleryDatabase(Celery):
    name = "celery-db"
    title = "Celery, results in the database"
    configuration = "Redis broker, django-celery-results, prefork, all defaults"
    drain_tasks = 2_000
    skips = frozenset({"enqueue", "latency", "idle", "naps"})  # as with results in Redis

    def done(self) -> int:
        return self.count("SELECT count(*) FROM django_celery_results_taskresult")

    def clear(self) -> None:
        super().clear()
        self.connection.execute("TRUNCATE django_celery_results_taskresult")


class CeleryDatabaseReuse(CeleryDatabase):
    name = "celery-db-reuse"
    title = "Celery, results in the database, connections kept"
    configuration = "the same with CELERY_DB_REUSE_MAX, so that it does not connect per task"
