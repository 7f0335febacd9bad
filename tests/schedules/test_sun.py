"""Events of the sun."""

import random
import sys
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec

import pytest
from django.core.exceptions import ValidationError

from django_tasks.beat.tick import enqueue_due
from django_tasks.models import Schedule
from django_tasks.schedules import SOLAR_EVENTS, InvalidSchedule, Solar, solar
from django_tasks.schedules import sun as package
from django_tasks.store.schedules import edits
from tests.schedules.steps import DATABASE, ago, now, saved

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECONDS = timedelta(seconds=30)  # astral takes the equation of time at midnight for its noon

requires_astral = pytest.mark.skipif(
    find_spec("astral") is None, reason="astral (the extra solar) is not installed"
)


@requires_astral
@pytest.mark.parametrize("event", ["dawn", "sunrise", "noon", "sunset", "dusk"])
def test_events_are_those_of_astral(event):
    """Each is within seconds of what astral names for that day and place."""
    from astral import Observer, sun

    rng = random.Random(event)
    for _ in range(100):
        latitude, longitude = rng.uniform(-60, 60), rng.uniform(-30, 30)
        day = date(2020, 1, 1) + timedelta(days=rng.randrange(4000))
        try:
            expected = getattr(sun, event)(Observer(latitude, longitude), day)
        except ValueError:
            continue  # astral has no dawn for a short night that spans midnight in UTC
        found = solar(event, latitude, longitude).next_after(expected - timedelta(hours=6))
        assert abs(found - expected) < SECONDS


@requires_astral
def test_almanac():
    """Berlin on midsummer's day: sunrise about 4:43, sunset about 21:33, local time."""
    after = datetime(2026, 6, 21, 0, 0, tzinfo=UTC)
    place = (52.52, 13.405)

    for event, expected in (
        ("sunrise", datetime(2026, 6, 21, 2, 43, tzinfo=UTC)),
        ("sunset", datetime(2026, 6, 21, 19, 33, tzinfo=UTC)),
    ):
        assert abs(Solar(event, *place).next_after(after) - expected) < timedelta(minutes=1)


@requires_astral
@pytest.mark.parametrize("event", SOLAR_EVENTS)
@pytest.mark.parametrize("place", [(0, 0), (52.5, 13.4), (-45, 180), (45, -180), (21.3, -157.9)])
def test_one_event_a_day(event, place):
    """From slot to slot it is about a day: none twice, none left out, wherever the date begins."""
    spec = Solar(event, *place)
    moment = spec.next_after(datetime(2026, 9, 1, tzinfo=UTC))
    for _ in range(200):
        following = spec.next_after(moment)
        assert (
            timedelta(hours=23, minutes=45) < following - moment < timedelta(hours=24, minutes=15)
        )
        assert spec.next_after(following - timedelta(microseconds=1)) == following
        moment = following


@requires_astral
def test_polar_night_is_passed_over():
    """In Longyearbyen no sunrise follows that of late October until February."""
    spec = solar("sunrise", 78.22, 15.65)

    last = spec.next_after(datetime(2026, 10, 25, tzinfo=UTC))
    first = spec.next_after(NOON)

    assert (last.month, first.year, first.month) == (10, 2027, 2)
    assert solar("noon", 78.22, 15.65).next_after(NOON) - NOON < DAY


@requires_astral
def test_midnight_sun_has_no_dusk():
    """In Tromsø dusk is missing from spring to the end of summer; a bounded search finds it."""
    found = solar("dusk", 69.65, 18.96).next_after(datetime(2026, 6, 1, tzinfo=UTC))

    assert datetime(2026, 7, 25, tzinfo=UTC) < found < datetime(2026, 8, 31, tzinfo=UTC)


@requires_astral
@pytest.mark.parametrize("latitude", [-90, 90])
@pytest.mark.parametrize("event", SOLAR_EVENTS)
def test_poles_have_an_answer(event, latitude):
    """At the poles the sun rises once a year or not at all by the formulas: never an error."""
    found = Solar(event, latitude, 0).next_after(NOON)

    assert found is None or NOON < found < NOON + 900 * DAY


@requires_astral
def test_search_is_bounded(monkeypatch):
    """Where no day has the event, the search ends after some years and finds nothing."""
    monkeypatch.setattr(package, "_event", lambda event, latitude, noon: None)

    assert solar("sunset", 52.5, 13.4).next_after(NOON) is None
    assert solar("sunset", 52.5, 13.4).next_after(datetime(9990, 1, 1, tzinfo=UTC)) is None


@pytest.fixture
def without_astral(monkeypatch):
    """Return a function after whose call this host has no astral."""

    def take_away():
        monkeypatch.setattr(package, "_astral", package._astral.__wrapped__)  # without its cache
        monkeypatch.setitem(sys.modules, "astral", None)

    return take_away


def test_missing_astral_says_what_to_install(without_astral):
    """It can be written without astral; asking for a slot says what is missing."""
    spec = solar("sunset", 52.5, 13.4)
    without_astral()

    with pytest.raises(InvalidSchedule, match=r"django-tasks-engine\[solar\]") as caught:
        spec.next_after(NOON)

    assert caught.value.field == "solar_event"


@requires_astral
@pytest.mark.django_db(transaction=True)
def test_host_without_astral_leaves_the_schedule_to_others(without_astral):
    """One host that lacks it must not disable what the others' beats serve."""
    row = saved(kind="SOLAR", every=None, solar_event="sunset", latitude=52.5, longitude=13.4)
    Schedule.objects.update(next_run_at=ago(seconds=5))
    without_astral()

    assert enqueue_due(DATABASE) == 1
    edits.pause([row.pk], now() + DAY, using=DATABASE)
    edits.pause([row.pk], None, using=DATABASE)

    row.refresh_from_db()
    assert row.enabled and row.next_run_at is not None and "astral" in row.error
    row.latitude = 53.0
    with pytest.raises(ValidationError) as caught:
        edits.save(row, using=DATABASE)
    assert set(caught.value.error_dict) == {"solar_event"}
    assert Schedule.objects.get().latitude == 52.5
