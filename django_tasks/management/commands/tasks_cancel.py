"""Cancel tasks."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...models import TaskRecord
from ...store.tasks.interventions import Intervention
from ..tasks_command import TasksCommand, counted, task_id


class Command(TasksCommand):
    help = (
        "Cancel tasks: those that wait never run, running ones are told to stop. Exit code 1 when"
        " one of them had finished or is unknown."
    )
    examples = """\
  manage.py tasks_cancel 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11
  manage.py tasks_cancel --backend reports ID ID ID
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="+", type=task_id, metavar="ID", help="id of a task")

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        wanted = set(options["ids"])
        tasks = TaskRecord.objects.using(backend.database).filter(pk__in=wanted)
        unknown = wanted - set(tasks.values_list("pk", flat=True))
        report = Intervention(tasks=tasks).cancel()
        self.say(f"Cancelled {counted(report.done)}.")
        if report.told:
            self.say(f"Told {counted(report.told, 'running task')} to stop.")
        problems = [report.skipped_text] if report.skipped_text else []
        problems += [f"No task has the id {pk}." for pk in sorted(unknown)]
        if problems:
            raise CommandError(" ".join(problems))
