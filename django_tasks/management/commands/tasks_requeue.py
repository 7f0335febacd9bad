"""Run failed and cancelled tasks again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet

from ...backends.database import DatabaseBackend
from ...models import TaskRecord
from ...monitoring.reading import capped_count
from ...statuses import Status
from ...store.tasks.interventions import Intervention
from ..tasks_command import TasksCommand, add_confirmation, confirm, counted, task_id


class Command(TasksCommand):
    help = (
        "Run failed and cancelled tasks again; their attempts count anew. Name them by id, or"
        " choose all that failed."
    )
    examples = """\
  manage.py tasks_requeue 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11
  manage.py tasks_requeue --failed --queue mail
  manage.py tasks_requeue --failed --task shop.tasks.send_invoice --yes
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", type=task_id, metavar="ID", help="id of a task")
        parser.add_argument("--failed", action="store_true", help="all failed tasks; asks first")
        parser.add_argument("--queue", metavar="NAME", help="with --failed: of this queue only")
        parser.add_argument("--task", metavar="PATH", help="with --failed: this task only")
        add_confirmation(parser)

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        rows = TaskRecord.objects.using(backend.database)
        if options["failed"]:
            self._requeue_failed(rows.filter(status=Status.FAILED), options)
        else:
            self._requeue_ids(rows.all(), options)

    def _requeue_failed(self, tasks: QuerySet[TaskRecord], options: dict[str, Any]) -> None:
        if options["ids"]:
            raise CommandError("Give ids or --failed, not both.", returncode=2)
        if options["queue"] is not None:
            tasks = tasks.filter(queue_name=options["queue"])
        if options["task"] is not None:
            tasks = tasks.filter(task_path=options["task"])
        count = capped_count(tasks)
        if not count:
            self.say("No failed task matches.")
            return
        confirm(f"Run {count} failed task{'s' if count != 1 else ''} again?", options)
        report = Intervention(tasks=tasks).requeue()
        self.say(f"Requeued {counted(report.done)}.")
        if report.skipped_text:
            self.say(report.skipped_text)

    def _requeue_ids(self, rows: QuerySet[TaskRecord], options: dict[str, Any]) -> None:
        if not options["ids"] or options["queue"] is not None or options["task"] is not None:
            raise CommandError(
                "Give ids, or --failed with --queue or --task as you like.", returncode=2
            )
        wanted = set(options["ids"])
        tasks = rows.filter(pk__in=wanted)
        unknown = wanted - set(tasks.values_list("pk", flat=True))
        report = Intervention(tasks=tasks).requeue()
        self.say(f"Requeued {counted(report.done)}.")
        problems = [report.skipped_text] if report.skipped_text else []
        problems += [f"No task has the id {pk}." for pk in sorted(unknown)]
        if problems:
            raise CommandError(" ".join(problems))
