"""Run tasks."""

from __future__ import annotations

import logging
import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from http import HTTPStatus
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from ...conf import app_settings, suggest
from ...definitions import registry
from ...definitions.backends import database_backends
from ...routing import QueueSelection
from ...runtime.extensions import WrongExtension, is_dotted_path
from ...runtime.health import Answer
from ...worker.config import POOLS, MakePages, WorkerConfig
from ..serving import (
    USAGE,
    ServingCommand,
    check_address,
    check_beat,
    check_caller,
    check_instrumentation,
    check_propagators,
    check_tables,
)
from ..tasks_command import counted, find_backend

logger = logging.getLogger("django_tasks.worker")

EXAMPLES = """
examples:
  manage.py runworker                                   all queues, one process per core
  manage.py runworker --queues high,mail*,*             in this order
  manage.py runworker --pool threads --concurrency 50   tasks that wait for the network
  manage.py runworker --pool asyncio --concurrency 200  async def tasks
  manage.py runworker --burst                           until nothing is ready, then exit 0

exit codes: 0 stopped gently or nothing left; 1 configuration; 2 usage; 3 tasks were interrupted
"""


class Command(ServingCommand):
    """Run tasks of one backend until stopped."""

    help = "Run background tasks."
    epilog = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend", default="default", help="alias in TASKS (default: default)"
        )
        parser.add_argument(
            "--queues", "-q", type=_queues, default=QueueSelection(),
            help="queues to serve, in order: names, prefixes as mail*, or * (default: *)",
        )  # fmt: skip
        parser.add_argument(
            "--pool", type=_pool, default=None,
            help=f"where bodies run: {', '.join(POOLS)}, or the dotted path of a class (default:"
            " POOL, prefork: a process per slot)",
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
        self.add_health_port(parser, "/livez, /readyz and, with the extra `metrics`, /metrics")
        self.add_log_format(parser)
        parser.add_argument(
            "--reload", action="store_true", help="restart when code changes; for development"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reload"]:
            if options["burst"]:
                raise CommandError("--reload and --burst exclude each other.", returncode=USAGE)
            from ...worker.reload import take_over

            take_over()  # where the app has not: it does when it is a command of manage.py
        config = self._config(options)
        check_caller()
        check_tables(config.database)
        check_propagators()
        check_instrumentation()
        if config.beat:
            check_beat(config.database)
        if config.health is not None:
            check_address(*config.health)
        self.introduce(banner(config), config.verbosity, options["log_format"])
        warn_of_unknown_queues(config)
        from ...worker.start import run_worker

        if code := run_worker(config):
            sys.exit(code)

    def _config(self, options: dict[str, Any]) -> WorkerConfig:
        if options["beat"] and options["burst"]:
            raise CommandError("--beat and --burst exclude each other.", returncode=USAGE)
        backend = find_backend(options["backend"])
        _check_serializer(backend)
        options["pool"] = _chosen_pool(options["pool"])
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
            pages=None if options["health_port"] is None else _pages(),
            host=socket.gethostname(),
            verbosity=options["verbosity"],
        )


def _pages() -> MakePages:
    """Return what makes the pages of the health port; without their package it says so."""
    try:
        from ...contrib.prometheus.worker import pages
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        text = "needs prometheus-client: pip install django-tasks-engine[metrics]\n"
        missing = Answer(HTTPStatus.NOT_FOUND, text)
        return lambda status: {"/metrics": lambda: missing}
    return pages


def warn_of_unknown_queues(config: WorkerConfig) -> None:
    """Log a warning per queue of --queues that neither QUEUES nor a task of the backend names."""
    tasks = (task for task in registry.known_tasks() if task.backend == config.backend)
    known = {*map(str, database_backends()[config.backend].queues), *(t.queue_name for t in tasks)}
    for name in config.queues.not_among(known):
        logger.warning(
            "--queues has %r, but neither QUEUES in TASKS[%r] nor a task names such a queue%s"
            " Known: %s.",
            name, config.backend, suggest(name, known) or ".", ", ".join(sorted(known)) or "none",
        )  # fmt: skip


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


def _check_serializer(backend: Any) -> None:
    """Raise CommandError when the path in OPTIONS leads to no serializer."""
    try:
        backend.serializer  # noqa: B018 - imports it
    except WrongExtension as error:  # system checks can be skipped
        raise CommandError(str(error)) from error


def _chosen_pool(given: str | None) -> str:
    """Return the pool of --pool, or of the setting. Raise CommandError if a path leads to none."""
    name = given or app_settings.POOL
    if name in POOLS:
        return name
    from ...worker.pools.choice import pool_class

    try:
        pool_class("--pool" if given else "DJANGO_TASKS['POOL']", name)
    except WrongExtension as error:
        raise CommandError(str(error), returncode=USAGE if given else 1) from error
    return name


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


def _pool(text: str) -> str:
    if text not in POOLS and not is_dotted_path(text):
        known = ", ".join(POOLS)
        raise ArgumentTypeError(
            f"{text!r} is none of {known}, and no dotted path of a class{suggest(text, POOLS)}"
        )
    return text


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
