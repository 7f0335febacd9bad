"""
Count finished tasks, once each, into their minute and hour.

A mark says how far the counting came. One transaction moves it on, over a slice of a minute, and
adds what finished in that slice, also to what ever finished; who does not get the mark counts
nothing. So any number of keepers may count at the same time, and one that is killed leaves nothing
half done.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, F, FloatField, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Floor, Greatest, Least, Ln
from django.utils.timezone import is_aware

from ...models import Rollup, RollupMark, TaskRecord
from ...models.rollups import EVER, Span
from ...statuses import Status
from ..dialects import DatabaseNow, SecondsBetween
from ..locking import lock_available, next_in_order
from ..retrying import repeated
from ..tasks import finished
from . import histograms
from .histograms import GROWTH, LONGEST, SHORTEST

#: Tasks of one slice, by each index: its transaction takes some ten milliseconds.
SLICE = 5000
#: How long after its end a minute is counted: by then who finished a task in it has committed.
SETTLED_AFTER = timedelta(seconds=10)
#: Every task that finished longer ago than this is counted, or never will be.
COUNTED_AFTER = timedelta(minutes=2)
#: How long rollups are kept.
KEPT = {Span.MINUTE: timedelta(days=2), Span.HOUR: timedelta(days=60)}
#: After an outage the counting begins this long ago.
CATCH_UP = KEPT[Span.MINUTE]
#: Rollups that are deleted at a time, once a minute.
PRUNED = 1000

_MARK = 1
_MINUTE = timedelta(minutes=1)
_COUNTED: Mapping[str, str] = {
    Status.SUCCESSFUL: "successful",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}

Queue = tuple[str, str]


@dataclass(slots=True)
class Tally:
    """What finished in a queue."""

    counts: Counter[str] = field(default_factory=Counter)
    wait_times: Counter[int] = field(default_factory=Counter)
    run_times: Counter[int] = field(default_factory=Counter)


def count_next(database: str) -> float:
    """Count the next slice. Return the seconds after which there is more: 0.0 for at once."""
    mark = _mark(database)
    now = _utc(mark.now)
    end = _floor(now - SETTLED_AFTER, Span.MINUTE)
    start = max(_utc(mark.counted_until), end - CATCH_UP)
    if start >= end:
        return (end + _MINUTE + SETTLED_AFTER - now).total_seconds()
    with next_in_order(database):
        slice_ = _slice(database, start, end)
    if not repeated(database, partial(_count, database, mark.counted_until, *slice_)):
        return 1.0  # somebody else is at it
    if slice_[1] < end:
        return 0.0
    prune(database, now)
    return (end + _MINUTE + SETTLED_AFTER - now).total_seconds()


def uncounted(database: str, since: datetime, most: int) -> list[tuple[str, str]]:
    """Return (queue, status) of tasks that finished since, not counted: `most` of them."""
    marks = RollupMark.objects.using(database).filter(pk=_MARK)
    counted_until = marks.values_list("counted_until", flat=True).first()
    start = max(since, counted_until) if counted_until else since
    found: list[Any] = []
    with next_in_order(database):
        for rows in finished.by_end(database):
            ended = rows.filter(finished_at__gte=start).order_by("finished_at")
            found += ended.values_list("finished_at", "queue_name", "status")[:most]
    return [(queue_name, status) for _, queue_name, status in sorted(found)[:most]]


def prune(database: str, now: datetime) -> None:
    """Delete old rollups, up to PRUNED."""
    rollups = Rollup.objects.using(database)
    is_old = Q(pk__in=[])  # none
    for span, age in KEPT.items():
        is_old |= Q(span=span, starts_at__lt=now - age)
    ids = list(rollups.filter(is_old).order_by().values_list("pk", flat=True)[:PRUNED])
    if ids:
        rollups.filter(pk__in=ids).delete()


def _mark(database: str) -> Any:
    """Return the mark with the database's time as `now`. The first one that asks makes it."""
    rows = RollupMark.objects.using(database)
    mark = rows.filter(pk=_MARK).annotate(now=DatabaseNow()).first()
    if mark is None:
        # By this process, not the database: SQLite compares texts, and of a moment that it makes in
        # a whole second that is another one than Django's, so the mark could never be moved.
        long_ago = datetime(2000, 1, 1, tzinfo=UTC if settings.USE_TZ else None)
        rows.get_or_create(pk=_MARK, defaults={"counted_until": long_ago})
        return rows.annotate(now=DatabaseNow()).get(pk=_MARK)
    return mark


def _slice(database: str, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return where to begin and to stop counting: one minute, and about SLICE tasks at most."""
    first = _nth_finish(database, start, end, 0)
    if first is None:
        return end, end
    minute_end = _floor(first, Span.MINUTE) + _MINUTE
    stop = _nth_finish(database, first, minute_end, SLICE)
    if stop == first:  # that many in one moment: they stay together
        stop = _nth_finish(database, first + timedelta(microseconds=1), minute_end, 0)
    return first, stop or minute_end


def _nth_finish(database: str, start: datetime, end: datetime, n: int) -> datetime | None:
    """Return the end of the task number `n` of one of the indexes: the earliest of these."""
    found: list[Any] = []
    for rows in _finished(database, start, end):
        moments = rows.order_by("finished_at").values_list("finished_at", flat=True)
        found += moments[n : n + 1]
    return min(map(_utc, found), default=None)


def _count(database: str, was: datetime, start: datetime, stop: datetime) -> bool:
    """Move the mark from `was` to `stop`, and count what it moved over, if it is still there."""
    with transaction.atomic(using=database):
        mark = RollupMark.objects.using(database).filter(pk=_MARK, counted_until=was)
        if not list(lock_available(database, mark)) or not mark.update(counted_until=stop):
            return False
        if start == stop:  # nothing has finished
            return True
        tallies = _tallies(_finished(database, start, stop))
        for span in (*Span, EVER):
            _add(database, span, _floor(start, span), tallies)
        return True


def _tallies(ended: Iterable[QuerySet[TaskRecord]]) -> dict[Queue, Tally]:
    tallies: dict[Queue, Tally] = defaultdict(Tally)
    for backend, queue_name, status, wait, run, number, retries in chain(*map(_groups, ended)):
        tally = tallies[backend, queue_name]
        tally.counts[_COUNTED[status]] += number
        tally.counts["retries"] += retries
        if wait is not None:
            tally.wait_times[int(wait)] += number
        if run is not None:
            tally.run_times[int(run)] += number
    return tallies


def _groups(ended: QuerySet[TaskRecord]) -> Iterable[Any]:
    return (
        ended.order_by()
        .annotate(
            wait=_bucket(_WAIT, Q(last_attempted_at__isnull=False) & ~_RAN_BEFORE),
            run=_bucket(F("run_time"), Q(run_time__isnull=False)),
        )
        .values_list("backend", "queue_name", "status", "wait", "run")
        .annotate(number=Count("pk"), retries=Sum(Greatest(F("attempts") - 1, 0)))
    )


def _add(database: str, span: int, starts_at: datetime, tallies: Mapping[Queue, Tally]) -> None:
    """Add to the rows of a minute, an hour or EVER. The mark's lock keeps others away from them."""
    rollups = Rollup.objects.using(database)
    rows = {
        (row.backend, row.queue_name): row for row in rollups.filter(span=span, starts_at=starts_at)
    }
    new = {
        queue: Rollup(span=span, starts_at=starts_at, backend=queue[0], queue_name=queue[1])
        for queue in tallies.keys() - rows.keys()
    }
    for queue, tally in tallies.items():
        _add_to((rows | new)[queue], tally)
    rollups.bulk_create(new.values())
    rollups.bulk_update([rows[queue] for queue in tallies if queue in rows], _ADDED)


_ADDED = (*_COUNTED.values(), "retries", "wait_times", "run_times")


def _add_to(row: Rollup, tally: Tally) -> None:
    for name, number in tally.counts.items():
        setattr(row, name, getattr(row, name) + number)
    row.wait_times = histograms.dumps(histograms.loads(row.wait_times) + tally.wait_times)
    row.run_times = histograms.dumps(histograms.loads(row.run_times) + tally.run_times)


def _finished(database: str, start: datetime, end: datetime) -> list[QuerySet[TaskRecord]]:
    rows = finished.by_end(database)
    return [each.filter(finished_at__gte=start, finished_at__lt=end) for each in rows]


#: Seconds from when it could have run to its start.
_WAIT = SecondsBetween(
    Greatest("enqueued_at", Coalesce("run_after", "enqueued_at")), "last_attempted_at"
)
#: Other runs, and the waits for their ends, lie in between.
_RAN_BEFORE = Q(attempts__gt=1) | Q(lost__gt=0)


def _bucket(seconds: Any, is_known: Q) -> Case:
    """Return an expression for the bucket of `histograms`; NULL unless `is_known`."""
    # Between a bit less than the shortest, which is bucket 0, and what is no number.
    bounded = Least(Greatest(seconds, Value(SHORTEST * 0.99)), Value(LONGEST))
    number = Floor(Ln(bounded / Value(SHORTEST)) / Value(math.log(GROWTH))) + Value(1.0)
    return Case(When(is_known, then=number), output_field=FloatField())


def _floor(moment: datetime, span: int) -> datetime:
    """Return the beginning of the minute or hour; of EVER a moment that stays the same."""
    minute = moment.replace(second=0, microsecond=0)
    if span == EVER:
        return minute.replace(year=2000, month=1, day=1, hour=0, minute=0)
    return minute.replace(minute=0) if span == Span.HOUR else minute


def _utc(moment: datetime) -> datetime:
    """Return the moment in UTC; without time zones (USE_TZ = False) as it is."""
    return moment.astimezone(UTC) if is_aware(moment) else moment
