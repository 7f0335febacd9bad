"""What the tasks_* commands share."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import (
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)
from django.db import DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from .. import ids
from ..backends.database import DatabaseBackend
from ..conf import suggest
from ..definitions import tasks_setting
from ..definitions.backends import database_aliases
from ..dep14.handler import task_backends
from ..models import TaskRecord
from ..runtime.printing import printable
from .base import OneLineCommand


class _HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's order of options, with the examples' line breaks kept."""


class TasksCommand(OneLineCommand):
    """
    A command on the tasks of one backend.

    Exit codes: 0 done, 1 not (all) done, with the reason, 2 wrong arguments.
    """

    #: Lines of examples for --help.
    examples = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("formatter_class", _HelpFormatter)
        return super().create_parser(
            prog_name, subcommand, epilog=f"examples:\n{self.examples}", **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend",
            default=None,
            metavar="ALIAS",
            help="alias in TASKS (default: the default one, or the only one that stores tasks)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        backend = find_backend(options["backend"])
        try:
            self.run(backend, options)
        except ConnectionDoesNotExist as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(_explained(backend.database, error)) from error

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        """Do the command's work. Raise CommandError for what could not be done."""
        raise NotImplementedError

    def say(self, text: str, style: Callable[[str], str] | None = None) -> None:
        """Print a line of the result, or several; other control characters are escaped."""
        self.stdout.write("\n".join(map(printable, text.split("\n"))), style)

    def show_table(self, title: str, headers: Sequence[str], rows: list[list[str]]) -> None:
        """Print rows under a title, in columns, and an empty line."""
        self.say(title, self.style.MIGRATE_HEADING)
        if not rows:
            self.say("  none")
        else:
            head, *lines = _aligned([[printable(cell) for cell in row] for row in (headers, *rows)])
            self.say(head, self.style.MIGRATE_LABEL)
            for line in lines:
                self.say(line)
        self.say("")


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def find_backend(alias: str | None) -> DatabaseBackend:
    """Return the database backend of this alias. Raise CommandError, with the fix, without one."""
    if mistakes := tasks_setting.mistakes():
        raise CommandError(" ".join(mistakes.values()))
    stored = database_aliases()
    if not stored:
        raise CommandError(
            "No alias in TASKS uses DatabaseBackend: there are no stored tasks. See"
            " `manage.py check` (django_tasks.W001)."
        )
    if alias is None:
        alias = stored[0]
    if alias not in stored:
        what = (
            "does not store its tasks in the database: set its BACKEND to"
            " 'django_tasks.backends.database.DatabaseBackend'"
            if alias in task_backends.settings
            else f"is not in TASKS{suggest(alias, stored)}"
        )
        raise CommandError(f"Backend {alias!r} {what}. Choose from: {', '.join(stored)}.")
    backend = task_backends[alias]
    assert isinstance(backend, DatabaseBackend)
    return backend


def _explained(database: str, error: DatabaseError) -> str:
    """Return the fix when the tables are missing, else what the database said."""
    connection = connections[database]
    try:
        tables = connection.introspection.table_names()
    except DatabaseError:
        tables = [TaskRecord._meta.db_table]  # It cannot be asked: its own words must do.
    if TaskRecord._meta.db_table not in tables:
        option = "" if database == "default" else f" --database {database}"
        return (
            f"The tables of django_tasks are not in database {database!r}."
            f" Run: manage.py migrate{option}"
        )
    return f"Database {database!r}: {str(error).strip() or type(error).__name__}"


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def age(text: str) -> float:
    """Read "7d", "12h", "30m", "45s" or "2w" as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no age; write 45s, 30m, 12h, 7d or 2w.")
    return float(match[1]) * _UNITS[match[2]]


def task_id(text: str) -> UUID:
    """Read an id from the command line."""
    parsed = ids.parse(text)
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is no task id.")
    return parsed


def add_confirmation(parser: ArgumentParser) -> None:
    """Add the option that answers the question beforehand."""
    parser.add_argument(
        "--yes",
        "--no-input",
        "--noinput",
        action="store_true",
        dest="is_confirmed",
        help="do not ask",
    )


def confirm(question: str, options: dict[str, Any]) -> None:
    """Ask; raise CommandError unless the answer is yes, or --yes was given."""
    if options["is_confirmed"]:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Nobody can answer here: add --yes.")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing was changed.")


def counted(count: int, noun: str = "task") -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float | None) -> str:
    """Return a duration to be read at a glance: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, big, small_size, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {big}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"
