"""
Pausing queues, and stopping and scaling workers from afar.

It takes effect within DJANGO_TASKS["POLL_INTERVAL"], as workers look that often.
"""

from __future__ import annotations

from uuid import UUID

from .backends.database import DatabaseBackend
from .dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from .dep14.handler import task_backends
from .routing import is_queue_name
from .store.workers import queues, requests
from .store.workers.requests import RequestRefused

__all__ = [
    "RequestRefused",
    "pause_queue",
    "paused_queues",
    "resume_queue",
    "scale_worker",
    "stop_worker",
]


def pause_queue(name: str, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS, by: str = "") -> bool:
    """
    Have workers start no more tasks of a queue, until it is resumed.

    Tasks that run go on, and enqueueing does, too. `by`: who does it, to be shown. Return False
    when it was paused already. Raise ValueError for what can be no queue's name.
    """
    return queues.pause(_database_of(backend), backend, _checked(name), by)


def resume_queue(name: str, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> bool:
    """Have workers run the tasks of a queue again. Return False when it was not paused."""
    return queues.resume(_database_of(backend), backend, _checked(name))


def paused_queues(*, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> frozenset[str]:
    """Return the names of the queues that are paused."""
    return queues.paused_names(_database_of(backend), backend)


def stop_worker(
    worker_id: UUID, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS, by: str = ""
) -> bool:
    """
    Ask a worker to stop gently, as SIGTERM does.

    Return False when it is stopping already. Raise RequestRefused when it is gone, or no worker.
    """
    return requests.ask_to_stop(_database_of(backend), worker_id, by)


def scale_worker(
    worker_id: UUID,
    concurrency: int,
    *,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    by: str = "",
) -> bool:
    """
    Ask a worker to run `concurrency` tasks at the same time, in all of its processes.

    Return False when it does, or was asked before. Raise RequestRefused when it cannot, with why.
    """
    return requests.ask_for_concurrency(_database_of(backend), worker_id, concurrency, by)


def _database_of(alias: str) -> str:
    backend = task_backends[alias]
    if not isinstance(backend, DatabaseBackend):
        raise TypeError(f"Backend {alias!r} keeps no tasks in a database: it has no workers.")
    return backend.database


def _checked(name: str) -> str:
    if not is_queue_name(name):
        raise ValueError(
            f"{name!r} is no queue name: up to 100 characters, no space, comma or '*'."
        )
    return name
