"""
The contract of a pool.

A pool takes jobs from the engine, runs as many at a time as it has slots, and posts what became
of each. `run()` is the main thread's work; it returns after `stop()`. Each body runs in a copy of
the process' context, so that no ContextVar reaches the next one.

A class of one's own is made as ``(runner, post, board, slots)`` after the fork, in the main thread.
`runner.run(job, call)` returns the outcome of a job, `post(job, outcome)` hands it to the engine,
`board` knows what is to be stopped, and `slots` is how many to run at a time: see
docs/howto/write-an-extension. Whether it keeps this: `django_tasks.conformance.PoolConformance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..execution.jobs import Job, Post

__all__ = ["Job", "Pool", "Post"]


class Pool(Protocol):
    """Runs jobs."""

    #: Jobs that it runs at a time.
    slots: int

    def submit(self, jobs: Iterable[Job]) -> None:
        """
        Take jobs over; called by the engine's thread.

        Start each with `job.take()` only: False says that it was given back meanwhile.
        """

    def run(self) -> None:
        """Run jobs until stop() was called and they are done; called in the main thread."""

    def resize(self, slots: int) -> None:
        """Run so many at a time; those that run beyond them go on to their end."""

    def stop(self) -> None:
        """Let run() return when all submitted jobs are done."""

    def look(self) -> None:
        """Stop the bodies that are cancelled or to be interrupted; called in a signal handler."""
