"""Read control requests to a worker, and apply them through the board."""

from __future__ import annotations

import logging

from ...runtime.printing import printable
from ...store.workers import requests
from ..board import Board
from ..config import WorkerConfig

logger = logging.getLogger("django_tasks.keeper")


class RequestReader:
    """Reads the control requests to one worker, and applies them."""

    def __init__(self, config: WorkerConfig, board: Board) -> None:
        self.config = config
        self.board = board
        #: The queues that are paused; None: not known yet. The keeper before may have known others.
        self._paused: frozenset[str] | None = None

    @property
    def applied_pauses(self) -> frozenset[str] | None:
        """The paused queues, once all processes leave them out; None before."""
        return self._paused if self.board.are_pauses_applied else None

    def serves(self, queue_name: str) -> bool:
        """Tell whether the worker runs tasks of this queue now."""
        return self.config.queues.matches(queue_name) and queue_name not in (self._paused or ())

    @property
    def excludes_queues(self) -> bool:
        """Whether queues are paused, or it is not known which."""
        return self._paused != frozenset()

    def look(self) -> bool:
        """Pass on what is asked; return whether other queues are paused than before."""
        asked = requests.read(self.config.database, self.config.backend, self.config.worker_id)
        if asked.is_to_stop and not self.board.is_asked_to_stop:
            logger.info("Asked to stop%s.", _by(asked.stop_by))
            self.board.ask_to_stop()
        if asked.concurrency and asked.concurrency != self.board.wanted_concurrency:
            logger.info("Asked for %d slots%s.", asked.concurrency, _by(asked.concurrency_by))
            self.board.wanted_concurrency = asked.concurrency
        if asked.paused == self._paused:
            return False
        if asked.paused or self._paused:
            logger.info("Paused queues: %s.", printable(", ".join(sorted(asked.paused))) or "none")
        self._paused = asked.paused
        self.board.note_pauses()
        return True


def _by(name: str) -> str:
    return f" by {printable(name)}" if name else ""
