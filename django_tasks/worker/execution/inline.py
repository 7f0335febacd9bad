"""Run tasks one by one in the caller's thread and on its connection, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import connections

from ...definitions import registry
from ...definitions.codecs import serializer_of
from ...dep14.functions import is_coroutine_function
from ...signals import has_listeners, task_started
from ...store.tasks import unknown
from ...store.tasks.claims import Claimer
from ...store.workers import queues
from ...store.workflows.references import resolved
from ..board import Board
from ..config import WorkerConfig
from ..engine.recorder import Recorder
from . import contexts
from .connections import OwnConnections
from .failures import fail
from .jobs import Job
from .not_run import expired
from .runner import Runner


def _call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a body; what a coroutine hands to sync_to_async comes back to this very thread."""
    if is_coroutine_function(function):
        # A context of its own, as in a worker: async_to_sync() would bring its variables back here.
        return copy_context().run(async_to_sync(function), *args, **kwargs)
    return function(*args, **kwargs)


class InlineWorker:
    """Claims, runs and records one task at a time."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.lane = Board(1, 8).lane(0)
        self.lane.open(1)
        self.claimer = Claimer(config.database, config.queues, config.worker_id, 1, config.backend)
        self.recorder = Recorder(
            config, 1, self.claimer, lambda job: self.lane.release(job.entry), OwnConnections()
        )
        self.recorder.batches.board = self.lane.board
        self.runner = Runner(config.database, self.lane, self, serializer_of(config.backend))

    def ask(self, function: Callable[[], Any], *, wait: bool) -> Any:
        """Call `function` on the caller's connection, also from inside of a coroutine."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function()
        # Django refuses queries in a thread with a running loop: lend the connection to another.
        connection = connections[self.config.database]
        connection.inc_thread_sharing()
        try:
            with ThreadPoolExecutor(1) as executor:
                return executor.submit(self._with_connection, connection, function).result()
        finally:
            connection.dec_thread_sharing()

    def _with_connection(self, connection: Any, function: Callable[[], Any]) -> Any:
        connections[self.config.database] = connection
        return function()

    def run_next(self) -> UUID | None:
        """
        Run the next ready task to its end; return its id, or None when none is ready.

        What is paused is asked each time: the task before may have paused a queue.
        """
        self.claimer.exclude(queues.paused_names(self.config.database, self.config.backend))
        claims = self.claimer.claim(1)
        if not claims:
            return None
        [claim], wrong = resolved(self.config.database, claims)
        task = registry.find(claim.task_path)
        job = Job(claim, task, self.lane.reserve(claim.id, claim.claims))
        metadata = contexts.metadata_of(self.config.database, claims)
        job.metadata = metadata.get(claim.id)
        self.recorder.batches.claimed(claims, metadata)
        if task is None:
            job.waited = unknown.waited(self.config.database, claims)[claim.id]
        job.sends_started = task is not None and has_listeners(
            task_started, type(task.get_backend())
        )
        if wrong:
            outcome: Any = fail(claim, wrong[claim.id], None)
        elif claim.is_expired:
            outcome = expired(claim)
        else:
            outcome = self.runner.run(job, _call)
        if isinstance(job.exception, KeyboardInterrupt):
            raise job.exception  # somebody stops the tests, not the task
        self.recorder.add(job, outcome)
        self.recorder.write(0)
        return claim.id
