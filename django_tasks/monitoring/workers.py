"""Read figures of workers: state, slots, running tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..models import WorkerRecord
from ..store.workers.leases import BEAT
from .queues import RunningTasks
from .reading import worker_state

#: Workers that are read.
MOST_WORKERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """One worker. `state` is that of `inspection.worker_state`."""

    row: WorkerRecord
    state: str
    #: The tasks that it runs, by path.
    tasks: Counter[str]

    @property
    def used(self) -> int:
        """The slots in use."""
        return self.tasks.total()


def read_rows(database: str) -> list[WorkerRecord]:
    """Return the rows of workers and beats, in one query."""
    return list(WorkerRecord.objects.using(database)[:MOST_WORKERS])


def is_beat(row: WorkerRecord) -> bool:
    """Tell whether it enqueues the tasks of schedules, and runs none."""
    return row.pool == BEAT


def is_live(row: WorkerRecord, now: datetime) -> bool:
    """Tell whether its lease is good: its tasks are its own."""
    return row.expires_at > now


def figures(
    rows: Sequence[WorkerRecord], running: RunningTasks, now: datetime
) -> list[WorkerFigures]:
    """Return the figures of `rows`, with what each runs."""
    return [
        WorkerFigures(
            row=row, state=worker_state(row, now), tasks=running.by_worker.get(row.pk, Counter())
        )
        for row in rows
    ]
