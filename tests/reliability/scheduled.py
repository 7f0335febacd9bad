"""Schedules for beats to serve, and what became of their slots."""

from collections import Counter
from datetime import timedelta
from statistics import quantiles

from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.store.schedules import edits
from django_tasks.store.tasks.enqueue import database_clock
from tests.reliability.harness import ALIAS, wait_until


def now():
    return database_clock(ALIAS)


def rows():
    return Schedule.objects.using(ALIAS)


def runs():
    return ScheduleRun.objects.using(ALIAS)


def save(name, **columns):
    """Save an interval that enqueues `work` and leaves no slot out."""
    values = {
        "task_path": "tests.reliability.tasks.work",
        "args": f'["{name}"]',
        "kind": "INTERVAL",
        "catch_up": "ALL",
    }
    row = Schedule(name=name, **values | columns)
    edits.save(row, using=ALIAS)
    return row


def save_many(count, seconds, first_in=0.0):
    """
    Save intervals of 1 to 5 s that end `seconds` from now; return them as they began.

    `first_in`: seconds without slots, for idle beats to notice what there is to come.
    """
    limits = {"start_at": now() + timedelta(seconds=first_in)}
    limits["end_at"] = now() + timedelta(seconds=seconds)
    return [save(f"s{n}", every=float(1 + n % 5), **limits) for n in range(count)]


def expected_slots(row):
    """Return the slots from the first on: whole multiples away from the anchor."""
    slots, slot = [], row.next_run_at
    assert (slot - row.anchor_at) % timedelta(seconds=row.every) == timedelta(0)
    while slot <= row.end_at:
        slots.append(slot)
        slot += timedelta(seconds=row.every)
    return slots


def wait_until_over(seconds):
    """Wait until no schedule has a slot to come."""
    wait_until(lambda: not rows().filter(next_run_at__isnull=False).exists(), "all end", seconds)


def assert_each_slot_once(began):
    """Each slot has one run and one task; none is missing, double, left out or invented."""
    expected = Counter((row.pk, slot) for row in began for slot in expected_slots(row))
    enqueued = runs().filter(outcome="ENQUEUED")
    found = Counter(enqueued.values_list("schedule_id", "slot_at"))
    assert expected and found == expected, {
        "missing": len(expected - found), "not expected": len(found - expected)
    }  # fmt: skip
    assert runs().count() == len(expected)
    ids = list(enqueued.values_list("task_id", flat=True))
    tasks = set(TaskRecord.objects.using(ALIAS).values_list("pk", flat=True))
    assert len(ids) == len(set(ids)) == len(tasks) and set(ids) == tasks
    assert sum(rows().values_list("runs", flat=True)) == len(expected)
    return len(expected)


def lateness():
    """Return p50, p95, p99 and the most of the seconds from slots to their tasks."""
    late = sorted((r.created_at - r.slot_at).total_seconds() for r in runs().iterator())
    percent = quantiles(late, n=100)
    return {
        "p50": round(percent[49], 3), "p95": round(percent[94], 3), "p99": round(percent[98], 3),
        "max": round(late[-1], 3),
    }  # fmt: skip
