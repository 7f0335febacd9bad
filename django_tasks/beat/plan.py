"""Decide which slots of a due schedule to enqueue, from its columns alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from ..models.schedules import CatchUp, Overlap, RunOutcome, Schedule
from ..schedules import Spec, newest_slots
from ..schedules.planning import TICK, first_undecided, next_slot, planned_slot

#: Seconds that a slot may be late under catch-up NONE.
ON_TIME = 60.0
#: Seconds until a slot that waits for the earlier task is looked at again.
WAIT = timedelta(seconds=1)
#: Slots of one schedule that one decision enqueues; the rest follow in the next.
MOST_SLOTS = 500


class Excluded(NamedTuple):
    """Slots that make no task: the newest of them, and how many others."""

    outcome: RunOutcome
    slot: datetime
    besides: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a schedule now."""

    next_run_at: datetime | None
    #: To enqueue, the oldest first.
    slots: Sequence[datetime] = ()
    excluded: Sequence[Excluded] = ()
    #: Whether to cancel the earlier tasks first.
    cancels: bool = False
    waiting_slot_at: datetime | None = None

    @property
    def last_slot_at(self) -> datetime | None:
        """The latest slot decided on, None when there is none."""
        return max((*self.slots, *(left.slot for left in self.excluded)), default=None)


@dataclass(frozen=True, slots=True)
class _Due:
    """Slots that are due: those to enqueue, the oldest first, and those that come too late."""

    slots: Sequence[datetime]
    missed: Excluded | None = None


def decide(row: Schedule, spec: Spec, now: datetime, *, is_unfinished: bool) -> Decision:
    """
    Decide on the slots of `row` that are due at `now`.

    `is_unfinished`: whether an earlier task of it, by a slot or by hand, has not finished. Without
    a due slot (the columns were changed by hand) only the next run is set right.
    """
    undecided = first_undecided(row)
    first = None if undecided is None else next_slot(row, spec, undecided - TICK)
    if first is None or first > now:
        return Decision(next_run_at=first)
    if is_unfinished and row.overlap == Overlap.QUEUE_ONE:
        return Decision(next_run_at=now + WAIT, waiting_slot_at=first)
    due = _due(row, spec, first, now)
    decision = _OVERLAPS[Overlap(row.overlap)](due, now, is_unfinished)
    return _with_next(row, spec, decision)


# --- catch-up -----------------------------------------------------------------------------------


def _due(row: Schedule, spec: Spec, first: datetime, now: datetime) -> _Due:
    # With an error, it was code that knows its task that the slot waited for, not a task.
    has_waited = (
        row.overlap == Overlap.QUEUE_ONE and row.waiting_slot_at is not None and not row.error
    )
    lateness = None if has_waited else _greatest_lateness(row)
    in_time = first if lateness is None else max(first, now - timedelta(seconds=lateness))
    second = planned_slot(row, spec, first, runs=row.runs + 1)
    if first >= in_time and (second is None or second > now):
        return _Due([first])  # as nearly always
    until = now if row.end_at is None else min(now, row.end_at)
    limit = 1 if has_waited or row.catch_up == CatchUp.LATEST else row.catch_up_limit
    if row.catch_up == CatchUp.NONE and not has_waited:
        limit = None
    due = _newest(spec, in_time - TICK, until, limit)
    due = _with_too_late(due, spec, first - TICK, min(in_time - TICK, until))
    runs_left = None if row.max_runs is None else row.max_runs - row.runs
    return replace(due, slots=due.slots[:runs_left])


def _greatest_lateness(row: Schedule) -> float | None:
    return ON_TIME if row.catch_up == CatchUp.NONE else row.catch_up_deadline


def _newest(spec: Spec, after: datetime, until: datetime, limit: int | None) -> _Due:
    """Return the newest `limit` slots; without a limit the first ones, others follow later."""
    if limit is None:
        return _Due(list(islice(_slots(spec, after, until), MOST_SLOTS)))
    slots, older = newest_slots(spec, after, until, limit + 1)
    if len(slots) <= limit:
        return _Due(slots[:MOST_SLOTS])
    missed = Excluded(RunOutcome.MISSED, slots[0], older or 0)
    return _Due(slots[1 : MOST_SLOTS + 1], missed)


def _slots(spec: Spec, after: datetime, until: datetime) -> Iterator[datetime]:
    slot = spec.next_after(after)
    while slot is not None and slot <= until:
        yield slot
        slot = spec.next_after(slot)


def _with_too_late(due: _Due, spec: Spec, after: datetime, until: datetime) -> _Due:
    """Add the slots that are later than allowed to those left out."""
    if until <= after:
        return due
    slots, older = newest_slots(spec, after, until, 1)
    if not slots:
        return due
    if due.missed is None:
        return replace(due, missed=Excluded(RunOutcome.MISSED, slots[0], older or 0))
    besides = due.missed.besides + 1 + (older or 0)
    return replace(due, missed=due.missed._replace(besides=besides))


# --- overlap ------------------------------------------------------------------------------------
# Several slots at once are treated as if each had been looked at when it was due, and the task of
# each were still unfinished at the next.


def _allow(due: _Due, now: datetime, is_unfinished: bool) -> Decision:
    return Decision(next_run_at=None, slots=due.slots, excluded=_missed(due))


def _skip(due: _Due, now: datetime, is_unfinished: bool) -> Decision:
    count = 0 if is_unfinished else 1
    enqueued, skipped = due.slots[:count], due.slots[count:]
    excluded = _missed(due)
    if skipped:
        excluded = [*excluded, Excluded(RunOutcome.SKIPPED, skipped[-1], len(skipped) - 1)]
    return Decision(next_run_at=None, slots=enqueued, excluded=excluded)


def _queue_one(due: _Due, now: datetime, is_unfinished: bool) -> Decision:
    waits = due.slots[1:2]
    return Decision(
        next_run_at=now + WAIT if waits else None,
        waiting_slot_at=waits[0] if waits else None,
        slots=due.slots[:1],
        excluded=_missed(due),
    )


def _cancel_previous(due: _Due, now: datetime, is_unfinished: bool) -> Decision:
    if not due.slots:
        return _allow(due, now, is_unfinished)
    *older, newest = due.slots
    missed = due.missed
    if older:
        besides = len(older) - 1 + (0 if missed is None else missed.besides + 1)
        missed = Excluded(RunOutcome.MISSED, older[-1], besides)
    return Decision(
        next_run_at=None,
        slots=[newest],
        excluded=_missed(replace(due, missed=missed)),
        cancels=is_unfinished,
    )


def _missed(due: _Due) -> list[Excluded]:
    return [] if due.missed is None else [due.missed]


_OVERLAPS = {
    Overlap.ALLOW: _allow,
    Overlap.SKIP: _skip,
    Overlap.QUEUE_ONE: _queue_one,
    Overlap.CANCEL_PREVIOUS: _cancel_previous,
}


def _with_next(row: Schedule, spec: Spec, decision: Decision) -> Decision:
    """Add the first slot after those decided on, unless one of them waits."""
    last = decision.last_slot_at
    if decision.waiting_slot_at is not None or last is None:
        return decision
    runs = row.runs + len(decision.slots)
    return replace(decision, next_run_at=planned_slot(row, spec, last, runs=runs))
