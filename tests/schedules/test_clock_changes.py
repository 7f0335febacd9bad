"""What schedules do in the nights when clocks change, by example."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from django_tasks.schedules import InvalidSchedule, OffsetChange, crontab, every, offset_changes

HOUR = timedelta(hours=1)


def shown(spec, name, start, days=1):
    """Return what clocks show at the slots of some local days, with the offset."""
    zone = ZoneInfo(name)
    moment = datetime(*start, tzinfo=zone).astimezone(UTC) - timedelta(microseconds=1)
    end = moment + timedelta(days=days, hours=-1)
    found = []
    while (moment := spec.next_after(moment)) and moment < end:
        found.append(moment.astimezone(zone).strftime("%d %H:%M%z"))
    return found


def test_daily_half_past_two_runs_once_in_both_nights():
    """In spring at 3:00, the first instant after the gap; in autumn the first time only."""
    spec = crontab("30 2 * * *", timezone="Europe/Berlin")

    assert shown(spec, "Europe/Berlin", (2026, 3, 28), 3) == [
        "28 02:30+0100", "29 03:00+0200", "30 02:30+0200",
    ]  # fmt: skip
    assert shown(spec, "Europe/Berlin", (2026, 10, 24), 3) == [
        "24 02:30+0200", "25 02:30+0200", "26 02:30+0100",
    ]  # fmt: skip


@pytest.mark.parametrize("expression", ["0 * * * *", "0 */1 * * *", "@hourly"])
def test_hourly_runs_every_real_hour(expression):
    """23 times on the short day, 25 times on the long one, always an hour apart."""
    spec = crontab(expression, timezone="Europe/Berlin")
    for start in (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)):
        for hours in range(72):
            moment = start + hours * HOUR
            assert spec.next_after(moment) == moment + HOUR


def test_every_quarter_of_two_o_clock_follows_real_time():
    """An open minute field: none in the gap, and both passes of the fold."""
    spec = crontab("*/30 2 * * *", timezone="America/New_York")

    assert shown(spec, "America/New_York", (2026, 3, 8)) == []
    assert shown(spec, "America/New_York", (2026, 11, 1)) == [
        "01 02:00-0500", "01 02:30-0500",
    ]  # fmt: skip
    spec = crontab("*/30 1 * * *", timezone="America/New_York")
    assert shown(spec, "America/New_York", (2026, 11, 1)) == [
        "01 01:00-0400", "01 01:30-0400", "01 01:00-0500", "01 01:30-0500",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "in_march", "in_october"),
    [("30 2 * * *", 1, 1), ("0,30 2 * * *", 1, 2), ("0 3 * * *", 1, 1), ("0 * * * *", 23, 25),
     ("*/30 2 * * *", 0, 4)],
)  # fmt: skip
def test_table_of_the_reference(expression, in_march, in_october):
    """What docs/reference/schedules.md says of two nights in Berlin."""
    spec = crontab(expression, timezone="Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")

    for month, day, expected in ((3, 29, in_march), (10, 25, in_october)):
        start = datetime(2026, month, day, tzinfo=berlin) - timedelta(microseconds=1)
        end = datetime(2026, month, day + 1, tzinfo=berlin) - timedelta(microseconds=1)
        assert spec.count_between(start, end) == expected


def test_several_times_in_one_gap_are_one_slot():
    """2:00, 2:30 and 3:00 are the same instant when clocks go from 2:00 to 3:00."""
    spec = crontab("0,30 2,3 * * *", timezone="Europe/Berlin")

    assert shown(spec, "Europe/Berlin", (2026, 3, 29)) == ["29 03:00+0200", "29 03:30+0200"]


@pytest.mark.parametrize(
    ("name", "date", "expected"),
    [
        ("Africa/Cairo", (2026, 4, 24), "24 01:00+0300"),
        ("Asia/Beirut", (2026, 3, 29), "29 01:00+0300"),
        ("America/Havana", (2026, 3, 8), "08 01:00-0400"),
        ("America/Sao_Paulo", (2018, 11, 4), "04 01:00-0200"),
    ],
)
def test_midnight_that_clocks_skip(name, date, expected):
    """@daily runs once in a day that begins at 1:00, at its first instant."""
    spec = crontab("@daily", timezone=name)
    day_before = datetime(*date, tzinfo=UTC) - timedelta(days=1)

    found = shown(spec, name, (day_before.year, day_before.month, day_before.day), 3)

    assert len(found) == 3
    assert found[1] == expected


def test_lord_howe_moves_by_half_an_hour():
    """Half hours: 2:15 is skipped in spring, 1:45 happens twice in autumn."""
    name = "Australia/Lord_Howe"

    assert shown(crontab("15 2 * * *", timezone=name), name, (2026, 10, 4)) == ["04 02:30+1100"]
    assert shown(crontab("45 1 * * *", timezone=name), name, (2026, 4, 5)) == ["05 01:45+1100"]
    assert shown(crontab("45 * 5 4 *", timezone=name), name, (2026, 4, 5))[1:3] == [
        "05 01:45+1100", "05 01:45+1030",
    ]  # fmt: skip


def test_troll_moves_by_two_hours():
    """From +00 to +02 in March: 1:00 to 3:00; every time in between is one slot."""
    name = "Antarctica/Troll"
    spec = crontab("0,30 1,2 * * *", timezone=name)

    assert shown(spec, name, (2026, 3, 29)) == ["29 03:00+0200"]
    assert shown(spec, name, (2026, 10, 25)) == [
        "25 01:00+0200", "25 01:30+0200", "25 02:00+0200", "25 02:30+0200",
    ]  # fmt: skip


def test_day_that_apia_skipped():
    """30 December 2011 was not: what was due on it runs at the first instant of the 31st."""
    name = "Pacific/Apia"

    daily = shown(crontab("0 12 * * *", timezone=name), name, (2011, 12, 29), 3)
    yearly = shown(crontab("0 12 30 12 *", timezone=name), name, (2011, 12, 29), 3)

    assert daily == ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400", "01 12:00+1400"]
    assert yearly == ["31 00:00+1400"]
    assert shown(crontab("@daily", timezone=name), name, (2011, 12, 29), 2) == [
        "29 00:00-1000", "31 00:00+1400",
    ]  # fmt: skip


def test_interval_is_real_time():
    """A day of an interval is 24 hours, also when the local day has 23."""
    anchor = datetime(2026, 3, 28, 11, tzinfo=UTC)

    assert every(days=1, anchor=anchor).next_after(anchor) == anchor + 24 * HOUR


def test_changes_of_the_clocks_are_named():
    """The preview warns of changes: after the start, up to and with the end."""
    spring = OffsetChange(datetime(2026, 3, 29, 1, tzinfo=UTC), HOUR, 2 * HOUR)
    autumn = OffsetChange(datetime(2026, 10, 25, 1, tzinfo=UTC), 2 * HOUR, HOUR)

    assert offset_changes("Europe/Berlin", spring.moment - HOUR, autumn.moment) == [spring, autumn]
    assert offset_changes("Europe/Berlin", spring.moment, autumn.moment - HOUR) == []
    assert offset_changes("", spring.moment - HOUR, autumn.moment) == []  # TIME_ZONE is UTC
    assert offset_changes("Asia/Kolkata", spring.moment, autumn.moment) == []
    with pytest.raises(InvalidSchedule):
        offset_changes("Mars/Olympus", spring.moment, autumn.moment)
