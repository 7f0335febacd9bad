"""CELERY_BEAT_SCHEDULE may stay in the settings while a project moves."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from django_tasks import checks
from django_tasks.definitions import declared_schedules
from django_tasks.schedules import every
from tests.schedules import celery_objects as celery

PATH = "tests.tasks.echo"


def read(entry, **settings):
    """Return the columns that an entry becomes, and the texts of what is wrong."""
    with override_settings(CELERY_BEAT_SCHEDULE={"mine": {"task": PATH} | entry}, **settings):
        collection = declared_schedules.collect()
    found = collection.declarations.get("mine")
    return found and found.columns, [problem.message for problem in collection.problems]


def columns(entry, **settings):
    found, problems = read(entry, **settings)
    assert problems == []
    return found


def check(**entries):
    with override_settings(CELERY_BEAT_SCHEDULE=entries):
        return [(message.id, message.msg) for message in checks.check_schedules()]


@pytest.mark.parametrize(
    "schedule", [90, 90.0, timedelta(seconds=90), celery.schedule(timedelta(seconds=90))]
)
def test_intervals(schedule):
    found = columns({"schedule": schedule})

    assert (found["kind"], found["every"], found["anchor_at"]) == ("INTERVAL", 90.0, None)


@pytest.mark.parametrize(
    "entry",
    [
        {"schedule": 3600, "relative": True},
        {"schedule": celery.schedule(3600, relative=True)},
    ],
)
def test_a_relative_interval_is_counted_from_a_round_moment(entry):
    found = columns(entry)

    assert found["anchor_at"] == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_crontab_means_what_it_meant():
    """Celery wants both days to match."""
    found = columns(
        {"schedule": celery.crontab(minute=0, hour="7,19", day_of_month="1-7", day_of_week="mon")}
    )

    assert (found["kind"], found["crontab"]) == ("CRONTAB", "0 7,19 1-7 * mon")
    assert (found["day_match"], found["timezone"]) == ("ALL", "")


def test_crontabs_are_in_celerys_time_zone():
    found = columns({"schedule": celery.crontab(minute=0)}, CELERY_TIMEZONE="Europe/Berlin")

    assert found["timezone"] == "Europe/Berlin"


def test_the_sun():
    found = columns({"schedule": celery.solar("dusk_civil", 52.5, 13.4)})

    assert (found["solar_event"], found["latitude"], found["longitude"]) == ("dusk", 52.5, 13.4)


def test_arguments_and_options():
    found = columns(
        {
            "schedule": 30,
            "args": (1, "a"),
            "kwargs": {"x": None},
            "options": {"queue": "mail", "priority": 9, "expires": timedelta(minutes=1)},
        }
    )

    assert (found["args"], found["kwargs"]) == ('[1,"a"]', '{"x":null}')
    assert (found["queue_name"], found["priority"], found["expires"]) == ("mail", 9, 60.0)


def test_a_moment_of_expiry_ends_the_schedule():
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    found = columns({"schedule": 30, "options": {"expires": moment}})

    assert (found["end_at"], found["expires"]) == (moment, None)


def test_a_priority_of_rabbitmqs_is_our_highest():
    assert columns({"schedule": 30, "options": {"priority": 255}})["priority"] == 100


def test_what_has_no_counterpart_is_ignored_with_a_warning():
    entry = {"schedule": 30, "options": {"exchange": "x", "routing_key": "y"}, "sign": 1}

    found, problems = read(entry)

    assert found["every"] == 30.0
    assert problems == ["ignored, as nothing here is like it: sign, exchange, routing_key."]
    [(id_, text)] = check(mine={"task": PATH} | entry)
    assert id_ == "django_tasks.W009"
    assert "left out" not in text


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"schedule": object()}, "is no schedule"),
        ({"schedule": -5}, "schedule: "),
        ({"schedule": 30, "args": 3}, "args must be a list"),
        ({"schedule": 30, "options": 3}, "options must be a dict"),
        ({}, "a dict with task and schedule"),
    ],
)
def test_a_wrong_entry_is_left_out_with_a_warning(entry, text):
    found, [problem] = read(entry)

    assert found is None
    assert text in problem
    [(id_, message)] = check(mine={"task": PATH} | entry)
    assert id_ == "django_tasks.W009"
    assert message.endswith("It is left out.")


def test_entries_of_tasks_that_are_still_celerys_are_one_warning():
    """Not an error: that is how a project looks half-way."""
    [(id_, text)] = check(
        a={"task": "shop.tasks.report", "schedule": 30},
        b={"task": "tests.tasks.ech", "schedule": 30},
        c={"task": PATH, "schedule": 30},
    )

    assert id_ == "django_tasks.W010"
    assert "'a': no task is registered as 'shop.tasks.report'" in text
    assert "did you mean 'tests.tasks.echo'" in text
    assert "'c'" not in text


def test_no_dict_is_a_warning():
    with override_settings(CELERY_BEAT_SCHEDULE=["x"]):
        [message] = checks.check_schedules()

    assert "not a dict but list" in message.msg


def test_our_settings_win_over_celerys():
    entry = {"task": PATH, "schedule": timedelta(seconds=60)}
    ours = {"task": PATH, "schedule": every(seconds=5)}
    with override_settings(
        CELERY_BEAT_SCHEDULE={"mine": entry}, DJANGO_TASKS={"SCHEDULES": {"mine": ours}}
    ):
        assert declared_schedules.collect().declarations["mine"].columns["every"] == 5.0
