"""Reading crontabs: what is accepted, what it means, and what is refused."""

import calendar
from datetime import UTC, datetime, timedelta

import pytest

from django_tasks.schedules import InvalidSchedule, cron, crontab

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def minutes(expression):
    """Return the minutes of an hour that a minute field lists."""
    return list(cron.parse(f"{expression} 0 * * *").times)


FULL_NAMES = [
    *((f"0 0 1 {name} *", f"0 0 1 {n} *") for n, name in enumerate(calendar.month_name) if n),
    *((f"0 0 * * {name}", f"0 0 * * {(n + 1) % 7}") for n, name in enumerate(calendar.day_name)),
    ("0 0 * june-AUGUST/2 Monday-fri", "0 0 * 6-8/2 1-5"),
    ("0 0 * May,september sunday,Tue", "0 0 * 5,9 0,2"),
    ("0 0 * * friday#3", "0 0 * * 5#3"),
]


@pytest.mark.parametrize(("expression", "plain"), FULL_NAMES)
@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title])
def test_full_names_are_read(expression, plain, spelt):
    """Of months and weekdays, in any case, as Celery takes them."""
    assert cron.parse(spelt(expression)) == cron.parse(plain)


@pytest.mark.parametrize(
    "wrong",
    ["* * * sunday *", "* * * * january", "* * * * sund", "* monday * * *", "* * * * mondays"],
)
def test_full_names_are_those_of_their_field(wrong):
    """A month is no weekday, and what is shortened otherwise is no name."""
    with pytest.raises(InvalidSchedule):
        cron.parse(wrong)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("5", [5]),
        ("05", [5]),
        ("*/20", [0, 20, 40]),
        ("10-13", [10, 11, 12, 13]),
        ("10-20/5", [10, 15, 20]),
        ("50/4", [50, 54, 58]),
        ("*/100", [0]),
        ("1,3,2", [1, 2, 3]),
        ("1-3,2-4,*/30", [0, 1, 2, 3, 4, 30]),
        ("58-1", [0, 1, 58, 59]),
        # The next are read so whatever the version of croniter.
        ("59/15", [59]),
        ("59/1,3", [3, 59]),
        ("5-5", [5]),
        ("5-5/2", [5]),
        ("*", list(range(60))),
        ("0-59", list(range(60))),
    ],
)
def test_field_lists_its_values(field, expected):
    """Lists, ranges and steps mean what they mean to cron, in every supported croniter."""
    assert minutes(field) == expected


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("0 0 * JAN-Mar,dec *", "0 0 * 1-3,12 *"),
        ("0 0 * * Mon-FRI", "0 0 * * 1-5"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * fri,sat,sun"),
        ("0 0 * * sat-mon", "0 0 * * 0,1,6"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * dec/2 *", "0 0 * 12 *"),
        ("0 0 * * sat/2", "0 0 * * 6"),
        ("0 0 * * 7/2", "0 0 * * 0"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("0 0 * * 7#2", "0 0 * * sun#2"),
    ],
)
def test_spellings_mean_the_same(expression, same):
    """Words, names, 7 for Sunday and ranges over the end are other spellings of plain fields."""
    moment = NOON
    for _ in range(50):
        expected = crontab(same).next_after(moment)
        assert crontab(expression).next_after(moment) == expected
        moment = expected


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("61 * * * *", "'61' is no minute: it takes 0-59"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month: it takes 1-31"),
        ("* * 32 * *", "day of the month"),
        ("* * * 13 *", "'13' is no month: it takes 1-12 or jan-dec"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "'8' is no day of the week: it takes 0-7 or sun-sat"),
        ("-1 * * * *", "minute"),
        ("1.5 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("5- * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("*/x * * * *", "minute"),
        ("*-5 * * * *", "minute"),
        ("5/61/2 * * * *", "minute"),
        ("60/5 * * * *", "minute"),
        ("٣ * * * *", "minute"),
        ("mon * * * *", "minute"),
        ("* * * mon *", "month"),
        ("* * * * jan", "day of the week"),
        ("? * * * *", "minute"),
        ("l * * * *", "minute"),
        ("r * * * *", "minute"),
        ("h * * * *", "minute"),
        ("* * 15w * *", "day of the month"),
        ("* * * * 5#6", "day of the week"),
        ("* * * * 8#1", "day of the week"),
        ("* * * * 1,5#2", "day of the week"),
        ("23-3/2 * * * *", "List the values"),
        ("0 0 31 2 *", "never happens"),
        ("0 0 30,31 2 *", "never happens"),
        ("0 0 31 2,4,6,9,11 *", "never happens"),
        ("@reboot", "Unknown word '@reboot'"),
        ("", "five fields"),
        ("* * * *", "has 4"),
        ("* * * * * *", "has 6"),
        ("0 0 1 1 * 2030 *", "has 7"),
        ("0" * 300 + " * * * *", "at most 255"),
    ],
)
def test_wrong_crontab_is_refused(expression, part):
    """The error names the column, what was written, and what can be."""
    with pytest.raises(InvalidSchedule) as caught:
        crontab(expression)

    assert caught.value.field == "crontab"
    assert part in str(caught.value)


def test_day_that_no_month_has_is_refused_where_both_must_match():
    """A Monday that is 30 February never comes; with cron's rule, Mondays of February do."""
    with pytest.raises(InvalidSchedule, match="never happens"):
        crontab(minute=0, hour=0, day_of_month=30, month_of_year=2, day_of_week=1)

    assert crontab("0 0 30 2 1").next_after(NOON) == datetime(2027, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "after", "expected"),
    [
        (crontab("0 0 29 2 *"), NOON, datetime(2028, 2, 29)),
        (crontab("0 0 29 2 *"), datetime(2096, 3, 1, tzinfo=UTC), datetime(2104, 2, 29)),
        (
            crontab(minute=0, hour=0, day_of_month=29, month_of_year=2, day_of_week=1),
            NOON,
            datetime(2044, 2, 29),
        ),
        (
            crontab(minute=0, hour=0, day_of_month=29, month_of_year=2, day_of_week="sun"),
            datetime(2088, 3, 1, tzinfo=UTC),
            datetime(2128, 2, 29),
        ),
        (crontab("0 0 29 2 1"), NOON, datetime(2027, 2, 1)),
        (crontab("0 0 l 2 *"), NOON, datetime(2027, 2, 28)),
        (crontab("0 0 * * 5#5"), NOON, datetime(2027, 1, 29)),
        (crontab("0 0 * 2 1#5"), NOON, datetime(2044, 2, 29)),
        (crontab("0 0 */2 * 1"), NOON, datetime(2026, 11, 23)),
        (crontab("0 0 */2 * 1"), datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 12, 7)),
    ],
)
def test_rare_dates_are_found(spec, after, expected):
    """Leap days on a Monday, fifth Fridays and the like: however far, but not for ever."""
    assert spec.next_after(after) == expected.replace(tzinfo=UTC)


def test_search_ends_where_clocks_always_skip_the_time():
    """Half past two on the last Sunday of March never is in Berlin: there is no next slot."""
    spec = crontab("*/30 2 * 3 L0", timezone="Europe/Berlin")

    assert spec.next_after(NOON) is None
    assert spec.count_between(NOON, NOON + timedelta(days=3650)) == 0


@pytest.mark.parametrize("expression", ["* * * * *", "0 0 1 1 *", "0 0 29 2 *"])
@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
def test_calendar_has_an_end(expression, timezone):
    """Near Python's last date there is no next slot, and no error."""
    spec = crontab(expression, timezone=timezone)

    assert spec.next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert spec.next_after(datetime(9989, 12, 31, 23, 59, tzinfo=UTC)) in (
        None,
        datetime(9990, 1, 1, tzinfo=UTC),
    )


def test_seconds_do_not_matter():
    """A slot is the start of a minute, strictly after the moment."""
    spec = crontab("*/5 * * * *")

    assert spec.next_after(NOON) == NOON + timedelta(minutes=5)
    assert spec.next_after(NOON - timedelta(microseconds=1)) == NOON
    assert spec.next_after(NOON + timedelta(seconds=299.9)) == NOON + timedelta(minutes=5)


def test_expression_is_read_once():
    """A beat with many schedules does not parse them each time it asks."""
    spec = crontab("3 4 5 6 *")
    cron.parse.cache_clear()

    spec.next_after(NOON)
    spec.next_after(NOON + timedelta(days=400))

    assert cron.parse.cache_info().misses == 1
