"""Exclude paused queues from a process' claims, as its keeper says on the board."""

from __future__ import annotations

from ...store.tasks.claims import Claimer
from ...store.workers import queues
from ..board import Lane
from ..config import WorkerConfig


class Pauses:
    """
    Reads which queues are paused when the board says that they are others than before.

    So an idle process asks nothing: its keeper does, for all of them.
    """

    def __init__(self, config: WorkerConfig, lane: Lane) -> None:
        self.config = config
        self.lane = lane
        self._applied = 0

    @property
    def are_known(self) -> bool:
        """Whether they were read: until then nothing may be claimed."""
        return bool(self._applied)

    @property
    def have_changed(self) -> bool:
        """Whether they are to be read."""
        return self._applied != self.lane.board.pauses

    def apply(self, claimer: Claimer) -> None:
        """Have `claimer` leave out what is paused now."""
        number = self.lane.board.pauses  # before the look: what changes after it has another one
        claimer.exclude(queues.paused_names(self.config.database, self.config.backend))
        self._applied = number
        self.lane.note_applied(number)
