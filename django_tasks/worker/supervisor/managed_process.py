"""Keep a process of a worker alive that runs no tasks: its beat."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable

logger = logging.getLogger("django_tasks.supervisor")

#: Seconds from one start to the next at least.
LEAST_PAUSE = 1.0


class ManagedProcess:
    """
    Keeps one process alive for the supervisor.

    `fork` starts it and returns its pid; `show_life` speaks for it until it does so itself;
    `silence` returns the seconds since it last did.
    """

    def __init__(
        self,
        name: str,
        fork: Callable[[], int],
        show_life: Callable[[], None],
        silence: Callable[[], float],
    ) -> None:
        self.name = name
        self.pid = 0
        self._fork = fork
        self._show_life = show_life
        self._silence = silence
        self._started_at = float("-inf")
        self._is_stopping = False

    def keep(self) -> None:
        """Start it unless it runs, was told to stop, or has only just been started."""
        now = time.monotonic()
        if self.pid or self._is_stopping or now < self._started_at + LEAST_PAUSE:
            return
        self._started_at = now
        self._show_life()
        self.pid = self._fork()

    def ended(self, how: str) -> None:
        """Note that it ended; the next keep() starts another."""
        self.pid = 0
        if not self._is_stopping:
            logger.error("The %s died (%s); starting another.", self.name, how)

    def kill_if_silent(self, limit: float) -> None:
        """Kill what has said nothing for `limit` seconds: its line to the database may be dead."""
        if self.pid and self._silence() > limit:
            logger.error("The %s has been silent for %g s; starting another.", self.name, limit)
            self._show_life()
            self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Tell it to stop gently, once: a second signal would end it at once."""
        if not self._is_stopping:
            self._is_stopping = True
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self.pid:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return  # it ended by itself; the supervisor reaps it
