"""What the commands that serve until they are stopped share: runworker and runbeat."""

from __future__ import annotations

import logging
import socket
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.models import Model

from .. import time_zones
from ..models import RollupMark, Schedule
from ..worker.health import family_of
from ..worker.logs import WorkerHandler

#: Exit code for options that do not fit, as argparse has it.
USAGE = 2


class ServingCommand(BaseCommand):
    """A command that works until it is stopped."""

    requires_system_checks = "__all__"
    suppressed_base_arguments = {"--traceback"}
    #: Lines of examples for --help, and the exit codes.
    epilog = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": self.epilog, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_health_port(self, parser: ArgumentParser) -> None:
        """Add the option that has probes answered."""
        parser.add_argument(
            "--health-port", type=address, default=None, metavar="[HOST:]PORT",
            help="answer /livez and /readyz (default: off; host 127.0.0.1)",
        )  # fmt: skip

    def introduce(self, banner: str, verbosity: int) -> None:
        """Set logging up and print the banner, unless --verbosity 0 asked for silence."""
        set_up_logging(verbosity)
        if verbosity:
            self.stdout.write(banner)
            self.stdout.flush()


def check_beat(database: str) -> None:
    """Raise CommandError when a beat could not work with the schedules of `database`."""
    check_tables(database, Schedule, "earlier_task_ids")


def check_tables(
    database: str, model: type[Model] = RollupMark, newest_column: str = "counted_until"
) -> None:
    """Raise CommandError when the database is away, not migrated, or would shift moments."""
    if fault := time_zones.fault_of(database):  # system checks can be skipped
        raise CommandError(f"{fault.text} {fault.fix}")
    connection = connections[database]
    try:
        model._default_manager.using(database).values_list(newest_column).first()
    except DatabaseError as error:
        connection.close()
        try:
            tables = connection.introspection.table_names()
        except DatabaseError:
            reason = str(error).splitlines()[0]
            raise CommandError(f"Database {database!r} cannot be reached: {reason}") from None
        if model._meta.db_table not in tables:
            raise CommandError(
                f"Database {database!r} has no task tables. Run: manage.py migrate"
                f"{'' if database == 'default' else f' --database {database}'}"
            ) from None
        raise CommandError(
            f"The task tables of {database!r} are of another version. Run: manage.py migrate"
        ) from None


def check_address(host: str, port: int) -> None:
    """Raise CommandError when the probes cannot be answered there."""
    try:
        socket.create_server((host, port), family=family_of(host)).close()
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(f"Cannot listen on --health-port {host}:{port}: {reason}") from None


def address(text: str) -> tuple[str, int]:
    """Read [HOST:]PORT from the command line."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ArgumentTypeError(f"{text!r} is no port, or host:port")
    return host or "127.0.0.1", int(port)


def set_up_logging(verbosity: int) -> None:
    """Print the worker's log lines, unless the project's LOGGING already sends them somewhere."""
    logger = logging.getLogger("django_tasks")
    if logger.hasHandlers() or logging.getLogger("django_tasks.worker").handlers:
        return
    levels = {0: logging.WARNING, 1: logging.INFO}
    logger.addHandler(WorkerHandler())
    logger.setLevel(levels.get(verbosity, logging.DEBUG))
    logger.propagate = False
