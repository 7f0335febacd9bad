"""Delete old finished tasks, and old runs of schedules."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from ...backends.database import DatabaseBackend
from ...statuses import FINAL_STATUSES, Status
from ...store.schedules import due
from ...store.tasks import pruning
from ...store.tasks.retention import runs_age, seconds_kept
from ..tasks_command import TasksCommand, age, counted, duration


class Command(TasksCommand):
    help = (
        "Delete finished tasks that were kept for as long as their own result_ttl says, or"
        " RETENTION_SUCCESSFUL or RETENTION_FAILED, and the runs of schedules with the successful"
        " tasks. Workers and beats do so by themselves; this is for doing it now, or with another"
        " age."
    )
    examples = """\
  manage.py tasks_prune --dry-run
  manage.py tasks_prune --older-than 7d
  manage.py tasks_prune --status FAILED,CANCELLED --older-than 12h
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than",
            type=age,
            metavar="AGE",
            help="since they finished, however long they were to be kept: 45s, 30m, 12h, 7d or 2w"
            " (default: those whose time is over)",
        )
        parser.add_argument(
            "--status",
            type=_statuses,
            default=list(FINAL_STATUSES),
            metavar="STATUS",
            help=f"{', '.join(FINAL_STATUSES)} or several with commas (default: all of them)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        for status in options["status"]:
            self._prune(backend.database, status, options)
        self._prune_runs(backend.database, options)
        if options["older_than"] is None:
            for status in options["status"]:
                if seconds_kept(status) is None:
                    self.say(f"{status}: kept for ever; give --older-than to delete some.")

    def _prune(self, database: str, status: Status, options: dict[str, Any]) -> None:
        """Delete the tasks of one status that are due, or as old as a person says."""
        age, is_dry = options["older_than"], options["dry_run"]
        if age is None:
            if is_dry:
                count = pruning.count_due(database, [status])
            else:
                count = pruning.prune_due(database, statuses=[status]).number
            which = "past its time" if count == 1 else "past their time"
        else:
            which = f"older than {duration(age)}"
            if is_dry:
                count = pruning.count_older(database, [status], age)
            else:
                count = pruning.prune_older(database, [status], age)
        self._report(status, counted(count), which, is_dry)

    def _prune_runs(self, database: str, options: dict[str, Any]) -> None:
        """Delete the runs of schedules that are as old as successful tasks get, as beats do."""
        age = runs_age() if options["older_than"] is None else options["older_than"]
        if age is None or Status.SUCCESSFUL not in options["status"]:
            return
        if options["dry_run"]:
            count = due.prunable_runs(database, age).count()
        else:
            count = due.prune_runs(database, age).number
        which = f"older than {duration(age)}"
        self._report("Runs of schedules", counted(count, "run"), which, options["dry_run"])

    def _report(self, what: str, count: str, which: str, is_dry: bool) -> None:
        done = "would be deleted" if is_dry else "deleted"
        self.say(f"{what}: {count} {which} {done}.")


def _statuses(text: str) -> list[Status]:
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    if not names or not set(names) <= set(FINAL_STATUSES):
        raise ArgumentTypeError(f"{text!r}: choose from {', '.join(FINAL_STATUSES)}.")
    return [status for status in FINAL_STATUSES if status in names]
