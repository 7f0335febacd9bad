"""Stop a worker: from the first signal over the grace period to the last kill."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Collection

from ...runtime.forks import LOOK
from ..board import Board
from ..config import WorkerConfig
from .children import Child, kill, retire, send_signal

logger = logging.getLogger("django_tasks.supervisor")

#: Seconds from the soft interruption at the end of the grace period to SIGKILL.
INTERRUPTION_TIME = 2.0
#: Seconds in which two signals count as one.
ONE_SIGNAL = 0.1


class Stop:
    """How far a worker is with stopping."""

    def __init__(self, config: WorkerConfig, board: Board) -> None:
        self.grace = config.grace
        self.board = board
        self.has_begun = False
        #: Whether tasks still ran when the grace period was over.
        self.is_forced = False
        self._signals = 0
        self._signalled_at = float("-inf")
        self._interrupt_at = float("inf")
        self._kill_at = float("inf")

    def hear(self, number: int) -> None:
        """Count a signal; called in its handler. SIGQUIT counts twice."""
        now = time.monotonic()
        # A wrapper that forwards the terminal's Ctrl+C makes two of one.
        if number == signal.SIGQUIT or now - self._signalled_at > ONE_SIGNAL:
            self._signals += 1 if number != signal.SIGQUIT else 2
        self._signalled_at = now

    def step(self, children: Collection[Child]) -> None:
        """Do what is to be done by now."""
        now = time.monotonic()
        if (self._signals or self.board.is_asked_to_stop) and not self.has_begun:
            self._begin(children, now)
        if self._signals > 1:
            self._interrupt_at = min(self._interrupt_at, now)
        if now >= self._interrupt_at and not self.board.is_interrupting:
            self._interrupt(children, now)
        if self.board.is_interrupting:
            self._enforce(children, now)

    def _begin(self, children: Collection[Child], now: float) -> None:
        self.has_begun = True
        self.board.begin_to_stop()
        self._interrupt_at = now + self.grace
        self._log_stop(children)
        for child in children:
            retire(child, self.board)

    def _log_stop(self, children: Collection[Child]) -> None:
        running = sum(
            entry.is_started for child in children for entry in self.board.lane(child.lane).taken()
        )
        if running:
            logger.info(
                "Stopping: waiting for %d running task%s (%g s at most; stop again for now).",
                running, "" if running == 1 else "s", self.grace,
            )  # fmt: skip
        else:
            logger.info("Stopping.")

    def _interrupt(self, children: Collection[Child], now: float) -> None:
        lanes = [self.board.lane(child.lane) for child in children]
        self.is_forced = any(lane.is_running_tasks for lane in lanes)
        self.board.interrupt()
        self._kill_at = now + INTERRUPTION_TIME

    def _enforce(self, children: Collection[Child], now: float) -> None:
        for child in children:
            if now >= self._kill_at and child.verdict == "lost":
                kill(child, "interrupted")
            else:
                send_signal(child, LOOK)
