"""Outcomes of tasks whose rows somebody else has locked: set aside, and tried again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from uuid import UUID

from ..execution.jobs import Job, Outcome

logger = logging.getLogger("django_tasks.worker")

#: Seconds between two tries.
PAUSE = 0.2


class SetAside:
    """Holds outcomes while everything else goes on."""

    def __init__(self) -> None:
        self._held: list[tuple[Job, Outcome]] = []
        #: What was tried again last.
        self._known: set[UUID] = set()
        #: When to try again, by time.monotonic(). None: nothing is held.
        self.retry_at: float | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[tuple[Job, Outcome]]:
        return iter(self._held)

    def is_due(self, now: float) -> bool:
        """Tell whether what is held is to be tried again."""
        return self.retry_at is not None and now >= self.retry_at

    def add(self, outcomes: Iterable[tuple[Job, Outcome]]) -> None:
        """Set outcomes aside; the log says it once of each task."""
        for job, outcome in outcomes:
            self._held.append((job, outcome))
            if job.claim.id not in self._known:
                task_id = str(job.claim.id)
                logger.info(
                    "The row of task %s is locked by another transaction; what became of the task"
                    " is written when that ends.",
                    task_id,
                    extra={"task_id": task_id},
                )
        # Others that follow do not put off those that wait.
        if self._held and self.retry_at is None:
            self.retry_at = time.monotonic() + PAUSE

    def take(self) -> list[tuple[Job, Outcome]]:
        """Return what is to be tried again, if it is time; it is held no longer."""
        if not self.is_due(time.monotonic()):
            return []
        held, self._held, self.retry_at = self._held, [], None
        self._known = {job.claim.id for job, _ in held}
        return held
