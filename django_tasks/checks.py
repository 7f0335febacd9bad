"""System checks. Each id is explained in docs/reference/checks.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.core.management import find_commands
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from . import conf, instrumentation
from .definitions import declared_schedules, propagation, tasks_setting
from .definitions.backends import backend_classes, database_aliases, database_backends
from .definitions.declared_schedules import Problem, Source
from .definitions.registry import known_tasks
from .definitions.tasks_setting import PASTE
from .dep14 import mixed_install
from .dep14.backends import DummyBackend, ImmediateBackend
from .dep14.checks import check_tasks as django_check_tasks
from .dep14.handler import task_backends
from .runtime.extensions import EXTENSIONS, WrongExtension
from .store import time_zones
from .worker.config import POOLS

# Django's own check of TASKS makes each backend, and ends with a traceback where that fails.
registry.registered_checks.discard(django_check_tasks)


@register
def check_tasks(**kwargs: Any) -> list[CheckMessage]:
    """
    E016: a backend that cannot be made of TASKS; for others, what they find themselves.

    E002, E004, E005, E008 to E010, E012 and E014 are found by `DatabaseBackend.check()` and its
    broker.
    """
    messages: list[CheckMessage] = []
    mistakes = tasks_setting.mistakes()
    if any(task.backend == "default" for task in known_tasks()):
        absent = tasks_setting.mistake_in("default")
        mistakes |= {"default": absent} if absent else {}
    for alias in dict.fromkeys([*mistakes, *tasks_setting.configured()]):
        try:
            mistake = mistakes.get(alias)
            messages += _wrong_tasks(mistake) if mistake else task_backends[alias].check()
        except ImproperlyConfigured as error:  # of somebody else's backend
            messages += _wrong_tasks(str(error))
    return messages


def _wrong_tasks(mistake: str) -> Iterable[CheckMessage]:
    hint = "All settings with their units: docs/reference/settings."
    yield Error(mistake, hint=hint, id="django_tasks.E016")


@register
def check_task_modules(**kwargs: Any) -> list[CheckMessage]:
    """E017: a path in TASK_MODULES that leads to no module."""
    return [
        Error(
            f"DJANGO_TASKS['TASK_MODULES'] has {module!r}, but there is no such module.",
            hint="Name modules by their dotted paths, as 'shop.jobs'.",
            id="django_tasks.E017",
        )
        for module in conf.current()[0].TASK_MODULES
        if conf.is_missing(module)
    ]


@register
def check_installation(**kwargs: Any) -> list[CheckMessage]:
    """E001: another distribution has files under the same import name."""
    version = mixed_install.other_version()
    if version is None:
        return []
    return [
        Error(
            f"The distribution {mixed_install.OTHER!r} {version} is installed too. It has the same"
            f" import name, and each of the two overwrites files of the other.",
            hint=f"Run: {mixed_install.fix()}",
            id="django_tasks.E001",
        )
    ]


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E003: a mistake in DJANGO_TASKS."""
    _, mistakes = conf.current()
    return [
        Error(
            mistake,
            hint="All settings with their units: docs/reference/settings.",
            id="django_tasks.E003",
        )
        for mistake in mistakes
    ]


@register
def check_propagators(**kwargs: Any) -> list[CheckMessage]:
    """E013: a path in CONTEXT_PROPAGATORS that leads to no propagator."""
    errors: list[CheckMessage] = []
    for path in conf.current()[0].CONTEXT_PROPAGATORS:
        try:
            propagation.load(path)
        except ImproperlyConfigured as error:
            hint = "What it must have: docs/howto/multi-tenancy."
            errors.append(Error(str(error), hint=hint, id="django_tasks.E013"))
    return errors


@register
def check_pool(**kwargs: Any) -> list[CheckMessage]:
    """E014: the setting POOL leads to no pool. (Of a broker the backend tells.)"""
    name = conf.read(getattr(settings, "DJANGO_TASKS", {}))[0].POOL
    if name in POOLS:
        return []
    from .worker.pools.choice import pool_class

    try:
        pool_class("DJANGO_TASKS['POOL']", name)
    except WrongExtension as error:
        return [Error(str(error), hint=EXTENSIONS, id="django_tasks.E014")]
    return []


@register
def check_instrumentation(**kwargs: Any) -> list[CheckMessage]:
    """E014: a path in INSTRUMENTATION that leads to no subscriber."""
    errors: list[CheckMessage] = []
    for path in conf.read(getattr(settings, "DJANGO_TASKS", {}))[0].INSTRUMENTATION:
        try:
            instrumentation.load(path)
        except ImproperlyConfigured as error:
            errors.append(Error(str(error), hint=EXTENSIONS, id="django_tasks.E014"))
    return errors


@register
def check_schedules(**kwargs: Any) -> list[CheckMessage]:
    """E007, W009, W010: schedules in settings that cannot be read, or name no known task."""
    if conf.current()[1]:
        return []  # E003 tells of it.
    problems = declared_schedules.collect().problems
    of_celery = [problem for problem in problems if problem.source is Source.CELERY]
    unknown = [problem for problem in of_celery if problem.is_unknown_task]
    return [
        *(_bad_schedule(problem) for problem in problems if problem not in of_celery),
        *(_bad_entry(problem) for problem in of_celery if problem not in unknown),
        *_not_a_dict(),
        *_unknown_tasks(unknown),
    ]


def _bad_schedule(problem: Problem) -> CheckMessage:
    return Error(
        f"{problem.source.value}, schedule {problem.name!r}: {problem.message}",
        hint="All options of a schedule: docs/howto/schedules.",
        id="django_tasks.E007",
    )


def _bad_entry(problem: Problem) -> CheckMessage:
    left_out = " It is left out." if problem.is_left_out else ""
    return Warning(
        f"CELERY_BEAT_SCHEDULE[{problem.name!r}]: {problem.message}{left_out}",
        hint='Write it as a schedule of DJANGO_TASKS["SCHEDULES"].',
        id="django_tasks.W009",
    )


def _not_a_dict() -> Iterable[CheckMessage]:
    given = getattr(settings, "CELERY_BEAT_SCHEDULE", None)
    if given is not None and not isinstance(given, Mapping):
        yield Warning(
            f"CELERY_BEAT_SCHEDULE is not a dict but {type(given).__name__}: it is left out.",
            id="django_tasks.W009",
        )


def _unknown_tasks(problems: Sequence[Problem]) -> Iterable[CheckMessage]:
    if problems:
        texts = " ".join(f"{problem.name!r}: {problem.message}" for problem in problems)
        yield Warning(
            f"Entries of CELERY_BEAT_SCHEDULE that are left to celery beat: {texts}",
            hint="A schedule is taken over when its task is decorated with django_tasks.task.",
            id="django_tasks.W010",
        )


@register
def check_backends(**kwargs: Any) -> list[CheckMessage]:
    """W001: the app is there, but nothing uses its tables."""
    if database_aliases() or tasks_setting.mistakes():  # E016 tells of those
        return []
    return [
        Warning(
            "django_tasks is installed, but no alias in TASKS uses its DatabaseBackend: tasks do"
            " not reach its workers. Without TASKS in the settings it would be the default.",
            hint=f"Remove TASKS from the settings, or set it to:\n    {PASTE}",
            id="django_tasks.W001",
        )
    ]


@register(deploy=True)
def check_backends_for_production(**kwargs: Any) -> list[CheckMessage]:
    """W003: tasks that run in the request, or never."""
    return [
        Warning(
            f"TASKS[{alias!r}] uses {backend.__name__}, {what}.",
            hint=f"For production:\n    {PASTE}",
            id="django_tasks.W003",
        )
        for alias, backend in backend_classes().items()
        for what in [_what_is_wrong_with(backend)]
        if what
    ]


def _what_is_wrong_with(backend: Any) -> str:
    if isinstance(backend, type) and issubclass(backend, DummyBackend):
        return "which never runs a task"
    if isinstance(backend, type) and issubclass(backend, ImmediateBackend):
        return "which runs each task inside of the request that enqueues it"
    return ""


@register
def check_commands(**kwargs: Any) -> list[CheckMessage]:
    """W004: another app's runworker hides ours."""
    before = takewhile(lambda app: app.name != "django_tasks", apps.get_app_configs())
    hiding = [app.name for app in before if _has_runworker(app.path)]
    return [
        Warning(
            f"`manage.py runworker` is the command of {name!r}, which INSTALLED_APPS lists before"
            " django_tasks: it would not run tasks.",
            hint=f'List "django_tasks" before {name!r} in INSTALLED_APPS.',
            id="django_tasks.W004",
        )
        for name in hiding[:1]
    ]


def _has_runworker(app_path: str) -> bool:
    return "runworker" in find_commands(str(Path(app_path, "management")))


@register
def check_time_zones(**kwargs: Any) -> list[CheckMessage]:
    """E006: local times would meet the database's clock."""
    faults = {time_zones.fault_of(database) for database, _ in _task_connections()}
    return [
        Error(fault.text, hint=fault.fix, id="django_tasks.E006")
        for fault in sorted(filter(None, faults))
    ]


@register
def check_autocommit(**kwargs: Any) -> list[CheckMessage]:
    """W013: nobody commits what is enqueued."""
    return [
        Warning(
            f"DATABASES[{database!r}]['AUTOCOMMIT'] is False, and the tasks are there: what is"
            " enqueued is stored when you call transaction.commit(), and what the admin and the"
            " commands do with tasks never is. With a broker, enqueueing raises.",
            hint="Leave AUTOCOMMIT out, and use transaction.atomic(). Workers have it on.",
            id="django_tasks.W013",
        )
        for database, connection in _task_connections()
        if not connection.settings_dict["AUTOCOMMIT"]
    ]


@register(Tags.database)
def check_databases(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W002, W005, W007, W008, W012: what each task database can do and how it is set up."""
    messages: list[CheckMessage] = []
    for database, connection in _task_connections():
        if database not in (databases or ()):
            continue
        try:
            for check in _DATABASE_CHECKS.get(connection.vendor, ()):
                messages += check(database, connection)
        except OperationalError as error:
            messages.append(
                Info(
                    f"The task database {database!r} was not checked: {str(error).strip()}",
                    id="django_tasks.I001",
                )
            )
    return messages


def _check_sqlite(database: str, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    lacking = []
    if _value(connection, "PRAGMA journal_mode") not in ("wal", "memory"):
        lacking.append("journal_mode is not WAL")
    if (getattr(connection, "transaction_mode", None) or "").upper() != "IMMEDIATE":
        lacking.append("transaction_mode is not IMMEDIATE")
    if lacking:
        yield Warning(
            f"SQLite database {database!r}: {' and '.join(lacking)}. Web processes and workers"
            ' that write at the same time get "database is locked".',
            hint=(
                f'In DATABASES[{database!r}]["OPTIONS"]: "transaction_mode": "IMMEDIATE",'
                ' "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",'
                ' "timeout": 20'
            ),
            id="django_tasks.W002",
        )


def _check_skip_locked(database: str, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    if not connection.features.has_select_for_update_skip_locked:
        yield Warning(
            f"Database {database!r} has no SKIP LOCKED: workers that claim at the same time wait"
            " for each other.",
            hint="Use MariaDB 10.6 or newer, or MySQL 8.0.11 or newer.",
            id="django_tasks.W005",
        )


_CHARSET = """
SELECT character_set_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = 'django_tasks_taskattempt'
  AND column_name = 'traceback'"""


def _check_charset(database: str, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    charset = _value(connection, _CHARSET)
    if charset not in (None, "utf8mb4"):  # None: not migrated yet
        yield Warning(
            f"The tables of django_tasks in {database!r} have the character set {charset}: an"
            " error message with an emoji in it cannot be stored.",
            hint=(
                "ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin for"
                " django_tasks_taskrecord, django_tasks_taskattempt and django_tasks_workerrecord."
            ),
            id="django_tasks.W007",
        )


#: By series of MariaDB, the first release that sorts and compares UUIDs of version 7 by their time.
#: Earlier ones sort by the random end (MDEV-29959), or compare wrongly (MDEV-31926). Other series
#: do right, or have no UUID columns.
_FIRST_RIGHT: Mapping[tuple[int, int], float] = {
    (10, 7): math.inf,
    (10, 8): math.inf,
    (10, 9): math.inf,
    (10, 10): 7,
    (10, 11): 6,
    (11, 0): 4,
    (11, 1): 3,
    (11, 2): 2,
}


def _check_order_of_ids(database: str, connection: Any) -> Iterable[CheckMessage]:
    major, minor, patch = connection.mysql_version
    if connection.mysql_is_mariadb and patch < _FIRST_RIGHT.get((major, minor), 0):
        yield Warning(
            f"MariaDB {major}.{minor}.{patch} of database {database!r} does not sort the ids of"
            " tasks by their time: tasks of one priority run in no order, and the larger the table,"
            " the slower they are stored.",
            hint=(
                "Use MariaDB 10.11.6 or newer (of older series 10.6, or 10.10.7), then rebuild the"
                " tables that have ids: ALTER TABLE django_tasks_taskrecord FORCE, and the same for"
                " django_tasks_taskattempt."
            ),
            id="django_tasks.W012",
        )


def _check_durability(database: str, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    if _value(connection, "SHOW synchronous_commit") == "off":
        yield Warning(
            f"synchronous_commit is off in database {database!r}: when the server crashes, tasks"
            " that were enqueued or finished in the last moments before are lost or run again.",
            hint=f"Set it to on for the role or database that {database!r} connects to.",
            id="django_tasks.W008",
        )


_DATABASE_CHECKS: dict[
    str, Sequence[Callable[[str, BaseDatabaseWrapper], Iterable[CheckMessage]]]
] = {
    "sqlite": (_check_sqlite,),
    "mysql": (_check_skip_locked, _check_charset, _check_order_of_ids),
    "postgresql": (_check_durability,),
}


def _task_connections() -> list[tuple[str, BaseDatabaseWrapper]]:
    """Return each task database that DATABASES has, once."""
    backends = database_backends().values()
    # E016 tells of the others.
    names = {backend.database for backend in backends if not getattr(backend, "mistakes", None)}
    return [(name, connections[name]) for name in sorted(names) if name in connections]


def _value(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row[0] if row else None
