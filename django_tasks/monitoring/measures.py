"""
What an exporter of metrics tells of one database: a constant number of queries, bounded in rows.

Figures of now come from the questions that the overview asks, and counts from the totals that the
keepers add up, so they are right however many processes and workers there are, and only grow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..brokers import configured as brokers
from ..brokers.base import BrokerAway
from ..definitions.protocols import StoringBackend
from ..models import Rollup, Schedule
from ..models.rollups import EVER
from ..store.dialects import DatabaseNow
from ..store.rollups import histograms
from . import health, workers
from .overview import clock
from .queues import Queue, QueueFigures, read_queues, read_running
from .reading import capped_count
from .workers import WorkerFigures

#: Queues of which anything is told: those with the first names, by the order of the database.
MOST_QUEUES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What finished in one queue since keepers began to count."""

    #: By status, in small letters.
    finished: Mapping[str, int]
    retries: int
    #: Histograms, see `store.rollups.histograms`.
    wait_times: Counter[int]
    run_times: Counter[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """How things stood at one moment, and what happened until then."""

    #: By the database's clock.
    now: datetime
    #: Up to when `totals` are complete. None: no worker has counted yet.
    counted_until: datetime | None
    queues: Sequence[QueueFigures]
    #: Seconds for which the longest running task of a queue runs.
    running_for: Mapping[Queue, float]
    #: Queues with tasks that nobody will run as things are.
    unserved: Sequence[Queue]
    totals: Mapping[Queue, Total]
    #: Queues beyond MOST_QUEUES, of which nothing is told.
    left_out: int
    workers: Sequence[WorkerFigures]
    beats: Sequence[WorkerFigures]
    #: Schedules that have a next run, and those of them whose time has come. Capped.
    schedules: int
    overdue: int
    #: Seconds for which the first of these is overdue; 0.0 when none is.
    lateness: float


def measure(database: str, backends: Sequence[StoringBackend]) -> Measures:
    """Measure `backends`, whose tasks are in `database`; what is of others is left out."""
    now, counted_until = clock(database)
    aliases = {backend.alias for backend in backends}
    rows = [row for row in workers.read_rows(database) if row.backend in aliases]
    running = read_running(database, {row.pk for row in rows if workers.is_live(row, now)})
    found = read_queues(database, backends, running, now, with_rates=False)
    queues = [queue for queue in found if queue.backend in aliases]
    own = workers.figures([row for row in rows if not workers.is_beat(row)], running, now)
    beats = workers.figures([row for row in rows if workers.is_beat(row)], running, now)
    verdict = health.judge(queues, own, has_beat=True, next_run_at=None, now=now)
    planned = Schedule.objects.using(database).filter(next_run_at__isnull=False)
    overdue = planned.filter(next_run_at__lte=DatabaseNow())
    first = overdue.order_by("next_run_at").values_list("next_run_at", flat=True).first()
    return Measures(
        now=now,
        counted_until=counted_until,
        queues=queues[:MOST_QUEUES],
        running_for={queue: _seconds(since, now) for queue, since in running.since.items()},
        unserved=verdict.unserved,
        totals=_totals(database, aliases),
        left_out=max(0, len(queues) - MOST_QUEUES),
        workers=own,
        beats=beats,
        schedules=capped_count(planned),
        overdue=capped_count(overdue),
        lateness=0.0 if first is None else _seconds(first, now),
    )


def _totals(database: str, aliases: set[str]) -> dict[Queue, Total]:
    rows: Any = Rollup.objects.using(database).filter(span=EVER, backend__in=aliases)
    # In the order of the index: any other would sort all rollups, or walk the primary key.
    rows = rows.order_by("span", "starts_at", "backend", "queue_name")[:MOST_QUEUES]
    return {
        (row.backend, row.queue_name): Total(
            finished={
                "successful": row.successful,
                "failed": row.failed,
                "cancelled": row.cancelled,
            },
            retries=row.retries,
            wait_times=histograms.loads(row.wait_times),
            run_times=histograms.loads(row.run_times),
        )
        for row in rows
    }


def _seconds(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())


def is_broker_up(alias: str) -> bool | None:
    """
    Ask the broker of a backend whether it answers and takes tasks in; None: it has none.

    While it is away, it is asked no more often than everything else in this process asks it.
    """
    broker = brokers.broker_for(alias)
    if not broker.publishes:
        return None
    if not broker.outage.grants_try():
        return False
    try:
        broker.pulse()
    except BrokerAway as error:
        broker.outage.began(error)
        return False
    broker.outage.over()
    return True
