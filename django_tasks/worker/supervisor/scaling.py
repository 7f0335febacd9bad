"""Scale a worker: how many processes, and slots each, as a request or --autoscale wants."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from ...runtime.clock import clock
from ..board import Board
from ..config import WorkerConfig
from .children import Child, retire

logger = logging.getLogger("django_tasks.supervisor")

#: Seconds after which a process counts as idle, and waiting tasks as too many.
SCALE_DOWN_AFTER, SCALE_UP_AFTER = 30.0, 1.0


class Scaling:
    """
    Decides how many processes there are to be.

    With --autoscale it wants more while no slot is free, and retires one that has long been idle;
    otherwise there are as many as somebody asked for.
    """

    def __init__(self, config: WorkerConfig, board: Board) -> None:
        self.config = config
        self.board = board
        self.fewest = config.autoscale_min
        #: How many processes there should be.
        self.wanted = config.processes if self.fewest is None else self.fewest
        #: Since when no process has had a free slot.
        self._full_since: float | None = None
        board.concurrency = config.concurrency

    def step(self, children: Collection[Child]) -> None:
        """Decide anew."""
        if self.fewest is None:
            self._apply_request(children)
        else:
            self._autoscale(children, self.fewest)

    # --- as somebody asked ------------------------------------------------------------------------

    def _apply_request(self, children: Collection[Child]) -> None:
        concurrency = self.board.wanted_concurrency
        if concurrency and concurrency != self.board.concurrency:
            logger.info("Slots: %d instead of %d.", concurrency, self.board.concurrency)
            self.board.concurrency = concurrency
            self.wanted = min(concurrency, self._most_processes)
        active = [child for child in children if not child.is_retiring]
        if len(active) > self.wanted:
            # The last ones go: those that run nothing, as others would first end what they run.
            active.sort(key=lambda child: not self.board.lane(child.lane).is_running_tasks)
            for child in active[self.wanted :]:
                retire(child, self.board)
        self.share_slots(active[: self.wanted])

    @property
    def _most_processes(self) -> int:
        config = self.config
        return config.most_processes if config.pool == "prefork" else config.processes

    def share_slots(self, active: Collection[Child]) -> None:
        """Give each process its part of the slots; the first ones get what is left over."""
        if self.fewest is not None:
            return
        each, left_over = divmod(self.board.concurrency, self.wanted)
        for place, child in enumerate(sorted(active, key=lambda child: child.number)):
            self.board.slots[child.lane] = each + (place < left_over)

    # --- by itself --------------------------------------------------------------------------------

    def _autoscale(self, children: Collection[Child], fewest: int) -> None:
        now, moment = time.monotonic(), clock()
        active = [child for child in children if not child.is_retiring]
        idle = [child for child in active if self.idle_for(child, moment) > SCALE_DOWN_AFTER]
        if idle and len(active) > fewest:
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

    def idle_for(self, child: Child, now: float) -> float:
        """Return for how many seconds the process has found nothing and run nothing."""
        if self.board.lane(child.lane).is_running_tasks:
            return 0.0
        idle_since = self.board.idle_since[child.lane]
        return now - idle_since if idle_since else 0.0
