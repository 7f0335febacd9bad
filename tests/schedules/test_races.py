"""People change schedules at the very moment at which beats decide on them."""

import threading
from datetime import timedelta

import pytest

from django_tasks.beat.tick import tick
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.store.schedules import due, edits
from tests.conformance.steps import at_once, persistently
from tests.schedules.steps import DATABASE, ago, now, overdue, slots_of

#: Schedules whose due second meets an edit; each is one race.
RACES = 100
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Let beats decide on a few schedules at a time, so that edits fall between them."""
    monkeypatch.setattr(due.lock_due, "__defaults__", (3,))


def race(change, rows):
    """Let two beats tick until nothing is due, while `change` is applied to each row."""
    is_over = threading.Event()

    def edit():
        try:
            for row in reversed(rows):
                persistently(change, row)
        finally:
            is_over.set()

    def beat():
        while True:
            was_over = is_over.is_set()
            next_in = persistently(tick, DATABASE)
            if was_over and (next_in is None or next_in > 0.06):
                return

    at_once(edit, beat, beat)


def make_rows(**columns):
    return [overdue(every=3600.0, **columns) for _ in range(RACES)]


def edited(**columns):
    """Return a change as a form makes it: read, set, save."""

    def change(row):
        fresh = Schedule.objects.get(pk=row.pk)
        for name, value in columns.items():
            setattr(fresh, name, value)
        edits.save(fresh, using=DATABASE)

    return change


def test_edited_arguments_make_one_task():
    """The slot runs once, with the old arguments or the new ones."""
    rows = make_rows()

    race(edited(args="[3, 4]"), rows)

    assert [len(slots_of(row)) for row in rows] == [1] * RACES
    found = set(TaskRecord.objects.values_list("args", flat=True))
    assert found <= {"[1,2]", "[3,4]"} and TaskRecord.objects.count() == RACES
    assert set(Schedule.objects.values_list("args", flat=True)) == {"[3, 4]"}
    assert all(row.next_run_at > now() for row in Schedule.objects.all())


def test_edited_timing_makes_the_old_slot_or_the_new_one():
    """Slots half a second later: the old slot or the new one is enqueued, never both or none."""
    rows = make_rows(late=3)
    old = {row.pk: row.next_run_at for row in rows}
    shift = timedelta(seconds=0.5)

    def change(row):
        edited(anchor_at=old[row.pk] + shift)(row)

    race(change, rows)

    for row in rows:
        assert slots_of(row) in ([old[row.pk]], [old[row.pk] + shift])
    stored = Schedule.objects.all()
    assert all(row.next_run_at == row.anchor_at + HOUR for row in stored)
    assert all(row.runs == 1 for row in stored)


def test_pause_comes_before_the_slot_or_after_it():
    """Paused first: no task. Decided first: one. Either way nothing until the pause is over."""
    rows = make_rows()
    until = ago(seconds=-86400)

    race(lambda row: edits.pause([row.pk], until, using=DATABASE), rows)

    counts = [len(slots_of(row)) for row in rows]
    assert set(counts) <= {0, 1} and TaskRecord.objects.count() == sum(counts)
    assert all(row.next_run_at > until for row in Schedule.objects.all())


def test_disabling_comes_before_the_slot_or_after_it():
    """Disabled first: no task, and none when it is enabled again."""
    rows = make_rows()

    race(lambda row: edits.set_enabled([row.pk], False, using=DATABASE), rows)

    counts = [len(slots_of(row)) for row in rows]
    assert set(counts) <= {0, 1}
    assert not Schedule.objects.filter(next_run_at__isnull=False).exists()
    edits.set_enabled([row.pk for row in rows], True, using=DATABASE)
    tick(DATABASE)
    assert [len(slots_of(row)) for row in rows] == counts


def test_deleted_schedule_leaves_a_task_or_none():
    """No run is left of a deleted schedule, and neither side fails."""
    rows = make_rows()

    race(lambda row: edits.delete([row.pk], using=DATABASE), rows)

    assert not Schedule.objects.exists() and not ScheduleRun.objects.exists()
    assert TaskRecord.objects.count() <= RACES


def test_run_by_hand_beside_the_slot():
    """Both make their task: the slot its one, the hand its one."""
    rows = make_rows()

    race(lambda row: edits.run_now(row.pk, using=DATABASE), rows)

    assert [len(slots_of(row)) for row in rows] == [1] * RACES
    assert [len(slots_of(row, "MANUAL")) for row in rows] == [1] * RACES
    assert TaskRecord.objects.count() == 2 * RACES
