"""How many processes a worker has, with --autoscale."""

from __future__ import annotations

import time
from collections.abc import Collection

from .board import Board, clock
from .children import Child, retire
from .config import WorkerConfig

#: Seconds after which a process counts as idle, and waiting tasks as too many.
SCALE_DOWN_AFTER, SCALE_UP_AFTER = 30.0, 1.0


class Scaling:
    """Wants more processes while no slot is free, and retires one that has long been idle."""

    def __init__(self, config: WorkerConfig, board: Board) -> None:
        self.config = config
        self.board = board
        self.fewest = config.autoscale_min
        #: How many processes there should be.
        self.wanted = config.processes if self.fewest is None else self.fewest
        #: Since when no process has had a free slot.
        self._full_since: float | None = None

    def step(self, children: Collection[Child]) -> None:
        """Decide anew."""
        if self.fewest is None:
            return
        now, moment = time.monotonic(), clock()
        active = [child for child in children if not child.is_retiring]
        idle = [child for child in active if self._idle_for(child, moment) > SCALE_DOWN_AFTER]
        if idle and len(active) > self.fewest:
            self.wanted = len(active) - 1
            retire(idle[0], self.board)
        elif self._are_full_for_long(active, now):
            self._full_since = now
            self.wanted = min(len(active) + 1, self.config.processes)

    def _are_full_for_long(self, active: Collection[Child], now: float) -> bool:
        """Tell whether all have as many tasks as slots, and had for SCALE_UP_AFTER."""
        lanes = [self.board.lane(child.lane) for child in active]
        if not lanes or any(lane.held < self.config.slots for lane in lanes):
            self._full_since = None
            return False
        if self._full_since is None:
            self._full_since = now
        return now - self._full_since > SCALE_UP_AFTER

    def _idle_for(self, child: Child, now: float) -> float:
        """Return for how many seconds the process has found nothing and run nothing."""
        if self.board.lane(child.lane).is_running_tasks:
            return 0.0
        starved_at = self.board.starved_at[child.lane]
        return now - starved_at if starved_at else 0.0
