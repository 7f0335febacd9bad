"""Calls that bodies hand to the engine's thread, which has the connection."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ...runtime.faults import is_outage
from .set_aside import PAUSE

EngineCall = tuple[Callable[[], Any], "Future[Any]"]


class RowLocked(Exception):
    """Somebody else has locked the row that is to be written: do it again later."""


class EngineCalls:
    """
    Calls that wait for the engine.

    A call that meets an outage is made again after it, one that raises RowLocked after a pause,
    while others go on.
    """

    def __init__(self) -> None:
        self._waiting: deque[EngineCall] = deque()
        self._set_aside: list[EngineCall] = []
        #: When to run what is set aside, by time.monotonic(). None: nothing is.
        self.retry_at: float | None = None

    def __len__(self) -> int:
        """Return how many are to be done now."""
        is_due = self.retry_at is not None and time.monotonic() >= self.retry_at
        return len(self._waiting) + (len(self._set_aside) if is_due else 0)

    def add(self, function: Callable[[], Any]) -> Future[Any]:
        """Take a call; the future gets what it returns or raises."""
        answer: Future[Any] = Future()
        self._waiting.append((function, answer))
        return answer

    def run(self) -> None:
        """Do all that wait. Raise OperationalError and its like with the rest kept."""
        self._waiting.extendleft(reversed(self._set_aside))
        self._set_aside, self.retry_at = [], None
        while self._waiting:
            call = self._waiting[0]
            function, answer = call
            try:
                answer.set_result(function())
            except RowLocked:
                self._set_aside.append(call)
                self.retry_at = time.monotonic() + PAUSE
            except Exception as error:
                if is_outage(error):
                    raise
                # For the body that asked.
                answer.set_exception(error)
            self._waiting.popleft()
