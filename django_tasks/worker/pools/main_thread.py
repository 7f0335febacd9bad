"""
Where bodies run: in the main thread, in threads, in an event loop, or in greenlets.

A pool takes jobs from the engine, runs as many at a time as it has slots, and posts what became
of each. `run()` is the main thread's work; it returns after `stop()`. Each body runs in a copy of
the process' context, so that no ContextVar reaches the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Protocol

from asgiref.sync import SyncToAsync

from ..board import Board
from ..execution.jobs import Job, Post
from ..execution.limits import MainThreadLimits
from ..execution.process_state import Surroundings
from ..execution.runner import Runner, SyncCaller
from ..execution.side_threads import CallThreads
from .coroutines import AsyncioPool
from .threads import ThreadPool


class Pool(Protocol):
    """Runs jobs."""

    slots: int

    def submit(self, jobs: Iterable[Job]) -> None:
        """Take jobs over; called by the engine's thread."""

    def run(self) -> None:
        """Run jobs until stop() was called and they are done; called in the main thread."""

    def resize(self, slots: int) -> None:
        """Run so many at a time; those that run beyond them go on to their end."""

    def stop(self) -> None:
        """Let run() return when all submitted jobs are done."""

    def look(self) -> None:
        """Stop the bodies that are cancelled or to be interrupted; called in a signal handler."""


class MainThreadPool:
    """prefork and solo: one body at a time, in the main thread, where signals reach it."""

    slots = 1

    def __init__(self, runner: Runner, post: Post, board: Board) -> None:
        self.runner = runner
        self.post = post
        self.limits = MainThreadLimits(board)
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._caller = SyncCaller()

    def submit(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._inbox.put(job)

    def run(self) -> None:
        self.limits.install()
        surroundings = Surroundings()
        call = self._call
        context = copy_context()
        context.run(self._caller.enter)
        while (job := self._next()) is not None:
            if job.take():
                self._job = job
                outcome = context.copy().run(self.runner.run, job, call)
                self._caller.tidy()
                surroundings.restore()
                self.post(job, outcome)
        self._caller.close()
        surroundings.close()

    def _next(self) -> Job | None:
        has_waited = self._inbox.empty()
        job = self._inbox.get()
        if has_waited:
            self._caller.tidy()  # connections may have grown too old meanwhile
        return job

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return self.limits.call(self._job, lambda: self._caller(function, args, kwargs))

    def resize(self, slots: int) -> None:
        """Do nothing: there is one main thread."""

    def stop(self) -> None:
        self._inbox.put(None)

    def look(self) -> None:
        """Do nothing: the signal handler of the limits does it."""


def make_pool(name: str, runner: Runner, post: Post, board: Board, slots: int) -> Pool:
    """Return the pool of this name."""
    # For code that is in none of the threads that a pool gives to each body.
    SyncToAsync.single_thread_executor = CallThreads(1, "sync_to_async")
    if name in ("prefork", "solo"):
        return MainThreadPool(runner, post, board)
    if name == "asyncio":
        return AsyncioPool(runner, post, board, slots)
    if name == "gevent":
        from .greenlets import GeventPool

        return GeventPool(runner, post, board, slots)
    return ThreadPool(runner, post, board, slots)
