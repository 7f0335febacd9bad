"""
What happens to tasks, by the batch and without a query: for metrics, traces and error trackers.

A subscriber is a callable that takes a `Batch`. It is called where the batch is written: in a
worker in the thread that claims and records, so it has to be quick, and must not query. What it
raises is logged, once per place and minute, and hurts nobody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from . import ids
from .conf import app_settings, made

logger = logging.getLogger("django_tasks.instrumentation")

#: Seconds for which what a subscriber raises in one place is not logged again.
QUIET = 60.0
#: Places that are remembered for it.
MOST_PLACES = 1000
_SETTING = "DJANGO_TASKS['INSTRUMENTATION']"


class Event(StrEnum):
    """What has happened to all tasks of a batch."""

    #: Stored, and committed.
    ENQUEUED = "enqueued"
    #: Claimed by a process of a worker.
    CLAIMED = "claimed"
    #: An attempt has ended, and that is committed: see `Outcome`.
    ENDED = "ended"


class Outcome(StrEnum):
    """How an attempt ended. Until there is a final one, the task runs again."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: It was not started before its `expires`.
    EXPIRED = "expired"
    #: It failed, as its worker was lost once too often.
    POISONED = "poisoned"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    #: Given back unrun, or interrupted as the worker stopped.
    RELEASED = "released"
    #: Its worker was lost.
    LOST = "lost"
    #: It belonged to another worker by then.
    LATE = "late"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended with it."""
        return self in _FINAL


_FINAL = frozenset(
    {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED, Outcome.EXPIRED, Outcome.POISONED}
)


class TaskEvent(NamedTuple):
    """
    One task of a batch. Moments are aware, in UTC, by the clock of this machine.

    None stands for what is not known here, or has not happened.
    """

    id: UUID
    task_path: str
    queue_name: str
    priority: int
    #: From 1 on; 0 when it is enqueued.
    attempt: int = 0
    #: When its id was made, if that tells: within the call of enqueue().
    enqueued_at: datetime | None = None
    #: When it was to run at the earliest; of ENQUEUED alone.
    run_after: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: Seconds in the body.
    run_time: float | None = None
    outcome: Outcome | None = None
    #: Seconds until it runs again, of RETRIED, SNOOZED, RELEASED and LOST.
    delay: float = 0.0
    #: What the body raised, where it ran in this process; and the dotted path of its class.
    exception: BaseException | None = None
    exception_path: str = ""
    #: The record's metadata as JSON, with what CONTEXT_PROPAGATORS captured; None without any.
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks to which the same has happened at the same time, in one process."""

    event: Event
    #: The alias in TASKS.
    backend: str
    tasks: Sequence[TaskEvent]
    #: The worker and the number of its process; 0 is its keeper. None: no worker's.
    worker_id: UUID | None = None
    process: int | None = None
    host: str = ""


Subscriber = Callable[[Batch], Any]

_registered: list[Subscriber] = []
#: Those of the code and of the settings. None: the settings are still to be read.
_all: tuple[Subscriber, ...] | None = None
#: When something was logged, by the place where it was raised.
_logged: dict[tuple[str, str, int], float] = {}


def subscribe(subscriber: Subscriber) -> Subscriber:
    """
    Have `subscriber` called with each batch from now on; return it, for use as a decorator.

    Subscribing twice is the same as once. Workers fork: what is subscribed later in one process is
    called in this one only.
    """
    global _all
    if subscriber not in _registered:
        _registered.append(subscriber)
        _all = None
    return subscriber


def unsubscribe(subscriber: Subscriber) -> None:
    """Call `subscriber` no more. Raise ValueError if it was not subscribed by code."""
    global _all
    _registered.remove(subscriber)
    _all = None


def subscribers() -> tuple[Subscriber, ...]:
    """
    Return those that code has subscribed, and those of the settings; empty: nobody listens.

    Raise ImproperlyConfigured for a path of the settings that leads to none.
    """
    global _all
    if _all is None:
        _all = (*_registered, *map(load, app_settings.INSTRUMENTATION))
    return _all


def load(path: str) -> Subscriber:
    """Return the subscriber at a dotted path. Raise ImproperlyConfigured if there is none."""
    found = made(_SETTING, path)
    if not callable(found):
        raise ImproperlyConfigured(
            f"{_SETTING}: {path!r} is not callable. Name a function of one argument, or a class"
            " with __call__(batch)."
        )
    subscriber: Subscriber = found
    return subscriber


def tell(batch: Batch) -> None:
    """Call all subscribers with a batch, in their order."""
    for subscriber in subscribers():
        try:
            subscriber(batch)
        except Exception as error:  # noqa: BLE001 - the worker goes on, whatever they do
            _log(subscriber, error)


def _log(subscriber: Subscriber, error: Exception) -> None:
    """Log a failure, unless it was logged just now. Not its text, which may quote anything."""
    name = getattr(subscriber, "__qualname__", type(subscriber).__qualname__)
    path = f"{getattr(subscriber, '__module__', '')}.{name}"
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    file, line = (tb.tb_frame.f_code.co_filename, tb.tb_lineno) if tb else ("", 0)
    place, now = (path, file, line), time.monotonic()
    if now < _logged.get(place, float("-inf")) + QUIET:
        return
    if len(_logged) >= MOST_PLACES:
        _logged.clear()
    _logged[place] = now
    logger.error(
        "Subscriber %s failed with %s at %s:%d; told once a minute.",
        path, type(error).__name__, file, line,
    )  # fmt: skip


def enqueued_at(task_id: UUID) -> datetime | None:
    """Return the moment that an id tells; None for an id of another kind, or of no time."""
    if task_id.version != 7:
        return None
    try:
        return ids.made_at(task_id)
    except OverflowError:
        return None


def now() -> datetime:
    """Return this moment as subscribers are told it."""
    return datetime.now(UTC)


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _all
    if setting == "DJANGO_TASKS":
        _all = None


setting_changed.connect(_forget)
