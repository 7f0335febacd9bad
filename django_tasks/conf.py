"""
The app's settings: one dict, ``DJANGO_TASKS``.

Settings that belong to one backend (database, max_attempts, backoff …) are in its
``TASKS[alias]["OPTIONS"]``; see `django_tasks.backends.database`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """Values of ``DJANGO_TASKS`` with their defaults. Durations are float seconds."""

    #: Seconds for which a worker owns its tasks after each heartbeat; it beats four times in it.
    #: A worker that cannot renew in time stops its tasks, and others rescue them.
    LEASE: float = 20.0
    #: Seconds between two looks for tasks of dead workers.
    SWEEP_INTERVAL: float = 5.0
    #: Seconds between two looks into the table while nothing wakes the worker.
    POLL_INTERVAL: float = 1.0
    #: Seconds after which a beat looks at the schedules again at the latest: a schedule that
    #: somebody adds or changes is noticed within them.
    BEAT_INTERVAL: float = 2.0
    #: Seconds that running tasks have to finish after SIGTERM, before they are interrupted and
    #: given back. 0: at once.
    GRACE_PERIOD: float = 25.0
    #: Times that a task may lose its worker: at this many it FAILS as poison. 0 or 1: at the first.
    MAX_LOST: int = 3
    #: How long finished tasks are kept. None: for ever.
    RETENTION_SUCCESSFUL: timedelta | None = timedelta(days=14)
    #: The same for failed and cancelled tasks.
    RETENTION_FAILED: timedelta | None = timedelta(days=30)
    #: Seconds between two rounds of deleting old tasks. None: never by itself (use tasks_prune).
    PRUNE_INTERVAL: float | None = 60.0
    #: Bytes of JSON that the arguments of one task may have.
    MAX_ARGS_BYTES: int = 1024 * KIB
    #: Bytes of JSON that a return value, metadata or progress may have.
    MAX_RESULT_BYTES: int = 1024 * KIB
    #: Bytes kept of one traceback: the head and the tail.
    MAX_TRACEBACK_BYTES: int = 64 * KIB
    #: Bytes kept of what a task writes with context.log(): the newest.
    MAX_LOG_BYTES: int = 64 * KIB
    #: Where `runworker` without --pool runs bodies: prefork, threads, asyncio, gevent, solo, or the
    #: dotted path of a class.
    POOL: str = "prefork"
    #: Most tasks that one process claims at a time. Slow tasks are claimed one by one whatever it
    #: says. 1: never claim more than can start at once.
    BATCH_SIZE: int = 100
    #: Seconds of work that one claim should bring.
    BATCH_SECONDS: float = 0.075
    #: Seconds after which a claimed task that has not started is given back to other workers.
    UNSTARTED_SECONDS: float = 1.0
    #: Seconds between two writes of one task's progress.
    PROGRESS_INTERVAL: float = 0.5
    #: Wake workers by LISTEN/NOTIFY where the database has it. Off: polling only (PgBouncer in
    #: transaction mode, or a database with very many short transactions).
    NOTIFY: bool = True
    #: Seconds until a task that this worker's code does not know is looked at again. The pauses
    #: grow up to an hour. 0: at once, the first time.
    UNKNOWN_TASK_DELAY: float = 30.0
    #: Seconds of such pauses, in all, after which it FAILS. 0: at the first look. None: never.
    UNKNOWN_TASK_TIMEOUT: float | None = 86400.0
    #: Allow result.wait() inside of a task body: it blocks a slot of the worker.
    ALLOW_WAIT_IN_TASKS: bool = False
    #: What travels with a task from where it is enqueued to its body: dotted paths of classes or
    #: objects with capture() and restore(value). `propagation` reads them.
    CONTEXT_PROPAGATORS: tuple[str, ...] = ()
    #: Who is told what happens to tasks: dotted paths of functions of one argument, or of classes.
    INSTRUMENTATION: tuple[str, ...] = ()
    #: More modules to import beside each app's ``tasks``, as dotted paths.
    TASK_MODULES: tuple[str, ...] = ()
    #: Schedules by name: {"task": path, "schedule": crontab(…), …}. `declared` reads them.
    SCHEDULES: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the admin offers tasks for schedules that do not say themselves.
    SCHEDULABLE_BY_DEFAULT: bool = False
    #: Whether log lines tell what an exception says. None: only while settings.DEBUG is true.
    LOG_EXCEPTION_TEXT: bool | None = None
    #: What a Prometheus server sends as "Authorization: Bearer …" to read the view of metrics.
    #: None: only people who are logged in and may view tasks read it.
    METRICS_TOKEN: str | None = None


_OPTIONAL = {
    "RETENTION_SUCCESSFUL",
    "RETENTION_FAILED",
    "PRUNE_INTERVAL",
    "LOG_EXCEPTION_TEXT",
    "METRICS_TOKEN",
    "UNKNOWN_TASK_TIMEOUT",
}
#: Characters that METRICS_TOKEN has at least.
SHORTEST_TOKEN = 16
_POSITIVE = {
    "LEASE",
    "SWEEP_INTERVAL",
    "POLL_INTERVAL",
    "BEAT_INTERVAL",
    "BATCH_SIZE",
    "BATCH_SECONDS",
}
_FIELDS = {f.name: f for f in fields(AppSettings)}

_OF_ALL_TASKS = "TASKS['default']['OPTIONS'] for all tasks, or the same option of @task"
#: Names that are settings elsewhere, or options of a task.
_ELSEWHERE = {
    "RESULT_TTL": "RETENTION_SUCCESSFUL and RETENTION_FAILED for all tasks, or result_ttl of @task",
    "RETENTION": "RETENTION_SUCCESSFUL and RETENTION_FAILED",
    "MAX_ATTEMPTS": f"max_attempts in {_OF_ALL_TASKS}",
    "BACKOFF": f"backoff in {_OF_ALL_TASKS}",
    "BROKER": "broker in TASKS['default']['OPTIONS']",
    "DATABASE": "database in TASKS['default']['OPTIONS']",
    "QUEUES": "TASKS['default']['QUEUES']",
}


def suggest(word: str, known: Any) -> str:
    """Return ", did you mean 'x'?" for the closest of `known`, or an empty string."""
    matches = get_close_matches(str(word), [str(k) for k in known], n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""


def setting_like(word: str) -> str:
    """Return ", did you mean DJANGO_TASKS['X']?" for a word from elsewhere, or an empty string."""
    matches = get_close_matches(word.upper(), _FIELDS, n=1)
    return f", did you mean DJANGO_TASKS[{matches[0]!r}]?" if matches else ""


def read(user: Any) -> tuple[AppSettings, list[str]]:
    """Return the settings made of the dict `user`, and a message per mistake in it."""
    if not isinstance(user, dict):
        return AppSettings(), [f"DJANGO_TASKS must be a dict, not {type(user).__name__}."]
    errors, values = [], {}
    for name, value in user.items():
        if name not in _FIELDS:
            meant = f"; use {_ELSEWHERE[name]}" if name in _ELSEWHERE else suggest(name, _FIELDS)
            errors.append(f"DJANGO_TASKS has an unknown setting {name!r}{meant}")
        elif error := _error_of(name, value):
            errors.append(error)
        else:
            values[name] = value
    return AppSettings(**values), errors


def current() -> tuple[AppSettings, list[str]]:
    """Return what `read` makes of the project's DJANGO_TASKS."""
    return read(getattr(settings, "DJANGO_TASKS", {}))


def _error_of(name: str, value: Any) -> str | None:
    default = _FIELDS[name].default
    if value is None:
        return None if name in _OPTIONAL else f"DJANGO_TASKS[{name!r}] may not be None."
    if isinstance(default, timedelta) or name in ("RETENTION_SUCCESSFUL", "RETENTION_FAILED"):
        wanted, good = "a timedelta", isinstance(value, timedelta) and value >= timedelta(0)
    elif name == "METRICS_TOKEN":
        if isinstance(value, str) and len(value) >= SHORTEST_TOKEN and value.isascii():
            return None
        # Not with the value: it is a secret.
        return (
            f"DJANGO_TASKS['METRICS_TOKEN'] must be a string of {SHORTEST_TOKEN} or more ASCII"
            " characters, or None."
        )
    elif name == "SCHEDULES":
        wanted, good = "a dict of names and schedules", isinstance(value, dict)
    elif name == "LOG_EXCEPTION_TEXT":
        wanted, good = "True, False or None", isinstance(value, bool)
    elif isinstance(default, bool):
        wanted, good = "True or False", isinstance(value, bool)
    elif isinstance(default, str):
        wanted, good = "a name or a dotted path", isinstance(value, str) and bool(value)
    elif isinstance(default, tuple):
        wanted = "a list or tuple of dotted paths"
        good = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    else:
        kinds = (int,) if isinstance(default, int) else (int, float)
        wanted = "a whole number" if isinstance(default, int) else "a number of seconds"
        least = 0 if name not in _POSITIVE else 1e-9
        wanted += " above 0" if least else " from 0 on"
        good = isinstance(value, kinds) and not isinstance(value, bool)
        good = good and least <= value < float("inf")
    return None if good else f"DJANGO_TASKS[{name!r}] must be {wanted}, not {value!r}."


def is_missing(module: str) -> bool:
    """Tell whether there is no module at this dotted path: a mistake in the settings."""
    try:
        return find_spec(module) is None
    except ModuleNotFoundError as error:
        # One of its packages is not there; or one is, and lacks what it imports itself.
        return f"{module}.".startswith(f"{error.name}.")
    except ValueError:  # no path at all, as ""
        return module not in sys.modules


def made(setting: str, path: str) -> Any:
    """
    Return the object that a dotted path in a setting leads to; a class is made, without arguments.

    Raise ImproperlyConfigured, which names the setting, if there is none.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting}: {path!r} cannot be imported: {error}.") from error
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise ImproperlyConfigured(
            f"{setting}: {path!r} is made without arguments: {error}."
        ) from error


class _LazySettings:
    """Reads ``settings.DJANGO_TASKS`` at the first use and again when a test overrides it."""

    _read: AppSettings | None = None

    def __getattr__(self, name: str) -> Any:
        if self._read is None:
            self._read, errors = current()
            if errors:
                self._read = None
                raise ImproperlyConfigured(" ".join(errors))
        return getattr(self._read, name)

    def reload(self, *, setting: str, **kwargs: Any) -> None:
        if setting == "DJANGO_TASKS":
            self._read = None


app_settings: AppSettings = _LazySettings()  # type: ignore[assignment]
setting_changed.connect(app_settings.reload)  # type: ignore[attr-defined]
