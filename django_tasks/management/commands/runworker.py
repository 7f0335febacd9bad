"""Run tasks."""

from __future__ import annotations

import logging
import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.db.models import Model

from ... import registry
from ...backends.database import DatabaseBackend
from ...conf import app_settings
from ...dep14.handler import task_backends
from ...exceptions import InvalidTaskBackend
from ...models import RollupMark, Schedule
from ...routing import QueueSelection
from ...worker.config import POOLS, WorkerConfig
from ...worker.health import family_of
from ...worker.logs import WorkerHandler
from ..tasks_command import counted

#: Exit code for options that do not fit, as argparse has it.
USAGE = 2

EXAMPLES = """
examples:
  manage.py runworker                                   all queues, one process per core
  manage.py runworker --queues high,mail*,*             in this order
  manage.py runworker --pool threads --concurrency 50   tasks that wait for the network
  manage.py runworker --pool asyncio --concurrency 200  async def tasks
  manage.py runworker --burst                           until nothing is ready, then exit 0

exit codes: 0 stopped gently or nothing left; 1 configuration; 2 usage; 3 tasks were interrupted
"""


class Command(BaseCommand):
    """Run tasks of one backend until stopped."""

    help = "Run background tasks."
    requires_system_checks = "__all__"
    suppressed_base_arguments = {"--traceback"}

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EXAMPLES, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend", default="default", help="alias in TASKS (default: default)"
        )
        parser.add_argument(
            "--queues", "-q", type=_queues, default=QueueSelection(),
            help="queues to serve, in order: names, prefixes as mail*, or * (default: *)",
        )  # fmt: skip
        parser.add_argument(
            "--pool", choices=POOLS, default="prefork",
            help="where bodies run (default: prefork, a process per slot)",
        )  # fmt: skip
        parser.add_argument(
            "--concurrency", "-c", type=_count, default=None,
            help="tasks at the same time: processes of prefork (default: cores), else threads,"
            " coroutines or greenlets per process (default: 10; asyncio 100)",
        )  # fmt: skip
        parser.add_argument(
            "--processes", type=_count, default=None,
            help="processes of threads, asyncio and gevent (default: 1)",
        )  # fmt: skip
        parser.add_argument(
            "--autoscale", type=_autoscale, default=None, metavar="MAX,MIN",
            help="scale the number of processes with the load",
        )  # fmt: skip
        parser.add_argument(
            "--grace", type=_seconds, default=None,
            help="seconds for running tasks to finish at SIGTERM (default: GRACE_PERIOD, 25)",
        )  # fmt: skip
        parser.add_argument("--burst", action="store_true", help="exit when nothing is ready")
        parser.add_argument(
            "--max-tasks-per-child", type=_count, default=None, metavar="N",
            help="replace a process after N tasks (default: never)",
        )  # fmt: skip
        parser.add_argument(
            "--max-memory-per-child", type=_count, default=None, metavar="MB",
            help="replace a process, between tasks, when it holds more (default: never)",
        )  # fmt: skip
        parser.add_argument(
            "--beat", action="store_true",
            help="run a beat beside the worker: enqueue the tasks of schedules",
        )  # fmt: skip
        parser.add_argument(
            "--health-port", type=address, default=None, metavar="[HOST:]PORT",
            help="answer /livez and /readyz (default: off; host 127.0.0.1)",
        )  # fmt: skip
        parser.add_argument(
            "--reload", action="store_true", help="restart when code changes; for development"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reload"]:
            if options["burst"]:
                raise CommandError("--reload and --burst exclude each other.", returncode=USAGE)
            from ...worker.reload import run_with_reload

            run_with_reload()
            return
        config = self._config(options)
        check_tables(config.database)
        if config.beat:
            check_beat(config.database)
        if config.health is not None:
            check_address(*config.health)
        set_up_logging(config.verbosity)
        if config.verbosity:
            self.stdout.write(banner(config))
            self.stdout.flush()
        from ...worker.start import run_worker

        sys.exit(run_worker(config))

    def _config(self, options: dict[str, Any]) -> WorkerConfig:
        if options["beat"] and options["burst"]:
            raise CommandError("--beat and --burst exclude each other.", returncode=USAGE)
        backend = database_backend(options["backend"])
        processes, slots = _size(options)
        least, most = options["autoscale"] or (None, processes)
        if options["pool"] == "gevent":
            _require_gevent()
        grace = options["grace"]
        memory = options["max_memory_per_child"]
        return WorkerConfig(
            backend=backend.alias,
            database=backend.database,
            queues=options["queues"],
            pool=options["pool"],
            processes=most,
            slots=slots,
            grace=app_settings.GRACE_PERIOD if grace is None else grace,
            autoscale_min=least,
            burst=options["burst"],
            beat=options["beat"],
            max_tasks=options["max_tasks_per_child"],
            max_memory=memory << 20 if memory else None,
            health=options["health_port"],
            host=socket.gethostname(),
            verbosity=options["verbosity"],
        )


def database_backend(alias: str) -> DatabaseBackend:
    """Return the backend of this alias. Raise CommandError unless it keeps tasks in a database."""
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend as error:
        known = ", ".join(map(repr, settings.TASKS))
        raise CommandError(f"{error} TASKS has: {known}.") from None
    if not isinstance(backend, DatabaseBackend):
        kind = type(backend)
        raise CommandError(
            f"TASKS[{alias!r}] uses {kind.__module__}.{kind.__qualname__}, which has no queue to"
            " serve. Set its BACKEND to 'django_tasks.backends.database.DatabaseBackend'."
        )
    return backend


def check_beat(database: str) -> None:
    """Raise CommandError when a beat could not work with the schedules of `database`."""
    if not settings.USE_TZ:
        raise CommandError("A beat needs USE_TZ = True: slots are moments with a time zone.")
    check_tables(database, Schedule, "waiting_slot_at")


def check_tables(
    database: str, model: type[Model] = RollupMark, newest_column: str = "counted_until"
) -> None:
    """Raise CommandError when the database is away or not migrated."""
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


def set_up_logging(verbosity: int) -> None:
    """Print the worker's log lines, unless the project's LOGGING already sends them somewhere."""
    logger = logging.getLogger("django_tasks")
    if logger.hasHandlers() or logging.getLogger("django_tasks.worker").handlers:
        return
    levels = {0: logging.WARNING, 1: logging.INFO}
    logger.addHandler(WorkerHandler())
    logger.setLevel(levels.get(verbosity, logging.DEBUG))
    logger.propagate = False


def banner(config: WorkerConfig) -> str:
    """Return what a worker says when it starts."""
    database = connections[config.database]
    tasks = sum(task.backend == config.backend for task in registry.known_tasks())
    plural = "" if config.processes == 1 else "es"
    beat = ", and a beat" if config.beat else ""
    size = f"{config.processes} process{plural}"
    if config.autoscale_min is not None:
        size = f"{config.autoscale_min} to {size}"
    if config.slots > 1:
        size += f" of {config.slots} slots"
    return (
        f"django_tasks worker {config.worker_id} (pid {os.getpid()})\n"
        f"  queues   {config.queues}\n"
        f"  pool     {config.pool}, {size}{beat}\n"
        f"  database {config.database} ({database.display_name}), {counted(tasks)} known\n"
        f"  stop     Ctrl+C or SIGTERM; running tasks have {config.grace:g} s"
    )


def _size(options: dict[str, Any]) -> tuple[int, int]:
    """Return processes and slots per process."""
    pool, concurrency, processes = options["pool"], options["concurrency"], options["processes"]
    if pool == "solo":
        refuse_for_solo(options)
        return 1, 1
    if pool == "prefork":
        if processes and concurrency and processes != concurrency:
            raise CommandError(
                "--pool prefork has one slot per process: give --concurrency only.",
                returncode=USAGE,
            )
        least_and_most = options["autoscale"]
        most = least_and_most[1] if least_and_most else None
        return most or concurrency or processes or _cores(), 1
    return processes or 1, concurrency or (100 if pool == "asyncio" else 10)


def refuse_for_solo(options: dict[str, Any]) -> None:
    """Raise CommandError for options that mean nothing without other processes."""
    if (options["concurrency"] or 1) > 1 or (options["processes"] or 1) > 1:
        raise CommandError("--pool solo runs one task at a time, in one process.", returncode=USAGE)
    for name in ("autoscale", "max_tasks_per_child", "max_memory_per_child"):
        if options[name] is not None:
            flag = "--" + name.replace("_", "-")
            raise CommandError(
                f"--pool solo has no other processes: {flag} does not go with it.",
                returncode=USAGE,
            )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _require_gevent() -> None:
    try:
        import gevent  # noqa: F401
    except ImportError:
        raise CommandError(
            "--pool gevent needs gevent: pip install django-tasks-engine[gevent]"
        ) from None


def _queues(text: str) -> QueueSelection:
    try:
        return QueueSelection.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 on")
    return value


def _autoscale(text: str) -> tuple[int, int]:
    most, _, least = text.partition(",")
    if not (most.isdecimal() and (least or "1").isdecimal()):
        raise ArgumentTypeError(f"{text!r} is no pair as 10,3 (most, fewest)")
    pair = int(least or 1), int(most)
    if not 1 <= pair[0] <= pair[1]:
        raise ArgumentTypeError(f"{text!r}: the fewest must be from 1 to the most")
    return pair


def address(text: str) -> tuple[str, int]:
    """Read [HOST:]PORT from the command line."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ArgumentTypeError(f"{text!r} is no port, or host:port")
    return host or "127.0.0.1", int(port)
