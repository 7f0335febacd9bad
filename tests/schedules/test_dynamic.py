"""Schedules that a project's own code makes and changes: the manager, and save() itself."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from django_tasks.beat.tick import tick
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.schedules import clocked, crontab, every, solar
from django_tasks.store.schedules import dynamic, sync
from tests import tasks
from tests.conformance.steps import at_once
from tests.schedules.steps import DATABASE, ago, now, overdue, saved, slots_of

MINUTE = timedelta(minutes=1)


def scheduled(name="report", task=tasks.add, when=None, **options):
    return Schedule.objects.schedule(
        name, task, when or every(minutes=1), **{"args": [1, 2]} | options
    )


def stored(row):
    return Schedule.objects.get(pk=row.pk)


def errors_of(call, *args, **kwargs):
    """Return the messages of the ValidationError that a call raises, by column."""
    with pytest.raises(ValidationError) as caught:
        call(*args, **kwargs)
    return caught.value.message_dict


# --- the manager --------------------------------------------------------------------------------


def test_schedule_is_made_and_runs():
    """What is given becomes columns; a beat enqueues its first slot."""
    row = scheduled(when=every(seconds=30, anchor=ago(hours=1)), overlap="skip", jitter=0)

    assert (row.name, row.task_path, row.args) == ("report", "tests.tasks.add", "[1,2]")
    assert (row.every, row.overlap, row.owner) == (30.0, "SKIP", "ADMIN")
    assert now() < stored(row).next_run_at <= now() + timedelta(seconds=30)
    Schedule.objects.filter(pk=row.pk).update(next_run_at=row.next_run_at - MINUTE)
    tick(DATABASE)
    assert TaskRecord.objects.get().args == "[1,2]"


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        (every(hours=1), "INTERVAL"),
        (crontab("0 7 * * *", timezone="Europe/Berlin"), "CRONTAB"),
        (solar("sunset", 52.5, 13.4), "SOLAR"),
        (clocked(datetime.fromisoformat("2090-01-01T00:00+00:00")), "CLOCKED"),
    ],
)
def test_every_kind_can_be_made(when, kind):
    row = scheduled(when=when)

    assert row.kind == kind and row.next_run_at > now()


def test_same_name_changes_the_schedule():
    """Called again it is the same row; what is not given any more has its default again."""
    first = scheduled(priority=7, queue_name="reports")

    second = scheduled(when=crontab("@daily"), args=[3, 4])

    assert second.pk == first.pk and Schedule.objects.count() == 1
    assert (second.kind, second.every, second.anchor_at) == ("CRONTAB", None, None)
    assert (second.args, second.priority, second.queue_name) == ("[3,4]", None, "")


def test_same_values_write_nothing():
    """Called at each request: no row is changed, and the interval is counted as before."""
    before = scheduled()

    after = scheduled()

    assert (after.changed_at, after.anchor_at) == (before.changed_at, before.anchor_at)


def test_what_somebody_switched_off_stays_off():
    """Disabled or paused by a person; `enabled` that is given counts all the same."""
    row = scheduled()
    row.disable()
    row.pause(now() + timedelta(days=1))

    assert not scheduled(priority=1).enabled
    assert stored(row).paused_until is not None
    assert scheduled(enabled=True).enabled


def test_two_processes_make_one_schedule():
    """Both get the row."""
    rows = at_once(scheduled, scheduled, scheduled)

    assert len({row.pk for row in rows}) == 1 and Schedule.objects.count() == 1


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"args": [1]}, "args"),
        ({"args": "x"}, "args"),
        ({"args": [{1, 2}]}, "args"),
        ({"kwargs": {"c": 3}}, "kwargs"),
        ({"priority": 101}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"queue_name": "a b"}, "queue_name"),
        ({"backend": "nowhere"}, "backend"),
        ({"max_runs": 0}, "max_runs"),
        ({"jitter": -1}, "jitter"),
        ({"overlap": "sometimes"}, "overlap"),
        ({"start_at": datetime(2026, 1, 1)}, "start_at"),
        ({"overlaps": "skip"}, "overlaps"),
        ({"when": "0 7 * * *"}, "schedule"),
    ],
)
def test_wrong_values_are_refused_with_their_column(options, column):
    """As in the form: nothing is stored."""
    assert column in errors_of(scheduled, **options)
    assert not Schedule.objects.exists()


def test_schedule_of_the_code_is_not_taken_over():
    """A name that the code declares is refused; once it is withdrawn the name is free."""
    row = saved(name="report", owner="CODE", declared="{}")

    assert set(errors_of(scheduled)) == {"name"}

    Schedule.objects.filter(pk=row.pk).update(is_declared=False, next_run_at=None)
    again = scheduled()
    assert (again.pk, again.owner, again.declared) == (row.pk, "ADMIN", "")
    assert again.next_run_at is not None


# --- one schedule -------------------------------------------------------------------------------


def test_edit_changes_what_is_given():
    """The rest stays, with the moment that the interval is counted from."""
    row = scheduled(priority=7)
    anchor = row.anchor_at

    row.edit(schedule=every(minutes=2), args=[5, 6], name="other")

    assert (row.every, row.args, row.name, row.priority) == (120.0, "[5,6]", "other", 7)
    assert stored(row).next_run_at == row.next_run_at == anchor + 2 * MINUTE
    row.edit(task=tasks.echo, args=["x"])
    assert stored(row).task_path == "tests.tasks.echo"


def test_edit_refuses_what_is_wrong():
    row = scheduled()

    assert set(errors_of(row.edit, args=[1, 2, 3])) == {"args"}
    assert set(errors_of(row.edit, catch_up="often")) == {"catch_up"}
    assert stored(row).args == "[1,2]"


def test_edit_does_not_undo_what_others_changed():
    """Columns that are not given are taken from the row as it is now."""
    row, same = scheduled(), Schedule.objects.get()
    row.edit(priority=7)

    same.edit(description="why")

    assert (same.priority, stored(row).priority) == (7, 7)


def test_pause_and_resume():
    row = scheduled()

    row.pause(row.anchor_at + timedelta(hours=1))
    assert row.next_run_at == row.anchor_at + timedelta(hours=1) + MINUTE
    row.resume()
    assert row.paused_until is None and row.next_run_at == row.anchor_at + MINUTE


@pytest.mark.parametrize("until", [datetime(2090, 1, 1), datetime(2001, 1, 1, tzinfo=UTC)], ids=str)
def test_pause_needs_a_moment_ahead(until):
    row = scheduled()

    assert set(errors_of(row.pause, until)) == {"paused_until"}
    assert stored(row).paused_until is None


def test_disable_and_enable():
    row = overdue()

    row.disable()
    assert not row.enabled and row.next_run_at is None
    row.enable()
    assert row.enabled and row.next_run_at > now()


def test_broken_schedule_cannot_be_enabled():
    """enable() says why, instead of leaving it switched off without a word."""
    row = scheduled(enabled=False)
    Schedule.objects.filter(pk=row.pk).update(every=None)

    with pytest.raises(ValidationError, match="every"):
        row.enable()


def test_run_now():
    row = scheduled(enabled=False)

    result = row.run_now()

    row.refresh_from_db()
    assert result.args == [1, 2] and str(row.last_task_id) == result.id


def test_next_slots():
    row = scheduled()

    assert row.next_slots(2) == [row.anchor_at + MINUTE, row.anchor_at + 2 * MINUTE]


def test_delete_takes_runs_and_leaves_tasks():
    row = scheduled()
    row.run_now()

    assert row.delete() == (1, {"django_tasks.Schedule": 1})

    assert row.pk is None and not Schedule.objects.exists() and not ScheduleRun.objects.exists()
    assert TaskRecord.objects.count() == 1


# --- Django's own methods -----------------------------------------------------------------------


def test_create_plans_the_next_run():
    """A row that is made as Django makes rows runs."""
    row = Schedule.objects.create(
        name="plain", task_path="tests.tasks.add", args="[1, 2]", kind="INTERVAL", every=60.0
    )

    assert row.anchor_at is not None and row.next_run_at == row.anchor_at + MINUTE
    assert stored(row).next_run_at == row.next_run_at


def test_save_moves_the_next_run():
    row = scheduled()

    row.every = 3600.0
    row.save()

    assert stored(row).next_run_at == row.anchor_at + timedelta(hours=1)


def test_save_refuses_what_is_wrong():
    row = scheduled()

    row.args = "[1]"
    assert set(errors_of(row.save)) == {"args"}
    assert "kind" in errors_of(Schedule.objects.create, name="x", task_path="tests.tasks.add")


def test_update_fields_leave_the_other_columns():
    """As update_or_create() uses them."""
    row = scheduled()
    Schedule.objects.filter(pk=row.pk).update(description="theirs")

    row.every, row.description = 120.0, "mine"
    row.save(update_fields=["every"])

    assert (stored(row).every, stored(row).description) == (120.0, "theirs")
    assert stored(row).next_run_at == row.anchor_at + 2 * MINUTE
    with pytest.raises(ValueError, match="no columns evry"):
        row.save(update_fields=["evry"])


def test_update_or_create_makes_and_changes():
    defaults = {"task_path": "tests.tasks.add", "args": "[1, 2]", "kind": "INTERVAL"}

    for length in (60.0, 120.0):
        row, _ = Schedule.objects.update_or_create(
            name="plain", defaults=defaults | {"every": length}
        )

    assert Schedule.objects.get().next_run_at == row.anchor_at + 2 * MINUTE


def test_rows_in_bulk_are_refused():
    """They would never run."""
    with pytest.raises(TypeError, match="one by one"):
        Schedule.objects.bulk_create([Schedule(name="x")])


def test_rollback_takes_the_schedule_along():
    """A schedule is part of the caller's transaction, with the data that it is about."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        scheduled()
        raise ZeroDivisionError

    assert not Schedule.objects.exists()


def test_sync_leaves_it_alone():
    """It belongs to nobody's code: migrate and beats do not withdraw it."""
    row = scheduled()

    sync.sync(DATABASE)

    assert stored(row).next_run_at == row.next_run_at and slots_of(row) == []


def test_edits_know_only_options():
    """A wrong option names the one that was meant."""
    with pytest.raises(ValidationError, match="overlap"):
        dynamic.schedule("x", tasks.add, every(hours=1), {"overlaps": "skip"})
