"""What the commands that serve until they are stopped share: runworker and runbeat."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.models import Model

from .. import instrumentation
from ..definitions import propagation
from ..models import RollupMark, Schedule
from ..runtime.health import family_of
from ..store import time_zones
from ..worker.reporting.json_lines import JsonFormatter, JsonHandler
from ..worker.reporting.logs import DetailedHandler, RootHandler, WorkerHandler
from .base import OneLineCommand

#: The path of what --log-format json formats with.
FORMATTER = f"{JsonFormatter.__module__}.{JsonFormatter.__qualname__}"
#: Exit code for options that do not fit, as argparse has it.
USAGE = 2
#: --verbosity from which on lines say who writes them.
DETAILED = 3


class ServingCommand(OneLineCommand):
    """A command that works until it is stopped."""

    requires_system_checks = "__all__"
    suppressed_base_arguments = {"--traceback"}
    #: Lines of examples for --help, and the exit codes.
    epilog = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": self.epilog, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_health_port(self, parser: ArgumentParser, paths: str = "/livez and /readyz") -> None:
        """Add the option that has probes answered, at these paths."""
        parser.add_argument(
            "--health-port", type=address, default=None, metavar="[HOST:]PORT",
            help=f"answer {paths} (default: off; host 127.0.0.1)",
        )  # fmt: skip

    def add_log_format(self, parser: ArgumentParser) -> None:
        """Add the option that says how log lines look."""
        parser.add_argument(
            "--log-format", choices=("text", "json"), default="text",
            help="how log lines look: text, or a JSON object per line (default: text)",
        )  # fmt: skip

    def introduce(self, banner: str, verbosity: int, log_format: str) -> None:
        """Set logging up and tell the banner, unless --verbosity 0 asked for silence."""
        set_up_logging(verbosity, log_format)
        if not verbosity:
            return
        if log_format == "json":
            logging.getLogger("django_tasks").info("%s", " ".join(banner.split()))
            return
        self.stdout.write(banner)
        self.stdout.flush()


def check_caller() -> None:
    """Raise CommandError where no worker can work: it was called by a test, most likely."""
    instead = "In tests, call django_tasks.testing.run_pending_tasks() instead."
    if threading.current_thread() is not threading.main_thread():
        raise CommandError(f"A worker needs the main thread, where signals arrive. {instead}")
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            raise CommandError(
                "A worker connects by itself, and does not see what a transaction that is open"
                f" has written (here on {connection.alias!r}). {instead}"
            )


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
    if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
        raise CommandError(
            f"Database {database!r} is in this process' memory, where no other connection sees it."
            " In tests, call django_tasks.testing.run_pending_tasks() instead."
        )
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


def check_propagators() -> None:
    """Raise CommandError when a path in CONTEXT_PROPAGATORS leads to no propagator."""
    try:
        propagation.propagators()
    except ImproperlyConfigured as error:  # system checks can be skipped
        raise CommandError(str(error)) from error


def check_instrumentation() -> None:
    """Raise CommandError when a path in INSTRUMENTATION leads to no subscriber."""
    try:
        instrumentation.subscribers()
    except ImproperlyConfigured as error:  # system checks can be skipped
        raise CommandError(str(error)) from error


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


def set_up_logging(verbosity: int, log_format: str = "text") -> None:
    """
    Print the worker's log lines, unless the project's LOGGING sends them somewhere.

    Raise CommandError if it does and JSON was asked for: the project's formatters decide then.

    It does when it has handlers and names one of our loggers, or when the root logger takes such
    lines. A root logger that is only told of warnings is told of those as before.

    `verbosity`: 0 warnings; 1 what became of tasks; 2 also what was claimed; 3 also which logger
    and process tells it.
    """
    logger, root = logging.getLogger("django_tasks"), logging.getLogger()
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    threshold = max([root.level, min((handler.level for handler in root.handlers), default=0)])
    has_handlers = logger.hasHandlers() or bool(logging.getLogger("django_tasks.worker").handlers)
    takes_lines = has_handlers and (_is_configured() or threshold <= max(level, logging.INFO))
    is_on_terminal = any(map(_writes_to_terminal, root.handlers))
    if log_format == "json" and (takes_lines or is_on_terminal):
        raise CommandError(
            "--log-format json has no effect on lines that LOGGING sends somewhere. Leave it out,"
            f" and give the handlers there the formatter {FORMATTER!r}.",
            returncode=USAGE,
        )
    if takes_lines:
        return
    own: logging.Handler
    if log_format == "json":
        own = JsonHandler()
    else:
        own = WorkerHandler() if verbosity < DETAILED else DetailedHandler()
    if root.handlers:
        if is_on_terminal:
            own.addFilter(lambda record: record.levelno < threshold)  # not twice
        logger.addHandler(RootHandler(threshold))
    logger.addHandler(own)
    logger.setLevel(logger.level or level)
    logger.propagate = False


def _is_configured() -> bool:
    """Tell whether the project's LOGGING names one of our loggers."""
    loggers = logging.Logger.manager.loggerDict
    named = (loggers[name] for name in loggers if f"{name}.".startswith("django_tasks."))
    return any(
        isinstance(logger, logging.Logger)
        and bool(logger.handlers or logger.level or logger.disabled or not logger.propagate)
        for logger in named
    )


def _writes_to_terminal(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return stream is not None and stream in (sys.stdout, sys.stderr)
