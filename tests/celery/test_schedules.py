"""Schedules of Celery's kinds, and what apps declare."""

from datetime import UTC, datetime, timedelta

import pytest

from django_tasks.celery import Celery
from django_tasks.celery.schedules import crontab, schedule, solar
from django_tasks.definitions import celery_settings
from django_tasks.definitions.declared_schedules import collect
from tests.celery import tasks

MONDAY = datetime(2026, 1, 5, 9, 31, tzinfo=UTC)

CRONTABS = [
    {},
    {"minute": 0, "hour": 7},
    {"minute": "*/15"},
    {"minute": [5, 10], "hour": "1,2"},
    {"minute": 0, "hour": "*/6", "day_of_week": "mon-fri"},
    {"minute": 0, "hour": 0, "day_of_week": "sunday", "day_of_month": "1-7"},
    {"minute": 30, "hour": 4, "day_of_month": 31},
    {"minute": 59, "hour": 23, "month_of_year": "2,6"},
]


@pytest.mark.parametrize("fields", CRONTABS)
def test_crontab_is_celerys(fields):
    theirs = pytest.importorskip("celery.schedules")
    from celery import Celery as TheirCelery

    their_app = TheirCelery("oracle", set_as_current=False)
    their_app.conf.timezone = "UTC"
    app = Celery("ours", set_as_current=False)
    app.conf.timezone = "UTC"
    for minutes in (0, 1, 29, 60, 24 * 60, 40 * 24 * 60):
        now = MONDAY + timedelta(minutes=minutes)
        their = theirs.crontab(**fields, nowfun=lambda now=now: now, app=their_app)
        our = crontab(**fields, nowfun=lambda now=now: now, app=app)
        assert repr(our) == repr(their)
        for name in ("minute", "hour", "day_of_week", "day_of_month", "month_of_year"):
            assert getattr(our, name) == getattr(their, name)
        assert our.remaining_estimate(MONDAY) == their.remaining_estimate(MONDAY)
        assert our.is_due(MONDAY)[0] == their.is_due(MONDAY)[0]
        assert our.is_due(MONDAY)[1] == pytest.approx(their.is_due(MONDAY)[1])


@pytest.mark.parametrize("passed", [10, 60, 90])
def test_schedule_is_celerys(passed):
    theirs = pytest.importorskip("celery.schedules")
    from celery import Celery as TheirCelery

    def now():
        return MONDAY + timedelta(seconds=passed)

    app = TheirCelery("oracle", set_as_current=False)
    assert tuple(schedule(60, nowfun=now).is_due(MONDAY)) == tuple(
        theirs.schedule(60, nowfun=now, app=app).is_due(MONDAY)
    )


def test_solar():
    pytest.importorskip("astral")
    sunset = solar("sunset", 52.52, 13.4, nowfun=lambda: MONDAY)
    assert timedelta(hours=5) < sunset.remaining_estimate(MONDAY) < timedelta(hours=6)


def test_equality():
    assert crontab(minute=0) == crontab(minute=0) != crontab(minute=1)
    assert schedule(5) == schedule(timedelta(seconds=5)) != schedule(5, relative=True)


@pytest.fixture
def declared():
    before = dict(celery_settings.added)
    yield lambda: {k: v.columns for k, v in collect().declarations.items()}
    celery_settings.added.clear()
    celery_settings.added.update(before)


def test_beat_schedule_of_an_app(declared):
    app = Celery("scheduled", set_as_current=False)
    app.conf.timezone = "Europe/Berlin"
    app.conf.beat_schedule = {
        "morning": {
            "task": "tests.celery.tasks.add",
            "schedule": crontab(minute=0, hour=7),
            "args": (1,),
            "options": {"queue": "mail", "expires": 60},
        },
    }
    columns = declared()["morning"]
    assert columns["crontab"] == "0 7 * * *"
    assert columns["timezone"] == "Europe/Berlin"
    assert columns["queue_name"] == "mail"
    assert columns["args"] == "[1]"


def test_add_periodic_task(declared):
    app = Celery("periodic", set_as_current=False)

    @app.on_after_finalize.connect
    def setup(sender, **kwargs):
        sender.add_periodic_task(30.0, tasks.add.s(1, y=2), name="often", expires=10)

    columns = declared()["often"]
    assert (columns["every"], columns["kwargs"], columns["expires"]) == (30.0, '{"y":2}', 10.0)
