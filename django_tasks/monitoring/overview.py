"""All that the overview shows, in eleven queries and one per further backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..definitions.protocols import StoringBackend
from ..models import RollupMark, Schedule
from ..store.dialects import DatabaseNow
from ..store.tasks import unknown
from . import health, workers
from .health import Verdict
from .history import Period, Slot, read_history
from .queues import QueueFigures, read_queues, read_running
from .reading import database_now
from .workers import WorkerFigures

#: Scheduled runs that are listed.
NEXT_RUNS = 10

#: Scheduled tasks that are looked at for those that no worker knows, which pause for an hour at
#: most.
SCHEDULED_LOOKED_AT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewData:
    """How things stood at one moment."""

    #: By the database's clock.
    now: datetime
    #: Up to when finished tasks are counted. None: no worker has counted yet.
    counted_until: datetime | None
    verdict: Verdict
    queues: Sequence[QueueFigures]
    workers: Sequence[WorkerFigures]
    beats: Sequence[WorkerFigures]
    #: The schedules that are due next.
    schedules: Sequence[Schedule]
    history: Sequence[Slot]
    #: How many tasks wait of each path that a worker did not know, among the CAP that are due next.
    unknown: Mapping[str, int]


def read_overview(
    database: str, backends: Sequence[StoringBackend], period: Period
) -> OverviewData:
    """Look at `backends`, whose tasks are in `database`; the history is that of `period`."""
    now, counted_until = clock(database)
    rows = workers.read_rows(database)
    running = read_running(database, {row.pk for row in rows if workers.is_live(row, now)})
    queues = read_queues(database, backends, running, now)
    schedules = _next_schedules(database)
    own = workers.figures([row for row in rows if not workers.is_beat(row)], running, now)
    beats = workers.figures([row for row in rows if workers.is_beat(row)], running, now)
    return OverviewData(
        now=now,
        counted_until=counted_until,
        verdict=health.judge(
            queues,
            own,
            has_beat=any(workers.is_live(beat.row, now) for beat in beats),
            next_run_at=schedules[0].next_run_at if schedules else None,
            now=now,
        ),
        queues=queues,
        workers=own,
        beats=beats,
        schedules=schedules,
        history=read_history(database, period, now),
        unknown=Counter(unknown.paths_among_next(database, SCHEDULED_LOOKED_AT)),
    )


def clock(database: str) -> tuple[datetime, datetime | None]:
    """Return the database's time, and up to when the rollups are complete."""
    marks: Any = RollupMark.objects.using(database).annotate(now=DatabaseNow())
    for mark in marks[:1]:
        return mark.now, mark.counted_until
    return database_now(database), None


def _next_schedules(database: str) -> list[Schedule]:
    planned = Schedule.objects.using(database).filter(next_run_at__isnull=False)
    return list(
        planned.only("name", "task_path", "next_run_at").order_by("next_run_at")[:NEXT_RUNS]
    )
