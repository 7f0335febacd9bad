"""The pool of prefork and solo: one body at a time, in the main thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from ..board import Board
from ..execution.jobs import Job, Post
from ..execution.limits import MainThreadLimits
from ..execution.process_state import ProcessState
from ..execution.runner import Runner, SyncCaller


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
        process_state = ProcessState()
        call = self._call
        context = copy_context()
        context.run(self._caller.enter)
        while (job := self._next()) is not None:
            if job.take():
                self._job = job
                outcome = context.copy().run(self.runner.run, job, call)
                self._caller.tidy()
                process_state.restore()
                self.post(job, outcome)
        self._caller.close()
        process_state.close()

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
