"""One module per measured system; each is imported only when it is measured."""

from __future__ import annotations

from importlib import import_module

from benchmarks.systems.base import System

SYSTEMS = {
    "raw-notify": "raw_pickup:RawNotify",
    "raw-redis": "raw_pickup:RawRedis",
    "django-tasks": "django_tasks:DjangoTasks",
    "django-tasks-best": "django_tasks:DjangoTasksBest",
    "django-tasks-redis": "django_tasks:DjangoTasksRedis",
    "django-tasks-rabbitmq": "django_tasks:DjangoTasksKombu",
    "pgqueuer-10": "pgqueuer:PgQueuer",
    "pgqueuer-100": "pgqueuer:PgQueuerBatch100",
    "huey": "huey:Huey",
    "celery-redis": "celery:Celery",
    "celery-rabbitmq": "celery:CeleryRabbitMQ",
    "celery-db": "celery:CeleryDatabase",
    "celery-db-reuse": "celery:CeleryDatabaseReuse",
    "django-tasks-db": "django_tasks_db:DjangoTasksDb",
}


def system_class(name: str) -> type[System]:
    module, _, attribute = SYSTEMS[name].partition(":")
    found: type[System] = getattr(import_module(f"benchmarks.systems.{module}"), attribute)
    return found
