"""Delete old finished tasks, and old runs of schedules."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import replace
from typing import Any

from ...backends.database import DatabaseBackend
from ...conf import app_settings
from ...retention import RetentionRule, retention_rules, runs_age
from ...statuses import FINAL_STATUSES, Status
from ...store import deletions, slots
from ..tasks_command import TasksCommand, age, counted, duration


class Command(TasksCommand):
    help = (
        "Delete finished tasks that are older than RETENTION_SUCCESSFUL, RETENTION_FAILED or the"
        " task's own result_ttl says, and the runs of schedules with the successful tasks."
        " Workers and beats do so by themselves; this is for doing it now, or with another age."
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
            help="since they finished: 45s, 30m, 12h, 7d or 2w (default: the RETENTION settings)",
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
        for rule in _rules(options["status"], options["older_than"]):
            if options["dry_run"]:
                count = deletions.prunable(backend.database, rule).count()
            else:
                count = deletions.prune(backend.database, rule)
            what = rule.task_path or ", ".join(rule.statuses)
            self._tell(what, counted(count), rule.age, options["dry_run"])
        self._prune_runs(backend.database, options)
        if options["older_than"] is None:
            for status in options["status"]:
                if _is_kept_for_ever(status):
                    self.say(f"{status}: kept for ever; give --older-than to delete some.")

    def _prune_runs(self, database: str, options: dict[str, Any]) -> None:
        """Delete the runs of schedules that are as old as successful tasks get, as beats do."""
        age = runs_age() if options["older_than"] is None else options["older_than"]
        if age is None or Status.SUCCESSFUL not in options["status"]:
            return
        if options["dry_run"]:
            count = slots.prunable_runs(database, age).count()
        else:
            count = slots.prune_runs(database, age)
        self._tell("Runs of schedules", counted(count, "run"), age, options["dry_run"])

    def _tell(self, what: str, count: str, age: float, is_dry: bool) -> None:
        done = "would be deleted" if is_dry else "deleted"
        self.say(f"{what}: {count} older than {duration(age)} {done}.")


def _rules(statuses: list[Status], age: float | None) -> list[RetentionRule]:
    """Return a rule per status; for another age than the settings', or by all that they say."""
    if age is not None:
        return [RetentionRule(statuses=[status], age=age) for status in statuses]
    return [
        replace(rule, statuses=[status])
        for rule in retention_rules()
        for status in rule.statuses
        if status in statuses
    ]


def _statuses(text: str) -> list[Status]:
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    if not names or not set(names) <= set(FINAL_STATUSES):
        raise ArgumentTypeError(f"{text!r}: choose from {', '.join(FINAL_STATUSES)}.")
    return [status for status in FINAL_STATUSES if status in names]


def _is_kept_for_ever(status: Status) -> bool:
    if status == Status.SUCCESSFUL:
        return app_settings.RETENTION_SUCCESSFUL is None
    return app_settings.RETENTION_FAILED is None
