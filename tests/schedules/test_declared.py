"""Schedules declared in code and settings: what is read, what is refused, what the checks say."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from django_tasks import InvalidTask, task
from django_tasks import (
    checks as system_checks,
)
from django_tasks.definitions import declared_schedules, registry, schedule_options
from django_tasks.definitions.declared_schedules import Source
from django_tasks.models import schedules as models
from django_tasks.schedules import clocked, crontab, every, solar


def report(copies: int = 1):
    """A function for tests to decorate. Not a task itself."""


def note(text: str, *, urgent: bool = False):
    """Another one; it cannot be called without `text`."""


@pytest.fixture
def decorate(monkeypatch):
    """Return a function that decorates as code does; afterwards the tasks are unknown again."""
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))

    def decorate(function, **options):
        registry._tasks.pop(f"{function.__module__}.{function.__qualname__}", None)
        return task(**options)(function)

    return decorate


def declarations():
    collection = declared_schedules.collect()
    assert collection.problems == ()
    return collection.declarations


def columns(name):
    return declarations()[name].columns


def ids(messages):
    return [message.id for message in messages]


def checks(**settings):
    with override_settings(**settings):
        return system_checks.check_schedules()


# --- in the decorator ----------------------------------------------------------------------------


def test_a_schedule_has_the_name_of_its_task(decorate):
    decorate(report, schedule=crontab("0 7 * * *", timezone="Europe/Berlin"))

    found = columns(report.__module__ + ".report")

    assert found == schedule_options.COLUMNS | {
        "task_path": "tests.schedules.test_declared.report",
        "kind": "CRONTAB",
        "crontab": "0 7 * * *",
        "timezone": "Europe/Berlin",
    }


def test_several_schedules_have_names(decorate):
    decorate(
        report,
        schedule={
            "morning": crontab("0 7 * * *"),
            "often": {"schedule": every(minutes=5), "args": [3], "overlap": "skip", "jitter": 2},
        },
    )

    morning = columns("tests.schedules.test_declared.report:morning")
    often = columns("tests.schedules.test_declared.report:often")

    assert morning["crontab"] == "0 7 * * *"
    assert (often["every"], often["args"]) == (300.0, "[3]")
    assert (often["overlap"], often["jitter"]) == ("SKIP", 2.0)


def test_one_schedule_may_have_options_without_a_name(decorate):
    decorate(note, schedule={"schedule": every(hours=1), "kwargs": {"text": "x"}})

    found = columns("tests.schedules.test_declared.note")

    assert (found["every"], found["kwargs"]) == (3600.0, '{"text":"x"}')


def test_every_option_becomes_its_column(decorate):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    given = {
        "description": "why",
        "backend": "default",
        "queue_name": "mail",
        "priority": -5,
        "start_at": start,
        "end_at": start + timedelta(days=1),
        "max_runs": 3,
        "expires": timedelta(minutes=1),
        "jitter": 0,
        "overlap": "queue_one",
        "catch_up": "ALL",
        "catch_up_limit": 4,
        "catch_up_deadline": 90,
        "enabled": False,
    }
    assert given.keys() | {"schedule", "args", "kwargs"} == schedule_options._NAMES
    decorate(report, schedule={"schedule": every(seconds=1), **given})

    found = columns("tests.schedules.test_declared.report")

    expected = given | {"expires": 60.0, "overlap": "QUEUE_ONE"}
    assert {name: found[name] for name in given} == expected


def test_the_words_for_policies_are_those_of_the_table():
    assert list(schedule_options.OVERLAPS) == models.Overlap.values
    assert list(schedule_options.CATCH_UPS) == models.CatchUp.values


def test_the_columns_are_those_of_the_table_with_its_defaults():
    """A declaration fills every column of the row that a person may edit, but the name."""
    editable = {f.name: f for f in models.Schedule._meta.concrete_fields if f.editable}
    own = {"id", "name", "paused_until", "created_at", "changed_at"}

    assert schedule_options.COLUMNS.keys() == editable.keys() - own
    for name, default in schedule_options.COLUMNS.items():
        if name not in ("task_path", "kind"):
            assert editable[name].get_default() == default, name


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("0 7 * * *", r"give crontab\(…\), every\(…\)"),
        (300, "not 300"),
        ({}, "not {}"),
        ({"a": None}, 'it lacks "schedule"'),
        ({"a": "@daily"}, "from django_tasks.schedules, not '@daily'"),
        ({"": every(seconds=1), "x" * 300: every(seconds=1)}, "1 to 200 characters"),
        ({"a": {"schedule": every(seconds=1), "overlap": "maybe"}}, "one of 'allow', 'skip'"),
        ({"a": {"schedule": every(seconds=1), "overlp": "skip"}}, "did you mean 'overlap'?"),
        ({"a": {"schedule": every(seconds=1), "queue": "x"}}, "use queue_name"),
        ({"a": {"schedule": every(seconds=1), "task": "x"}}, "no option 'task'"),
        ({"a": {"schedule": every(seconds=1), "args": [1, 2]}}, "cannot be called with"),
        ({"a": {"schedule": every(seconds=1), "args": "ab"}}, "args must be a list"),
        ({"a": {"schedule": every(seconds=1), "args": [{1}]}}, r"args\[0\] is of type"),
        ({"a": {"schedule": every(seconds=1), "kwargs": [1]}}, "kwargs must be a dict"),
        ({"a": {"schedule": every(seconds=1), "expires": 0}}, "a timedelta above 0, not 0"),
        ({"a": {"schedule": every(seconds=1), "jitter": True}}, "from 0 on, not True"),
        ({"a": {"schedule": every(seconds=1), "max_runs": 0}}, "from 1 on, not 0"),
        ({"a": {"schedule": every(seconds=1), "start_at": datetime(2026, 1, 1)}}, "aware datetime"),
        ({"a": {"schedule": every(seconds=1), "priority": 101}}, "priority must be"),
        ({"a": {"schedule": every(seconds=1), "queue_name": "a b"}}, "queue_name must be"),
        ({"a": {"schedule": every(seconds=1), "backend": "other"}}, "other"),
        ({"a": {"schedule": every(seconds=1), "enabled": 1}}, "True or False, not 1"),
    ],
)
def test_what_is_wrong_is_told_where_it_is_decorated(decorate, schedule, message):
    with pytest.raises(InvalidTask, match=message) as caught:
        decorate(report, schedule=schedule)

    assert str(caught.value).startswith("tests.schedules.test_declared.report: schedule: ")
    assert registry.find("tests.schedules.test_declared.report") is None


def test_a_task_that_needs_arguments_needs_them_from_its_schedule(decorate):
    with pytest.raises(InvalidTask, match="missing a required argument: 'text'"):
        decorate(note, schedule=every(minutes=1))


def test_copies_are_not_checked_again(decorate, monkeypatch):
    """using() is part of enqueueing: it must not read schedules."""
    scheduled = decorate(report, schedule=every(minutes=1))
    monkeypatch.setattr(declared_schedules, "check", None)

    assert scheduled.using(priority=3).schedule == every(minutes=1)


# --- in the settings -----------------------------------------------------------------------------


def test_a_schedule_in_the_settings():
    entry = {"task": "tests.tasks.add", "schedule": every(days=1), "args": (1, 2), "jitter": None}

    with override_settings(DJANGO_TASKS={"SCHEDULES": {"sums": entry}}):
        found = columns("sums")

    assert (found["task_path"], found["every"], found["args"]) == (
        "tests.tasks.add",
        86400.0,
        "[1,2]",
    )
    assert found["jitter"] == 0.0


def test_the_settings_win_over_the_decorator(decorate):
    """A project can change the schedule of somebody else's task."""
    decorate(report, schedule=every(minutes=1))
    path = "tests.schedules.test_declared.report"
    entry = {"task": path, "schedule": every(minutes=2)}

    with override_settings(DJANGO_TASKS={"SCHEDULES": {path: entry}}):
        assert columns(path)["every"] == 120.0


def test_a_wrong_entry_does_not_touch_the_others(decorate):
    decorate(report, schedule=every(minutes=1))
    path = "tests.schedules.test_declared.report"
    entries = {
        path: {"task": path},
        "sums": {"task": "tests.tasks.echo", "schedule": every(days=1)},
    }

    with override_settings(DJANGO_TASKS={"SCHEDULES": entries}):
        collection = declared_schedules.collect()

    assert list(collection.declarations) == ["sums"]
    [problem] = collection.problems
    assert (problem.name, problem.source) == (path, Source.SETTINGS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (every(minutes=1), '"task": "app.tasks.name"'),
        ({"schedule": every(minutes=1)}, 'it lacks "task"'),
        (
            {"task": "tests.tasks.ech", "schedule": every(minutes=1)},
            "did you mean 'tests.tasks.echo'",
        ),
        (
            {"task": "os.system", "schedule": every(minutes=1), "args": ["true"]},
            "no task is registered",
        ),
        ({"task": "tests.tasks.echo", "schedule": "@daily"}, "not '@daily'"),
        ({"task": "tests.tasks.add", "schedule": every(minutes=1)}, "missing a required argument"),
    ],
)
def test_check_of_the_settings(entry, message):
    """E007: an error per schedule that cannot be read, with its name."""
    [found] = checks(DJANGO_TASKS={"SCHEDULES": {"mine": entry}})

    assert found.id == "django_tasks.E007"
    assert "schedule 'mine': " in found.msg
    assert message in found.msg


def test_checks_are_silent_when_all_is_well():
    entry = {"task": "tests.tasks.echo", "schedule": crontab("0 7 * * *")}

    assert (
        checks(
            DJANGO_TASKS={"SCHEDULES": {"mine": entry}},
            CELERY_BEAT_SCHEDULE={"x": {"task": "tests.tasks.echo", "schedule": 30}},
        )
        == []
    )


def test_a_mistake_in_another_setting_is_told_once():
    """E003 tells of it; reading schedules on top would raise in the middle of the checks."""
    assert checks(DJANGO_TASKS={"LEESE": 1, "SCHEDULES": {"x": 1}}) == []


# --- which tasks the admin offers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "default", "expected"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"schedulable": True}, False, True),
        ({"schedulable": False}, True, False),
        ({"schedule": every(minutes=1)}, False, True),
        ({"schedule": every(minutes=1), "schedulable": False}, False, False),
    ],
)
def test_who_is_schedulable(decorate, options, default, expected):
    subject = decorate(report, **options)

    with override_settings(DJANGO_TASKS={"SCHEDULABLE_BY_DEFAULT": default}):
        assert subject.is_schedulable is expected
        assert (subject in declared_schedules.schedulable_tasks()) is expected


def test_tasks_with_a_schedule_in_the_settings_are_schedulable(decorate):
    subject = decorate(report)
    entry = {"task": subject.module_path, "schedule": every(days=1)}

    with override_settings(DJANGO_TASKS={"SCHEDULES": {"x": entry}}):
        assert subject.is_schedulable
    with override_settings(
        CELERY_BEAT_SCHEDULE={"x": {"task": subject.module_path, "schedule": 3}}
    ):
        assert subject.is_schedulable
    assert not subject.is_schedulable


def test_schedulable_is_true_false_or_none(decorate):
    with pytest.raises(InvalidTask, match="schedulable must be True, False or None, not 'yes'"):
        decorate(report, schedulable="yes")


# --- rows and declarations -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        every(minutes=5),
        every(minutes=5, anchor=datetime(2026, 1, 1, tzinfo=UTC)),
        crontab("@daily", timezone="Asia/Kolkata"),
        crontab(minute=[0, 30], day_of_week="mon", day_of_month="1-7"),
        solar("sunset", 52.52, 13.4),
        clocked(datetime(2027, 1, 1, tzinfo=UTC)),
    ],
    ids=lambda spec: str(spec)[:40],
)
def test_what_is_declared_survives_as_text(decorate, schedule):
    decorate(report, schedule={"schedule": schedule, "end_at": datetime(2030, 1, 1, tzinfo=UTC)})
    found = declarations()["tests.schedules.test_declared.report"]

    again = declared_schedules.from_json(found.as_json())

    assert again == found.columns
    assert declared_schedules.to_json(again) == found.as_json()


def test_drift_names_columns_with_both_values(decorate):
    decorate(report, schedule={"schedule": every(minutes=5), "args": [1]})
    found = declarations()["tests.schedules.test_declared.report"]
    row = models.Schedule(name="x", owner="CODE", declared=found.as_json(), **found.columns)
    assert declared_schedules.drift_of(row) == {}

    row.anchor_at, row.args = datetime(2026, 1, 1, tzinfo=UTC), "[ 1 ]"
    assert declared_schedules.drift_of(row) == {}

    row.every, row.args, row.enabled = 60.0, "[true]", False
    assert declared_schedules.drift_of(row) == {
        "every": (60.0, 300.0), "args": ("[true]", "[1]"), "enabled": (False, True),
    }  # fmt: skip


def test_an_admins_own_row_has_no_drift():
    assert declared_schedules.drift_of(models.Schedule(name="x", every=3.0)) == {}


def test_a_settings_module_may_import_the_spellings():
    """The names come from a package that asks for no settings when it is imported."""
    code = (
        "from django_tasks.schedules import crontab; print(crontab('@daily').columns()['crontab'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() in ("@daily", "0 0 * * *")
