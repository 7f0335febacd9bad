"""Make schedules of django-celery-beat's periodic tasks."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...store.schedules.celery_import import Imported, import_periodic_tasks
from ...store.schedules.celery_tables import NoTables, periodic_tasks
from ..tasks_command import TasksCommand

OUTCOMES = ("imported", "updated", "unchanged", "skipped")


class Command(TasksCommand):
    help = (
        "Make schedules of django-celery-beat's periodic tasks. That package need not be installed;"
        " its tables are only read. May be run again: schedules that were edited here since are"
        " left alone. What is skipped is told with the reason; the exit code is 0 all the same."
    )
    examples = """\
  manage.py import_celery_beat --dry-run
  manage.py import_celery_beat --task report=shop.tasks.report --task nightly=shop.tasks.nightly
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be done, and do nothing"
        )
        parser.add_argument(
            "--source",
            metavar="DATABASE",
            help="alias in DATABASES of django-celery-beat's tables (default: where the tasks are)",
        )
        parser.add_argument(
            "--task",
            action="append",
            default=[],
            type=_renaming,
            metavar="OLD=NEW",
            dest="renamed",
            help="Celery's name of a task, and its path here; may be given several times",
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print one JSON document"
        )

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        source = options["source"] or backend.database
        try:
            rows = periodic_tasks(source)
        except NoTables:
            raise CommandError(
                f"Database {source!r} has no table django_celery_beat_periodictask. Name the"
                " database that has it with --source."
            ) from None
        outcomes = import_periodic_tasks(
            rows,
            using=backend.database,
            renamed=dict(options["renamed"]),
            is_dry_run=options["dry_run"],
        )
        if options["as_json"]:
            document = {"dry_run": options["dry_run"], "schedules": [asdict(o) for o in outcomes]}
            self.say(json.dumps(document, indent=2))
        else:
            self._show(outcomes, options["dry_run"])

    def _show(self, outcomes: Sequence[Imported], is_dry_run: bool) -> None:
        for word in OUTCOMES:
            chosen = [each for each in outcomes if each.outcome == word]
            if chosen:
                self.say(word.capitalize(), self.style.MIGRATE_HEADING)
            for each in chosen:
                self.say(f"  {each.name}  {each.task}")
                for note in each.notes:
                    self.say(f"    {note}")
        counts = Counter(each.outcome for each in outcomes)
        self.say(", ".join(f"{counts[word]} {word}" for word in OUTCOMES) + ".")
        if is_dry_run:
            self.say("This was a dry run: nothing was written.")


def _renaming(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (old and sign and new):
        raise ArgumentTypeError(f"{text!r} is not OLD=NEW.")
    return old, new
