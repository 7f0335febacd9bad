"""Read and write a running task's row for its body, through its context."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from django.db import connections

from ...definitions.results import TaskResult
from ...redaction.exceptions import OF_OTHERS, loggable
from ...runtime.faults import CONNECTION_ERRORS, is_lock_timeout, is_outage
from ...store.tasks import enqueue, transitions
from ..board import Lane
from ..engine.calls import RowLocked
from .jobs import Job

logger = logging.getLogger("django_tasks.worker")


class DatabaseProxy(Protocol):
    """Talks to the task database on behalf of running bodies, on a connection of its own."""

    def ask(self, function: Callable[[], Any], *, wait: bool) -> Any:
        """Call `function` there, until it raises no RowLocked; with `wait`, return its value."""


class JobRun:
    """What a task's context can ask of the process that runs it."""

    __slots__ = (
        "_database",
        "_generation",
        "_is_asked",
        "_job",
        "_lane",
        "_lock",
        "_proxy",
        "_unsaved",
        "attempt",
    )

    def __init__(self, job: Job, database: str, lane: Lane, proxy: DatabaseProxy) -> None:
        self._job = job
        self._database = database
        self._lane = lane
        self._proxy = proxy
        self.attempt = job.claim.attempts
        #: The body may keep its context for longer than the cell of the board is its own.
        self._generation = lane.board.generations[job.entry]
        self._lock = threading.Lock()
        self._unsaved: dict[str, Any] = {}
        self._is_asked = False

    def load_result(self) -> TaskResult[Any]:
        """Read the task's record."""
        return load_result(self._proxy, self._database, self._job)

    def save(self, fields: dict[str, Any], *, wait: bool) -> None:
        """
        Write columns of the task's row, if it is still this claim's.

        By the engine, at once and whatever becomes of the body and its transaction. Without `wait`
        the newest value of each column is written when the engine has time, and an error is logged.
        A body that has locked the row itself, or the only writer's place, writes by itself.
        """
        if not wait:
            if not self._add(fields):
                self._proxy.ask(self._write_unsaved, wait=False)
            return
        fields = self._take() | fields
        if _is_in_a_loop() or not connections[self._database].in_atomic_block:
            self._proxy.ask(partial(self._write, fields), wait=True)
        elif not self._write_beside(fields):
            self._write(fields, waits=True)

    @property
    def has_unsaved(self) -> bool:
        """Whether something is to be written before the task's end is."""
        return bool(self._unsaved)

    def _write_beside(self, fields: dict[str, Any]) -> bool:
        """Have the engine write outside of the body's transaction; return whether it could."""
        if not connections[self._database].features.has_select_for_update:
            return False  # one writer at a time, and it may be the body

        def write() -> bool:
            try:
                self._write(fields)
            except RowLocked:
                return False
            return True

        is_written: bool = self._proxy.ask(write, wait=True)
        return is_written

    def _add(self, fields: dict[str, Any]) -> bool:
        """Keep `fields` for the next write; return whether one is coming."""
        with self._lock:
            self._unsaved.update(fields)
            is_coming, self._is_asked = self._is_asked, True
            return is_coming

    def _take(self) -> dict[str, Any]:
        with self._lock:
            fields, self._unsaved = self._unsaved, {}
            return fields

    def _write_unsaved(self) -> None:
        with self._lock:
            fields, self._unsaved = self._unsaved, {}
            self._is_asked = False
        try:
            self._write(fields)
        except (*CONNECTION_ERRORS, RowLocked):
            with self._lock:  # the engine calls again when the database is back, or the row free
                self._unsaved = fields | self._unsaved
                self._is_asked = True
            raise
        except Exception as error:
            logger.error(
                "What task %s said of itself was not stored.",
                self._job.claim.id, exc_info=loggable(error, OF_OTHERS),
            )  # fmt: skip

    def _write(self, fields: dict[str, Any], *, waits: bool = False) -> None:
        """Write `fields`. Without `waits` raise RowLocked if somebody else has locked the row."""
        claim = self._job.claim
        try:
            if (
                fields
                and transitions.save_fields(
                    self._database, claim.id, claim.claims, fields, waits=waits
                )
                is None
            ):
                raise RowLocked
        except CONNECTION_ERRORS as error:
            if is_lock_timeout(error):
                raise RowLocked from error
            if is_outage(error):
                raise
            raise ValueError(f"The database refused {', '.join(fields)}: {error}") from error

    def is_cancelled(self) -> bool:
        """Read the flag that the keeper sets."""
        return self._lane.board.cancelled[self._job.entry] == self._generation


def load_result(proxy: DatabaseProxy, database: str, job: Job) -> TaskResult[Any]:
    """Read the record of a running task. Raise LookupError when it was deleted."""
    task_id = job.claim.id
    load = partial(enqueue.load, database, task_id)
    # A coroutine must not query. A plain body reads on its own connection: the engine may wait for
    # what the body has locked.
    result = proxy.ask(load, wait=True) if _is_in_a_loop() else load()
    if result is None:
        raise LookupError(f"The record of task {task_id} was deleted.")
    loaded: TaskResult[Any] = result
    return loaded


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
