"""Celery's schedules are read by their fields; Celery is not imported."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from django_tasks.schedules import (
    Clocked,
    Crontab,
    Interval,
    InvalidSchedule,
    Solar,
    crontab,
    every,
    from_celery,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def celery_s(**fields):
    """Return an object as Celery's crontab is: the sets, and what was written beside them."""
    everything = {"minute": set(range(60)), "hour": set(range(24)), "day_of_week": set(range(7)),
                  "day_of_month": set(range(1, 32)), "month_of_year": set(range(1, 13)),
                  "nowfun": None, "_app": None}  # fmt: skip
    written = {f"_orig_{name}": "*" for name in everything if "_" not in name[:1]}
    return SimpleNamespace(**{**everything, **written, **fields})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, Interval(30.0)),
        (0.5, Interval(0.5)),
        (timedelta(minutes=5), every(minutes=5)),
        (SimpleNamespace(run_every=timedelta(hours=1), relative=False), every(hours=1)),
        (celery_s(), crontab("* * * * *")),
        (celery_s(minute={0}, _orig_minute=0, hour={7}, _orig_hour=7), crontab("0 7 * * *")),
        (
            celery_s(minute={0, 15, 30, 45}, _orig_minute="*/15", _orig_hour="8-18"),
            crontab("*/15 8-18 * * *"),
        ),
        (
            celery_s(_orig_minute=0, _orig_hour={6, 18}, _orig_day_of_week="monday,fri"),
            crontab("0 6,18 * * mon,fri"),
        ),
        (
            celery_s(_orig_minute=0, _orig_hour=0, _orig_day_of_month="1-7", _orig_day_of_week=1),
            Crontab("0 0 1-7 * 1", "ALL"),
        ),
        (celery_s(tz=ZoneInfo("Asia/Tokyo")), crontab("* * * * *", timezone="Asia/Tokyo")),
        (SimpleNamespace(event="sunset", lat=52.5, lon=13), Solar("sunset", 52.5, 13.0)),
        (SimpleNamespace(event="dusk_civil", lat=0, lon=0), Solar("dusk", 0.0, 0.0)),
        (SimpleNamespace(event="solar_noon", lat=0, lon=0), Solar("noon", 0.0, 0.0)),
        (SimpleNamespace(event="dawn_nautical", lat=0, lon=0), Solar("dawn_nautical", 0.0, 0.0)),
        (SimpleNamespace(clocked_time=NOON, enabled=True), Clocked(NOON)),
        (crontab("0 7 * * *"), crontab("0 7 * * *")),
    ],
)
def test_schedule_of_celery_is_read(value, expected):
    """What CELERY_BEAT_SCHEDULE can hold becomes the spec that says the same."""
    assert from_celery(value) == expected


def test_crontab_without_what_was_written_is_read_from_its_sets():
    """An object that only has the sets is understood too."""
    value = SimpleNamespace(
        minute={0, 30},
        hour={7},
        day_of_week={1, 2},
        day_of_month=set(range(1, 32)),
        month_of_year=set(range(1, 13)),
    )

    spec = from_celery(value)

    assert spec.next_after(NOON) == datetime(2026, 11, 23, 7, tzinfo=UTC)
    assert spec.next_after(datetime(2026, 11, 23, 7, tzinfo=UTC)).minute == 30
    assert spec.next_after(datetime(2026, 11, 24, 8, tzinfo=UTC)).day == 30


def test_time_zone_of_celery_is_passed_on():
    """CELERY_TIMEZONE goes to crontabs that name no zone of their own, and to nothing else."""
    own = celery_s(tz=ZoneInfo("Asia/Tokyo"))

    assert from_celery(celery_s(), timezone="Europe/Paris").timezone == "Europe/Paris"
    assert from_celery(own, timezone="Europe/Paris").timezone == "Asia/Tokyo"
    assert from_celery(60, timezone="Europe/Paris") == every(minutes=1)


@pytest.mark.parametrize("value", [None, True, "0 7 * * *", object(), {"minute": 5}])
def test_what_is_no_schedule_is_refused(value):
    """Whatever else stands there is named in the error."""
    with pytest.raises(InvalidSchedule, match="is no schedule") as caught:
        from_celery(value)

    assert caught.value.field == "kind"
