"""Read the history: what finished, its waits and run times, from the rollups of keepers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, Sum

from ..models import Rollup
from ..models.rollups import Span
from ..store.rollups import histograms
from ..store.rollups.counting import SETTLED_AFTER

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """How far back a history goes: `count` slots, each of `rollups` rollups of one length."""

    name: str
    span: Span
    rollups: int
    count: int

    @property
    def slot(self) -> timedelta:
        """How long a slot is."""
        return timedelta(seconds=self.span * self.rollups)


PERIODS = {
    period.name: period
    for period in (
        Period(name="hour", span=Span.MINUTE, rollups=1, count=60),
        Period(name="day", span=Span.HOUR, rollups=1, count=24),
        Period(name="week", span=Span.HOUR, rollups=6, count=28),
    )
}


@dataclass(slots=True)
class Slot:
    """What finished in a part of the period, in all queues."""

    starts_at: datetime
    successful: int = 0
    failed: int = 0
    cancelled: int = 0
    wait_times: Counter[int] = field(default_factory=Counter)
    run_times: Counter[int] = field(default_factory=Counter)

    def wait(self, share: float) -> float | None:
        """Return the seconds that `share` (0 to 1) of them waited at most; None of nothing."""
        return histograms.percentile(self.wait_times, share)

    def run(self, share: float) -> float | None:
        """Return the seconds that `share` (0 to 1) of them ran at most; None of nothing."""
        return histograms.percentile(self.run_times, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one queue did lately."""

    #: In 24 hours.
    failed: int
    #: Successful and failed tasks per minute, in one hour.
    throughput: float


def read_history(database: str, period: Period, now: datetime) -> Sequence[Slot]:
    """
    Return the period's slots, the oldest first.

    The last minute is one that is over; the last slot of hours is the running one.
    """
    end = _settled_minute(now)
    if period.span == Span.HOUR:
        end = _hour(now) + _HOUR
    begin = end - period.count * period.slot
    slots = [Slot(begin + n * period.slot) for n in range(period.count)]
    rows: Any = Rollup.objects.using(database).filter(
        span=period.span, starts_at__gte=begin, starts_at__lt=end
    )
    columns = ("starts_at", "successful", "failed", "cancelled", "wait_times", "run_times")
    for starts_at, *counts, wait_times, run_times in rows.order_by().values_list(*columns):
        slot = slots[(starts_at - begin) // period.slot]
        slot.successful += counts[0]
        slot.failed += counts[1]
        slot.cancelled += counts[2]
        slot.wait_times.update(histograms.loads(wait_times))
        slot.run_times.update(histograms.loads(run_times))
    return slots


def read_rates(database: str, now: datetime) -> dict[tuple[str, str], Rates]:
    """Return by (backend, queue) what finished in the last hour, and failed in 24 hours."""
    end = _settled_minute(now)
    in_hour = Q(span=Span.MINUTE, starts_at__gte=end - _HOUR, starts_at__lt=end)
    # Whole hours, and minutes up to the first of those.
    whole = _hour(end - _DAY) + _HOUR
    in_day = Q(span=Span.HOUR, starts_at__gte=whole) | Q(
        span=Span.MINUTE, starts_at__gte=end - _DAY, starts_at__lt=whole
    )
    rows = (
        Rollup.objects.using(database)
        .filter(in_hour | in_day)
        .order_by()
        .values_list("backend", "queue_name")
        .annotate(
            failures=Sum("failed", filter=in_day, default=0),
            finished=Sum(F("successful") + F("failed"), filter=in_hour, default=0),
        )
    )
    return {
        (backend, name): Rates(failed=int(failed), throughput=int(finished) / 60)
        for backend, name, failed, finished in rows
    }


def _settled_minute(now: datetime) -> datetime:
    """Return the end of the last minute that can have been counted."""
    return (now - SETTLED_AFTER).replace(second=0, microsecond=0)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
