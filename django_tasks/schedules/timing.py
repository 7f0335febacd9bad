"""
From the times that clocks show to instants: what a crontab does when clocks change.

One for set times (neither the minute nor the hour begins with `*`) is due once for each time that
it names on each day, as a person means it: skipped times at the first instant after the gap,
repeated ones the first time. Any other is due at every real instant that matches, as is one that
means "every hour". This is the rule of Debian's cron.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from .cron import CYCLE, Expression
from .zones import DAY, changes_between, first_instant

INSTANT = timedelta(microseconds=1)


def next_fixed(expression: Expression, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the first slot after `moment` of a crontab for set times."""
    local: datetime | None = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    while local is not None:
        local = expression.next_after(local)
        if local is not None:
            slot = first_instant(local, zone)
            if slot > moment:  # not so for times that clocks show a second time, or have skipped
                return slot
    return None


def next_wildcard(expression: Expression, moment: datetime, zone: tzinfo) -> datetime | None:
    """Return the first instant after `moment` at which the clocks of `zone` show a match."""
    last_year = moment.year + CYCLE
    shown = moment.astimezone(zone)
    offset = shown.utcoffset() or timedelta()
    local = shown.replace(tzinfo=None, fold=0)
    # From one change of the clocks to the next, between which their offset is the same.
    while moment.year <= last_year:
        match = expression.next_after(local)
        if match is None:
            return None
        slot = (match - offset).replace(tzinfo=UTC)
        change = next(changes_between(zone, moment, slot), None)
        if change is None:
            return slot
        moment, offset = change.moment, change.after
        local = moment.replace(tzinfo=None) + offset - INSTANT
    return None


def count_fixed(expression: Expression, after: datetime, until: datetime, zone: tzinfo) -> int:
    """Count the slots after `after` and up to `until` of a crontab for set times."""
    count = expression.count_between(_latest_shown(after, zone), _latest_shown(until, zone))
    for change in changes_between(zone, after, until):
        moment = change.moment.replace(tzinfo=None)
        if change.after > change.before:
            # The times of a gap are one slot, together with the time that clocks go on with.
            merged = expression.count_between(
                moment + change.before - INSTANT, moment + change.after
            )
            count -= max(merged - 1, 0)
    return count


def _latest_shown(moment: datetime, zone: tzinfo) -> datetime:
    """Return the latest time that clocks have shown up to `moment`, also if they were put back."""
    latest = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    for change in changes_between(zone, moment - 2 * DAY, moment):
        latest = max(latest, change.moment.replace(tzinfo=None) + change.before - INSTANT)
    return latest


def count_wildcard(expression: Expression, after: datetime, until: datetime, zone: tzinfo) -> int:
    """Count the instants after `after` and up to `until` at which clocks show a match."""
    count = 0
    start = after.astimezone(zone).replace(tzinfo=None, fold=0)
    for change in changes_between(zone, after, until):
        moment = change.moment.replace(tzinfo=None)
        count += expression.count_between(start, moment + change.before - INSTANT)
        start = moment + change.after - INSTANT
    return count + expression.count_between(
        start, until.astimezone(zone).replace(tzinfo=None, fold=0)
    )
