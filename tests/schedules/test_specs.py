"""The four kinds of schedule: what they accept, and the columns they are kept in."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from django_tasks.models import Schedule
from django_tasks.models.schedules import DayMatch, ScheduleKind
from django_tasks.schedules import (
    SOLAR_EVENTS,
    Clocked,
    Crontab,
    Interval,
    InvalidSchedule,
    Solar,
    clocked,
    crontab,
    every,
    solar,
    spec_of,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SPECS = [
    every(minutes=5, anchor=NOON),
    every(weeks=1, days=1, hours=1, seconds=0.5),
    crontab("0 7 * * mon-fri", timezone="Europe/Berlin"),
    crontab(minute=0, hour=[7, 19], day_of_month="1-7", day_of_week="monday"),
    solar("sunset", 52.52, 13.4, timezone="Europe/Berlin"),
    clocked(NOON),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_spec_comes_back_from_its_row(spec):
    """A row with a spec's kind and columns means the same spec."""
    row = Schedule(kind=spec.kind, **spec.columns())

    assert spec_of(row) == spec


def test_kinds_and_day_matches_are_those_of_the_model():
    """The package knows the model's words, although it does not import it."""
    assert {spec.kind for spec in SPECS} == set(ScheduleKind.values)
    assert {Crontab("* * * * *", value).day_match for value in DayMatch} == set(DayMatch.values)


def test_events_fit_their_column():
    """The names of the events of the sun are no longer than the column that keeps them."""
    assert max(map(len, SOLAR_EVENTS)) <= Schedule._meta.get_field("solar_event").max_length


def broken(**columns):
    row = {"kind": "INTERVAL", **Interval(1.0).columns(), **columns}
    return lambda: spec_of(SimpleNamespace(**row))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (broken(kind="YEARLY"), "kind"),
        (broken(every=None), "every"),
        (broken(every=True), "every"),
        (broken(every=float("nan")), "every"),
        (broken(every=-1.0), "every"),
        (broken(every=1e12), "every"),
        (broken(anchor_at=datetime(2026, 1, 1)), "anchor_at"),
        (broken(kind="CRONTAB", crontab=""), "crontab"),
        (broken(kind="CRONTAB", crontab="* * * * *", day_match="SOME"), "day_match"),
        (broken(kind="CRONTAB", crontab="* * * * *", timezone="Europe/Atlantis"), "timezone"),
        (broken(kind="CRONTAB", crontab="* * * * *", timezone="Europe"), "timezone"),
        (broken(kind="CRONTAB", crontab="* * * * *", timezone="../Europe/Berlin"), "timezone"),
        (broken(kind="CRONTAB", crontab="* * * * *", timezone="localtime"), "timezone"),
        (broken(kind="CRONTAB", crontab="* * * * *", timezone=None), "timezone"),
        (broken(kind="SOLAR", solar_event="brunch", latitude=0, longitude=0), "solar_event"),
        (broken(kind="SOLAR", solar_event="noon", latitude=90.1, longitude=0), "latitude"),
        (broken(kind="SOLAR", solar_event="noon", latitude=None, longitude=0), "latitude"),
        (broken(kind="SOLAR", solar_event="noon", latitude=0, longitude=-181), "longitude"),
        (broken(kind="CLOCKED"), "clocked_at"),
        (broken(kind="CLOCKED", clocked_at=datetime(2026, 1, 1)), "clocked_at"),
        (every, "every"),
        (lambda: crontab("* * * * *", minute=5), "crontab"),
        (lambda: crontab(minute=1.5), "crontab"),
        (lambda: crontab(minute=""), "crontab"),
        (lambda: crontab(hour=[]), "crontab"),
        (lambda: crontab(5), "crontab"),
        (lambda: clocked("tomorrow"), "clocked_at"),
    ],
)
def test_wrong_schedule_names_its_column(make, field):
    """What can never be due is refused when it is made, and the error says which column."""
    with pytest.raises(InvalidSchedule) as caught:
        make()

    assert caught.value.field == field


def test_interval_counts_from_its_anchor():
    """Slots are whole multiples away from the anchor, before it too; a slot is not after itself."""
    spec = every(hours=1, anchor=NOON + timedelta(minutes=10))

    assert spec.next_after(NOON) == NOON + timedelta(minutes=10)
    assert spec.next_after(NOON + timedelta(minutes=10)) == NOON + timedelta(minutes=70)
    assert spec.next_after(NOON - timedelta(days=365)) == NOON - timedelta(days=365, minutes=-10)


def test_interval_does_not_drift():
    """A million slots of a tenth of a second are a hundred thousand seconds."""
    spec = every(seconds=0.1, anchor=NOON)
    late = NOON + timedelta(seconds=100_000)

    assert spec.next_after(late - timedelta(microseconds=1)) == late


@pytest.mark.parametrize("spec", [every(days=1), every(days=36500), crontab("@daily")])
def test_nothing_is_due_after_the_calendar(spec):
    """Whoever pauses a schedule until the year 9999 means for good."""
    assert spec.next_after(datetime(9999, 12, 31, 23, 59, tzinfo=UTC)) is None


def test_interval_without_anchor_starts_with_the_moment():
    """A schedule that was not saved yet is previewed as if it were saved now."""
    assert every(minutes=5).next_after(NOON) == NOON + timedelta(minutes=5)


def test_clocked_is_due_once():
    """A one-off has a slot until it is there, and none afterwards; in UTC."""
    spec = clocked(datetime(2026, 11, 21, 13, tzinfo=BERLIN))

    assert spec.next_after(NOON - timedelta(microseconds=1)) == NOON
    assert spec.next_after(NOON - timedelta(hours=1)).tzinfo is UTC
    assert spec.next_after(NOON) is None


def test_blank_time_zone_is_that_of_the_project():
    """A crontab without a zone follows settings.TIME_ZONE, read when it is asked."""
    spec = crontab("0 7 * * *")

    with override_settings(TIME_ZONE="Asia/Kolkata"):
        in_kolkata = spec.next_after(NOON)

    assert in_kolkata == datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
    assert spec.next_after(NOON) == datetime(2026, 11, 22, 7, tzinfo=UTC)


def test_keywords_match_both_days_as_celery_does():
    """With both days given, Celery's keywords mean Mondays in the first week, cron's either."""
    keywords = crontab(minute=0, hour=0, day_of_month="1-7", day_of_week="mon")

    assert keywords.next_after(NOON) == datetime(2026, 12, 7, tzinfo=UTC)
    assert crontab("0 0 1-7 * mon").next_after(NOON) == datetime(2026, 11, 23, tzinfo=UTC)


def test_keywords_are_written_as_a_plain_crontab():
    """Where the two rules are the same, both spellings make equal schedules."""
    keywords = crontab(minute="*/15", hour=[19, 7], day_of_week="monday, Tuesday,3")

    assert keywords == crontab("*/15 7,19 * * mon,tue,3")
    assert crontab() == crontab("* * * * *")


def test_specs_are_values():
    """Equal schedules are equal, can be keys, and cannot be changed."""
    assert len({crontab("0 7 * * *"), crontab(" 0  7 * * * "), crontab(hour=7, minute=0)}) == 1
    with pytest.raises(AttributeError):
        every(minutes=5).every = 1.0


def test_specs_can_be_made_by_position():
    """The classes take their columns in order, as rows give them."""
    assert Interval(300.0) == every(minutes=5)
    assert Clocked(NOON) == clocked(NOON)
    assert Solar("noon", 0, 0) == solar("noon", 0.0, 0.0)
