"""Schedules in fixtures: dumpdata and loaddata, on every database."""

import json
from datetime import datetime, timedelta

import pytest
from django.core import serializers
from django.core.management import call_command

from django_tasks.beat.tick import tick
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from django_tasks.store.schedules import edits
from tests.schedules.steps import DATABASE, ago, now, outcomes, overdue, saved, slots_of

NATURAL = {"use_natural_primary_keys": True, "use_natural_foreign_keys": True}
#: All that a person has to write.
SHORT = {"name": "by hand", "task_path": "tests.tasks.add", "args": "[1, 2]"}


@pytest.fixture
def dump(tmp_path):
    """Return a function that writes what is stored to a file."""

    def dump(*models, **options):
        path = tmp_path / "dump.json"
        options = {"output": str(path), "natural_primary": True, **options}
        call_command("dumpdata", *models, verbosity=0, **options)
        return path

    return dump


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a file, or rows with these fields."""

    def load(*given):
        path = given[0]
        if isinstance(path, dict):
            rows = [{"model": "django_tasks.schedule", "fields": fields} for fields in given]
            path = tmp_path / "given.json"
            path.write_text(json.dumps(rows))
        call_command("loaddata", str(path), verbosity=0)

    return load


def columns(row):
    """Return a stored row's columns, but for those that tell of this database."""
    stored = Schedule.objects.filter(name=row.name).values().get()
    return {
        # Django's JSON knows milliseconds.
        name: value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
        for name, value in stored.items()
        if name not in ("id", "changed_at")
    }


def delete_all():
    edits.delete(Schedule.objects.values_list("pk", flat=True), using=DATABASE)


def test_round_trip_by_names(dump, load):
    """Into a database in which other ids are taken; runs find their schedule by its name."""
    kept = saved(kind="CRONTAB", crontab="0 7 * * mon-fri", timezone="Europe/Berlin", every=None)
    row = overdue(queue_name="mail", jitter=2.5, overlap="SKIP")
    tick(DATABASE)
    before = [columns(row), columns(kept)]
    fixture = dump("django_tasks", natural_foreign=True)
    rows = json.loads(fixture.read_text())
    assert not any("pk" in row for row in rows if row["model"] == "django_tasks.schedule")
    delete_all()
    other = saved(name="another one")

    load(fixture)

    assert [columns(row), columns(kept)] == before
    assert Schedule.objects.get(name=other.name).pk == other.pk
    assert outcomes(Schedule.objects.get(name=row.name)) == [("ENQUEUED", 0)]


@pytest.mark.parametrize("catch_up", ["NONE", "LATEST", "ALL"])
def test_old_fixture_fires_nothing_of_the_past(dump, load, catch_up):
    """Whenever it was made: its slots begin when it is loaded."""
    row = overdue(late=3 * 86400, catch_up=catch_up)
    fixture = dump("django_tasks.schedule")
    delete_all()

    load(fixture)
    tick(DATABASE)

    loaded = Schedule.objects.get(name=row.name)
    assert loaded.next_run_at > now() and loaded.waiting_slot_at is None
    assert not TaskRecord.objects.exists() and not ScheduleRun.objects.exists()


def test_fixture_over_a_stored_schedule_is_an_edit(dump, load):
    """What beats wrote stays: no slot comes back, none that is due is lost."""
    row = saved()
    fixture = dump("django_tasks.schedule")
    slot = ago(seconds=1)
    Schedule.objects.filter(pk=row.pk).update(
        anchor_at=slot, next_run_at=slot, description="changed since", runs=7
    )
    Schedule.objects.filter(pk=row.pk).update(last_slot_at=slot - timedelta(minutes=1))

    load(fixture)

    after = Schedule.objects.get(name=row.name)
    assert (after.pk, after.description, after.runs) == (row.pk, "", 7)
    assert after.last_slot_at == slot - timedelta(minutes=1)
    assert after.next_run_at <= slot + timedelta(minutes=1)


def test_short_fixture_is_planned(load):
    """Written by a person: columns that nobody writes are filled in."""
    load(SHORT | {"kind": "INTERVAL", "every": 60.0})

    row = Schedule.objects.get()
    assert timedelta(0) < row.next_run_at - now() <= timedelta(minutes=1)
    assert row.anchor_at is not None and row.created_at is not None


def test_bad_row_of_a_fixture_is_loaded_disabled(load):
    """With the reason, and the others are loaded."""
    good = SHORT | {"name": "good", "kind": "INTERVAL", "every": 60.0}
    load(SHORT | {"kind": "CRONTAB", "crontab": "61 * * * *"}, good)

    bad = Schedule.objects.get(name="by hand")
    assert (bad.enabled, bad.next_run_at) == (False, None) and "minute" in bad.error
    assert Schedule.objects.get(name="good").next_run_at is not None


def test_loaded_schedule_runs(load):
    """A beat enqueues its slots."""
    load(SHORT | {"kind": "INTERVAL", "every": 60.0})
    row = Schedule.objects.get()
    slot = ago(seconds=1)
    Schedule.objects.filter(pk=row.pk).update(anchor_at=slot, next_run_at=slot)

    tick(DATABASE)

    assert slots_of(row) == [slot]


def test_rows_are_loaded_outside_of_a_transaction():
    """By code that uses Django's serializers itself."""
    text = serializers.serialize("json", [saved()], **NATURAL)
    delete_all()

    [loaded] = serializers.deserialize("json", text)
    loaded.save()

    assert Schedule.objects.get().next_run_at > now()
