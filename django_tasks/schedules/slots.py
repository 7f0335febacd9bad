"""The slots of a span of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .specs import Interval, Spec

#: How far back to look first for the newest slots.
FIRST_WINDOW = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)


def newest_slots(
    spec: Spec, after: datetime, until: datetime, limit: int | None
) -> tuple[list[datetime], int]:
    """
    Return the newest `limit` slots after `after` and up to `until`, ascending; None: all of them.

    And how many older ones there are. What it costs depends on the slots that are returned, not on
    the length of the span: after days without a beat, few of them are wanted.
    """
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    if isinstance(spec, Interval):
        return _newest_multiples(spec, after, until, limit)
    if limit is None:
        return _slots_between(spec, after, until), 0
    newest = _newest(spec, after, until, limit)
    return newest, spec.count_between(after, newest[0] - INSTANT if newest else until)


def _newest(spec: Spec, after: datetime, until: datetime, limit: int) -> list[datetime]:
    window = FIRST_WINDOW
    while True:
        start = max(after, until - window)
        slots = _slots_between(spec, start, until)
        if start == after or len(slots) >= limit:
            return slots[max(len(slots) - limit, 0) :]
        window *= 4


def _slots_between(spec: Spec, after: datetime, until: datetime) -> list[datetime]:
    slots = []
    slot = spec.next_after(after)
    while slot is not None and slot <= until:
        slots.append(slot)
        slot = spec.next_after(slot)
    return slots


def _newest_multiples(
    spec: Interval, after: datetime, until: datetime, limit: int | None
) -> tuple[list[datetime], int]:
    count = spec.count_between(after, until)
    kept = count if limit is None else min(count, limit)
    anchor = spec.start(after)
    last = (until - anchor) // spec.step
    slots = [anchor + number * spec.step for number in range(last - kept + 1, last + 1)]
    return slots, count - kept
