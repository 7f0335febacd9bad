"""django-tasks-db: the database backend by the author of django.tasks. One task at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from benchmarks.systems.base import Arguments, System, python


class DjangoTasksDb(System):
    name = "django-tasks-db"
    title = "django-tasks-db"
    configuration = "`db_worker`, one per process, interval 1 s (default), CONN_MAX_AGE=None"
    drain_tasks = 10_000
    latency_tasks = 40  # it polls once a second: 200 would take two minutes
    nap_tasks: ClassVar = {}

    def setup(self) -> None:
        self.create_database()
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from benchmarks.project import django_tasks_db_tasks

        self.tasks = django_tasks_db_tasks

    def enqueue_one(self, task: str, *arguments: Any) -> None:
        getattr(self.tasks, task).enqueue(*arguments)

    def enqueue_many(self, task: str, arguments: Iterable[Arguments]) -> None:
        """It has no bulk call: the best there is is one transaction."""
        from django.db import transaction

        with transaction.atomic():
            self.enqueue_each(task, arguments)

    def worker_commands(self, processes: int, pool: str | None, slots: int) -> list[list[str]]:
        return [python("django", "db_worker", "--verbosity", "0")] * processes

    def done(self) -> int:
        return self.count(
            "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status = 'SUCCESSFUL'"
        )

    def clear(self) -> None:
        self.connection.execute("TRUNCATE django_tasks_database_dbtaskresult")
