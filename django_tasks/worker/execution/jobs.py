"""A claimed task inside of a process, on its way from the claim to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...definitions.protocols import AnyTask
from ...exceptions import TaskInterruption
from ...store.values import Claim, Ending, Success

Outcome = Success | Ending
#: Takes over what became of a job.
Post = Callable[["Job", Outcome], None]


class Job:
    """A claim, the task's code, and the board entry that tells others of it."""

    __slots__ = (
        "_token",
        "claim",
        "claimed_at",
        "context",
        "entry",
        "exception",
        "interruptions",
        "is_settled",
        "metadata",
        "pool_state",
        "run",
        "sends_started",
        "task",
        "waited",
    )

    def __init__(self, claim: Claim, task: AnyTask | None, entry: int) -> None:
        self.claim = claim
        self.task = task
        self.entry = entry
        self.claimed_at = time.monotonic()
        #: With takes_context: what the body is given, and what stands behind it.
        self.context: Any = None
        self.run: Any = None
        #: The row's, with what travelled with the task. None: the settings have no propagators.
        self.metadata: str | None = None
        #: Whether somebody listens to signals about this task.
        self.sends_started = False
        #: What the body raised, for the receivers of signals.
        self.exception: BaseException | None = None
        #: What was raised in the body from outside.
        self.interruptions: tuple[type[TaskInterruption], ...] = ()
        #: Whether the end was written by the body's own transaction (atomic=True).
        self.is_settled = False
        #: For the pool: the thread or coroutine that runs it.
        self.pool_state: Any = None
        self._token = [None]

    #: For how many seconds others that do not know its task have put it back. It is only there
    #: without a task.
    waited: float

    def take(self) -> bool:
        """
        Take the job, to start it or to give it back. Only the first caller gets it.

        (list.pop is atomic: the engine gives back what waits too long while a pool starts it.)
        """
        try:
            self._token.pop()
        except IndexError:
            return False
        return True
