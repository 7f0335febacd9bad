"""Saving, enabling, pausing, deleting and running schedules by hand."""

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.signals import task_enqueued
from django_tasks.store.schedules import edits
from tests import tasks
from tests.schedules.steps import DATABASE, ago, new, now, outcomes, overdue, saved

MINUTE = timedelta(minutes=1)


def fields_of(row):
    """Return the columns that save() refuses."""
    with pytest.raises(ValidationError) as caught:
        edits.save(row, using=DATABASE)
    return set(caught.value.error_dict)


# --- save ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["max_runs", "catch_up_limit"])
def test_counts_begin_with_1(column):
    """0 would be a schedule that does nothing, and says so nowhere."""
    assert fields_of(new(**{column: 0})) == {column}


def test_unknown_zone_is_refused_for_intervals_too():
    """Times of an interval are shown in its zone."""
    assert fields_of(new(timezone="Mars/Olympus")) == {"timezone"}


def test_name_taken_after_the_check_is_the_same_error(monkeypatch):
    """Two forms with one name at the same time: the loser hears of the name, not of the index."""
    taken = saved()
    check, calls = edits._check_name, []

    def check_once_too_early(row, using):
        calls.append(row.name)
        if len(calls) > 1:
            check(row, using)

    monkeypatch.setattr(edits, "_check_name", check_once_too_early)

    assert fields_of(new(name=taken.name)) == {"name"}
    assert Schedule.objects.count() == 1


def test_new_interval_counts_from_its_creation():
    """The first slot of a new interval is one interval ahead, on a whole second."""
    row = saved(every=60)

    assert row.anchor_at.microsecond == 0
    assert row.next_run_at == row.anchor_at + MINUTE
    assert row.next_run_at > now()


def test_new_schedule_has_no_slots_of_the_past():
    """An anchor long ago makes no slot due at once; a moment that passed never comes."""
    assert saved(every=60, anchor_at=ago(days=3)).next_run_at > now()
    assert saved(kind="CLOCKED", clocked_at=ago(days=3)).next_run_at is None


def test_edit_keeps_the_base_of_the_interval():
    """Saving other columns moves neither the anchor nor the next run."""
    row = saved(every=3600)
    before = row.anchor_at, row.next_run_at

    row.args, row.anchor_at = "[3, 4]", None
    edits.save(row, using=DATABASE)

    assert (row.anchor_at, row.next_run_at) == before
    assert json.loads(Schedule.objects.get(pk=row.pk).args) == [3, 4]


def test_stale_form_does_not_undo_what_beats_wrote():
    """Columns that beats write are kept from the row, not from the form."""
    row = saved()
    Schedule.objects.filter(pk=row.pk).update(runs=7, last_slot_at=ago(seconds=5))

    row.description = "changed in a form that was opened before"
    edits.save(row, using=DATABASE)

    stored = Schedule.objects.get(pk=row.pk)
    assert stored.runs == 7 and stored.last_slot_at is not None
    assert stored.description.startswith("changed")


def test_due_slot_survives_an_edit_of_other_columns():
    """A slot that no beat has decided on stays due."""
    row = overdue()

    row.args = "[3, 4]"
    edits.save(row, using=DATABASE)

    assert row.next_run_at == row.anchor_at


def test_due_slot_becomes_the_first_slot_of_new_timing():
    """An edit of the timing at the due second: the new slots count from the old one on."""
    row = overdue(every=60)

    row.every = 7.0
    edits.save(row, using=DATABASE)

    assert row.next_run_at == row.anchor_at


def test_decided_slot_does_not_come_back_with_new_timing():
    """After the beat was there, new timing has slots of the future only."""
    row = saved(every=60, anchor_at=ago(seconds=1))
    Schedule.objects.filter(pk=row.pk).update(last_slot_at=row.anchor_at)

    row.every = 0.5
    edits.save(row, using=DATABASE)

    assert row.next_run_at > now() - timedelta(seconds=0.5)
    assert row.next_run_at > row.anchor_at


def test_deleted_row_is_not_saved_again():
    """A form of a schedule that somebody deleted meanwhile does not bring it back."""
    row = saved()
    edits.delete([row.pk], using=DATABASE)
    row.pk = row.pk or 1

    with pytest.raises(Schedule.DoesNotExist):
        edits.save(row, using=DATABASE)


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"kind": "CRONTAB", "crontab": "61 * * * *"}, "crontab"),
        ({"every": 0}, "every"),
        ({"kind": "WEEKLY"}, "kind"),
        ({"name": ""}, "name"),
        ({"task_path": "tests.tasks.ad"}, "task_path"),
        ({"args": "[1]"}, "args"),
        ({"args": "1"}, "args"),
        ({"args": "[1"}, "args"),
        ({"kwargs": '{"c": 3}'}, "kwargs"),
        ({"kwargs": "[]"}, "kwargs"),
        ({"backend": "nowhere"}, "backend"),
        ({"queue_name": "a b"}, "queue_name"),
        ({"priority": 101}, "priority"),
        ({"jitter": -1}, "jitter"),
        ({"expires": float("nan")}, "expires"),
        ({"expires": 0}, "expires"),
        ({"catch_up_deadline": 0}, "catch_up_deadline"),
        ({"overlap": "SOMETIMES"}, "overlap"),
    ],
)
def test_wrong_columns_are_named(columns, field):
    """Nothing wrong is stored, and the error names the column."""
    assert field in fields_of(new(**columns))
    assert not Schedule.objects.exists()


def test_all_mistakes_are_named_at_once():
    """One save names every wrong column."""
    assert fields_of(new(name="", args="x", every=-1)) >= {"name", "args", "every"}


def test_names_are_unique():
    """A second schedule of a name is refused with the column named."""
    saved(name="nightly")

    assert fields_of(new(name="nightly")) == {"name"}


def test_end_before_start_is_refused():
    """A schedule that ends before it starts is refused."""
    assert fields_of(new(start_at=now(), end_at=ago(hours=1))) == {"end_at"}


# --- enable, pause, delete ----------------------------------------------------------------------


def test_enabling_fires_no_slot_of_the_past():
    """Disabled: never looked at. Enabled again: from the next slot on."""
    row = overdue()

    assert edits.set_enabled([row.pk], False, using=DATABASE) == 1
    assert Schedule.objects.get(pk=row.pk).next_run_at is None
    assert edits.set_enabled([row.pk], True, using=DATABASE) == 1

    stored = Schedule.objects.get(pk=row.pk)
    assert stored.enabled and stored.next_run_at > now()


def test_enabling_counts_what_changed():
    """Rows that were enabled already, and rows that are gone, are not counted."""
    row, other = saved(), saved(enabled=False)

    assert other.next_run_at is None
    assert edits.set_enabled([row.pk, other.pk, 10**9], True, using=DATABASE) == 1


def test_broken_row_stays_disabled():
    """A row that says no time cannot be enabled; it says why."""
    row = saved(enabled=False)
    Schedule.objects.filter(pk=row.pk).update(every=None)

    assert edits.set_enabled([row.pk], True, using=DATABASE) == 0

    stored = Schedule.objects.get(pk=row.pk)
    assert not stored.enabled and stored.next_run_at is None and "every" in stored.error


def test_pause_moves_the_next_run_behind_it():
    """No slot until then, and the first one after it is the next."""
    row = saved(every=60)
    until = row.anchor_at + timedelta(hours=1)

    assert edits.pause([row.pk], until, using=DATABASE) == 1
    assert Schedule.objects.get(pk=row.pk).next_run_at == until + MINUTE

    assert edits.pause([row.pk], None, using=DATABASE) == 1
    assert Schedule.objects.get(pk=row.pk).next_run_at == row.next_run_at


def test_delete_takes_runs_and_leaves_tasks():
    """The history goes with the schedule; tasks that it made stay."""
    row = saved()
    edits.run_now(row.pk, using=DATABASE)

    assert edits.delete([row.pk], using=DATABASE) == 1

    assert not ScheduleRun.objects.exists() and TaskRecord.objects.count() == 1


# --- run by hand --------------------------------------------------------------------------------


def test_run_now_enqueues_once_and_moves_no_slot():
    """The task is stored with a MANUAL run, whether or not the schedule is enabled."""
    row = saved(enabled=False, queue_name="reports", priority=5)

    first = edits.run_now(row.pk, using=DATABASE)
    second = edits.run_now(row.pk, using=DATABASE)

    assert first.args == [1, 2] and first.task.queue_name == "reports" and first.task.priority == 5
    assert tasks.add.get_result(first.id).record_status == "READY"
    assert outcomes(row) == [("MANUAL", 0), ("MANUAL", 0)]
    stored = Schedule.objects.get(pk=row.pk)
    assert str(stored.last_task_id) == second.id
    assert stored.runs == 0 and stored.last_slot_at is None and stored.next_run_at is None


def test_run_now_sends_the_signal():
    """task_enqueued is sent as for every other task."""
    heard = []
    row = saved()

    def receive(sender, task_result, **kwargs):
        heard.append(task_result.id)

    task_enqueued.connect(receive)
    try:
        result = edits.run_now(row.pk, using=DATABASE)
    finally:
        task_enqueued.disconnect(receive)

    assert heard == [result.id]


def test_run_now_refuses_what_cannot_run():
    """Wrong arguments are named; nothing is stored."""
    row = saved()
    Schedule.objects.filter(pk=row.pk).update(args="[]")

    with pytest.raises(ValidationError) as caught:
        edits.run_now(row.pk, using=DATABASE)

    assert set(caught.value.error_dict) == {"args"}
    assert not TaskRecord.objects.exists()


# --- previews -----------------------------------------------------------------------------------


def test_preview_of_an_unsaved_row():
    """The next slots of a row that was never saved, counted from the moment given."""
    moment = ago(seconds=0)

    slots = edits.next_slots(new(every=60), 3, after=moment)

    assert slots == [moment + MINUTE * n for n in (1, 2, 3)]


def test_preview_obeys_the_limits():
    """Start, end, pause and the runs left bound the preview; enabled does not."""
    moment = ago(seconds=0)
    row = new(every=60, anchor_at=moment, start_at=moment + MINUTE * 2, max_runs=5, runs=1)
    row.enabled, row.end_at = False, moment + MINUTE * 4

    assert edits.next_slots(row, 9, after=moment) == [moment + MINUTE * n for n in (2, 3, 4)]
    row.paused_until = moment + MINUTE * 2
    assert edits.next_slots(row, 9, after=moment) == [moment + MINUTE * n for n in (3, 4)]
    row.end_at = None
    assert len(edits.next_slots(row, 9, after=moment)) == 4


def test_check_call_names_the_column():
    """Arguments that do not fit are found without saving."""
    edits.check_call(new())

    with pytest.raises(ValidationError) as caught:
        edits.check_call(new(args="[1, 2, 3]"))
    assert set(caught.value.error_dict) == {"args"}
