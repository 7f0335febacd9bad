"""What bodies ask of the thread that has the engine's connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .faults import is_outage


class Errands:
    """Calls that wait for the engine; an errand that meets an outage is done again after it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, function: Callable[[], Any]) -> Future[Any]:
        """Take a call; the future gets what it returns or raises."""
        answer: Future[Any] = Future()
        self._waiting.append((function, answer))
        return answer

    def run(self) -> None:
        """Do all that wait. Raise OperationalError and its like with the rest kept."""
        while self._waiting:
            function, answer = self._waiting[0]
            try:
                answer.set_result(function())
            except Exception as error:
                if is_outage(error):
                    raise
                # For the body that asked.
                answer.set_exception(error)
            self._waiting.popleft()
