"""Rows follow the code until somebody changes them; many processes may synchronise at once."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.test import override_settings

from django_tasks import task
from django_tasks.definitions import declared_schedules
from django_tasks.models import Schedule
from django_tasks.models.schedules import Owner
from django_tasks.schedules import clocked, crontab, every, solar
from django_tasks.store.schedules import edits
from django_tasks.store.schedules.sync import reset_to_code, sync
from django_tasks.store.tasks.enqueue import database_clock
from tests.conformance.steps import DATABASE, at_once

LONG = timedelta(days=300)


def declare(**entries):
    """Return settings that declare these schedules, each of the task `echo` unless it says."""
    full = {name: {"task": "tests.tasks.echo"} | entry for name, entry in entries.items()}
    return override_settings(DJANGO_TASKS={"SCHEDULES": full})


def synced(**entries):
    with declare(**entries):
        return sync(DATABASE)


def row(name="mine"):
    return Schedule.objects.get(name=name)


def edit(name="mine", **columns):
    """Change a schedule as the admin does."""
    found = row(name)
    for column, value in columns.items():
        setattr(found, column, value)
    edits.save(found, using=DATABASE)


HOURLY = {"schedule": every(hours=1)}
DAILY = {"schedule": crontab("0 7 * * *", timezone="Europe/Berlin")}


def test_a_declaration_becomes_a_row_of_the_code():
    found = synced(mine=DAILY | {"args": [1], "overlap": "skip"})

    assert str(found) == "1 created"
    mine = row()
    assert (mine.owner, mine.is_declared, mine.enabled) == (Owner.CODE, True, True)
    assert (mine.task_path, mine.args, mine.overlap) == ("tests.tasks.echo", "[1]", "SKIP")
    assert mine.next_run_at > database_clock(DATABASE)


@pytest.mark.parametrize(
    "schedule",
    [
        every(minutes=5),
        crontab("@daily"),
        crontab(minute=[30, 0], day_of_week="monday", day_of_month="1-7"),
        solar("sunset", 52.52, 13.4, timezone="Europe/Berlin"),
        clocked(datetime(2199, 1, 1, tzinfo=UTC)),
    ],
    ids=["every", "word", "crontab", "solar", "clocked"],
)
def test_a_new_row_is_in_line_with_the_code(schedule, django_assert_num_queries):
    """Storing changes nothing that looks like drift, and a second sync costs one query."""
    synced(mine={"schedule": schedule, "jitter": 0.1, "kwargs": {"a": 0.1, "ü": None}})

    assert declared_schedules.drift_of(row()) == {}
    with django_assert_num_queries(1):
        again = synced(mine={"schedule": schedule, "jitter": 0.1, "kwargs": {"a": 0.1, "ü": None}})
    assert not again
    assert str(again) == "no change"


def test_a_row_follows_the_code():
    synced(mine=HOURLY | {"priority": 5})
    before = row()

    found = synced(mine={"schedule": every(hours=2)})

    assert found.updated == ["mine"]
    assert (row().every, row().priority) == (7200.0, None)
    assert row().anchor_at == before.anchor_at
    assert declared_schedules.drift_of(row()) == {}


def test_a_row_follows_the_code_to_another_kind():
    synced(mine=HOURLY)

    synced(mine=DAILY)
    assert (row().kind, row().crontab, row().anchor_at) == ("CRONTAB", "0 7 * * *", None)
    synced(mine=HOURLY)
    assert (row().kind, row().crontab) == ("INTERVAL", "")
    assert row().next_run_at is not None


def test_an_edited_row_is_kept_and_the_difference_is_known():
    synced(mine=HOURLY)
    edit(every=60.0, queue_name="mail")

    found = synced(mine={"schedule": every(hours=2)})

    assert found.kept == ["mine"]
    assert (row().every, row().queue_name) == (60.0, "mail")
    assert declared_schedules.drift_of(row()) == {
        "every": (60.0, 7200.0),
        "queue_name": ("mail", ""),
    }


def test_a_row_edited_to_what_the_code_says_later_follows_again():
    synced(mine=HOURLY)
    edit(every=7200.0)
    synced(mine={"schedule": every(hours=2)})

    synced(mine={"schedule": every(hours=3)})

    assert row().every == 10800.0


def test_switching_off_does_not_detach_from_the_code():
    """`enabled` is the operator's: the rest still follows."""
    synced(mine=HOURLY)
    edits.set_enabled([row().pk], False, using=DATABASE)

    synced(mine={"schedule": every(hours=2)})

    assert (row().every, row().enabled, row().next_run_at) == (7200.0, False, None)
    assert declared_schedules.drift_of(row()) == {"enabled": (False, True)}


def test_code_can_switch_off_and_on():
    synced(mine=HOURLY)
    synced(mine=HOURLY | {"enabled": False})
    assert (row().enabled, row().next_run_at) == (False, None)

    synced(mine=HOURLY)
    assert row().enabled
    assert row().next_run_at > database_clock(DATABASE)


def test_pausing_is_no_drift():
    synced(mine=HOURLY)
    edits.pause([row().pk], database_clock(DATABASE) + LONG, using=DATABASE)

    assert synced(mine={"schedule": every(hours=2)}).updated == ["mine"]
    assert row().paused_until is not None


def test_reset_to_code():
    synced(mine=HOURLY, other=HOURLY)
    edit(every=60.0, queue_name="mail", enabled=False)
    synced(mine={"schedule": every(hours=2)}, other=HOURLY)

    changed = reset_to_code([row().pk, row("other").pk], using=DATABASE)

    assert changed == 1
    assert (row().every, row().queue_name, row().enabled) == (7200.0, "", True)
    assert declared_schedules.drift_of(row()) == {}
    assert synced(mine={"schedule": every(hours=3)}, other=HOURLY).updated == ["mine"]


def test_reset_leaves_what_the_code_does_not_declare():
    own = Schedule(name="own", task_path="tests.tasks.echo", kind="INTERVAL", every=60.0)
    edits.save(own, using=DATABASE)
    synced(mine=HOURLY)
    edit(every=60.0)
    synced()

    assert reset_to_code([own.pk, row().pk], using=DATABASE) == 0
    assert row().every == 60.0


def test_removed_from_the_code_it_stops_and_comes_back_as_it_was():
    synced(mine=HOURLY, other=DAILY)
    edit(queue_name="mail")

    found = synced(other=DAILY)

    assert found.withdrawn == ["mine"]
    assert (row().is_declared, row().next_run_at, row().enabled) == (False, None, True)
    assert not synced(other=DAILY)

    synced(mine=HOURLY, other=DAILY)
    assert row().is_declared
    assert row().queue_name == "mail"
    assert row().next_run_at > database_clock(DATABASE)


def test_another_spelling_of_the_name_is_not_lost():
    """MySQL takes the two for one name; elsewhere the old row stops and a new one is made."""
    synced(mine=HOURLY)

    synced(MINE=HOURLY)

    [running] = Schedule.objects.filter(is_declared=True)
    assert running.name == "MINE"
    assert not synced(MINE=HOURLY)


def test_deleted_from_the_table_it_is_made_again():
    synced(mine=HOURLY)
    edits.delete([row().pk], using=DATABASE)

    assert synced(mine=HOURLY).created == ["mine"]


def test_an_admins_row_of_the_same_name_becomes_the_codes_and_is_kept():
    own = Schedule(name="mine", task_path="tests.tasks.echo", kind="INTERVAL", every=60.0)
    edits.save(own, using=DATABASE)

    assert synced(mine=HOURLY).kept == ["mine"]

    assert (row().owner, row().every) == (Owner.CODE, 60.0)
    assert declared_schedules.drift_of(row()) == {"every": (60.0, 3600.0)}


def test_a_wrong_declaration_leaves_its_row_alone(caplog):
    """A mistake in one place neither stops that schedule nor the others."""
    synced(mine=HOURLY, other=HOURLY)
    before = row().next_run_at

    with caplog.at_level(logging.ERROR, "django_tasks.schedules"):
        found = synced(mine=HOURLY | {"overlap": "maybe"}, other={"schedule": every(hours=2)})

    assert (found.updated, found.withdrawn) == (["other"], [])
    assert (row().is_declared, row().next_run_at) == (True, before)
    assert "'mine'" in caplog.text and "one of 'allow'" in caplog.text


def test_a_task_that_is_not_known_here_leaves_its_row_alone(caplog):
    """Code of another version may run beside this one while a project is deployed."""
    synced(mine=HOURLY)

    found = synced(mine=HOURLY | {"task": "tests.tasks.of_tomorrow"})

    assert not found
    assert row().next_run_at is not None
    assert "no task is registered as 'tests.tasks.of_tomorrow'" in caplog.text


def test_a_row_that_a_beat_switched_off_is_switched_on_by_repaired_code():
    synced(mine=HOURLY)
    Schedule.objects.update(enabled=False, error="args: too few", next_run_at=None)

    assert synced(mine=HOURLY).updated == ["mine"]

    assert (row().enabled, row().error) == (True, "")
    assert row().next_run_at is not None


def test_schedules_of_other_backends_are_left_to_theirs(caplog):
    """A backend that stores no tasks has no schedules; nothing fails for it in tests."""
    backends = {
        "default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": []},
        "now": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend", "QUEUES": []},
    }
    with override_settings(TASKS=backends):
        found = synced(mine=HOURLY | {"backend": "now"}, other=HOURLY)

    assert found.created == ["other"]


def test_two_processes_at_once_both_succeed():
    """Each schedule is created once, whoever comes first, and nobody fails."""
    for number in range(10):
        entries = {f"{number}-{each}": HOURLY for each in range(5)}
        with declare(**entries):
            found = at_once(*[lambda: sync(DATABASE)] * 3)

        created = [name for each in found for name in each.created]
        assert sorted(created) == sorted(entries)
        assert Schedule.objects.filter(name__in=entries).count() == 5


def test_two_processes_at_once_bring_one_row_up_to_date():
    synced(mine=HOURLY)
    for hours in range(2, 12):
        with declare(mine={"schedule": every(hours=hours)}):
            found = at_once(*[lambda: sync(DATABASE)] * 3)

        assert [name for each in found for name in each.updated] == ["mine"]
        assert row().every == hours * 3600.0


def test_migrate_synchronises(capsys):
    with declare(mine=HOURLY):
        call_command("migrate", verbosity=1)

    assert row().owner == Owner.CODE
    assert "Schedules declared in code: 1 created" in capsys.readouterr().out


def test_migrate_to_zero_and_back_does_not_fail(capsys):
    with declare(mine=HOURLY):
        call_command("migrate", "django_tasks", "zero", verbosity=0)
        call_command("migrate", "django_tasks", verbosity=0)

    assert row().is_declared


def test_a_decorated_task_is_synchronised(monkeypatch):
    from django_tasks.definitions import registry

    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    task(schedule={"a": every(days=1), "b": every(days=2)})(undecorated)

    sync(DATABASE)

    names = Schedule.objects.order_by("name").values_list("name", "every")
    path = "tests.schedules.test_sync.undecorated"
    assert list(names) == [(f"{path}:a", 86400.0), (f"{path}:b", 172800.0)]


def undecorated():
    """A task for one test."""
