"""
Read crontab expressions. croniter is used here and nowhere else, and only as the parser.

Its versions 6 and 7 read `59/15` differently, and both read `5-5` as the whole field; such forms
are rewritten before it sees them, so that an upgrade of it never moves a schedule.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache

from croniter import CroniterError, croniter

from .errors import InvalidSchedule

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(5)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
#: The highest value that `a/n` counts to.
LAST_STEP = (59, 23, 31, 12, 6)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
#: Cron's own names are the first three letters of these.
FULL_NAMES = {MONTH: frozenset(MONTHS), WEEKDAY: frozenset(WEEKDAYS)}
NAMES = {
    **{(MONTH, name[:3]): number for number, name in enumerate(MONTHS, 1)},
    **{(WEEKDAY, name[:3]): number for number, name in enumerate(WEEKDAYS)},
}
TERM = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?", re.ASCII)
#: The last day of the month; the third Friday (5#3, fri#3); the last Friday (L5).
DAY_TERMS = {DAY: re.compile(r"l|\?"), WEEKDAY: re.compile(r"[0-9a-z]+#[1-5]|l[0-7]|\?", re.ASCII)}
MAX_LENGTH = 255
LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: After so many years dates and weekdays repeat.
CYCLE = 400
LAST_YEAR = 9990


@dataclass(frozen=True, slots=True)
class Expression:
    """A crontab expression, read: which days, and which minutes of them, it matches."""

    #: Minutes since midnight, ascending.
    times: array[int]
    months: frozenset[int]
    days: int  # bit n: the nth of the month
    is_last_day: bool
    weekdays: int  # bit n: weekday n, Sunday is 0
    #: Weekday to the ones it matches in a month: 1 to 5, or "l" for the last.
    nth_weekdays: dict[int, frozenset[int | str]]
    #: Whether the day of the month and that of the week must both match.
    needs_both: bool
    #: Whether it is for set times, and not one that begins a time field with `*`.
    is_fixed: bool
    _days: dict[tuple[int, int], int] = field(default_factory=dict)

    def next_after(self, local: datetime) -> datetime | None:
        """
        Return the first matching minute whose start is after `local`; both are naive.

        None if there is none in 400 years.
        """
        year, month, day = local.year, local.month, local.day
        if month in self.months and self._days_of(year, month) >> day & 1:
            index = bisect_right(self.times, local.hour * 60 + local.minute)
            if index < len(self.times):
                hour, minute = divmod(self.times[index], 60)
                return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - clocks' time
        found = self._next_day(year, month, day)
        if found is None:
            return None
        hour, minute = divmod(self.times[0], 60)
        return datetime(*found, hour, minute)  # noqa: DTZ001 - clocks' time

    def count_between(self, start: datetime, end: datetime) -> int:
        """Return how many matching minutes begin after `start` and up to `end`; both are naive."""
        return self._count_until(end, start.year) - self._count_until(start, start.year)

    def _count_until(self, local: datetime, first_year: int) -> int:
        """Count the matches from the start of `first_year` up to and with `local`."""
        years = range(first_year, local.year + 1)
        months = [(year, month) for year in years for month in sorted(self.months)]
        before = [month for month in months if month < (local.year, local.month)]
        days = sum(self._days_of(*month).bit_count() for month in before)
        if local.month not in self.months:
            return days * len(self.times)
        days_now = self._days_of(local.year, local.month)
        days += (days_now & ((1 << local.day) - 1)).bit_count()
        is_match = days_now >> local.day & 1
        today = bisect_right(self.times, local.hour * 60 + local.minute) if is_match else 0
        return days * len(self.times) + today

    def _next_day(self, year: int, month: int, day: int) -> tuple[int, int, int] | None:
        last_year = min(year + CYCLE, LAST_YEAR)
        later = self._days_of(year, month) >> (day + 1) << (day + 1)
        while not (later and month in self.months):
            month += 1
            if month > 12:
                year, month = year + 1, 1
                if year > last_year:
                    return None
            if month in self.months:
                later = self._days_of(year, month)
        return year, month, (later & -later).bit_length() - 1

    def _days_of(self, year: int, month: int) -> int:
        """Return the days of the month that match, as bits, whether or not the month does."""
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = 29 if is_leap and month == 2 else LENGTHS[month]
        key = (length, date(year, month, 1).isoweekday() % 7)
        days = self._days.get(key)
        if days is None:
            days = self._days[key] = self._compute_days(*key)
        return days

    def _compute_days(self, length: int, first_weekday: int) -> int:
        days = 0
        for day in range(1, length + 1):
            is_day = bool(self.days >> day & 1) or (self.is_last_day and day == length)
            is_weekday = self._is_weekday((first_weekday + day - 1) % 7, day, length)
            if (is_day and is_weekday) if self.needs_both else (is_day or is_weekday):
                days |= 1 << day
        return days

    def _is_weekday(self, weekday: int, day: int, length: int) -> bool:
        nth = self.nth_weekdays.get(weekday)
        if nth is None:
            return bool(self.weekdays >> weekday & 1)
        return (day + 6) // 7 in nth or ("l" in nth and day + 7 > length)


def normal(expression: str) -> str:
    """Return `expression` with one space between fields. Raise InvalidSchedule if it is wrong."""
    text = " ".join(expression.split())
    if len(text) > MAX_LENGTH:
        raise InvalidSchedule("crontab", f"A crontab has at most {MAX_LENGTH} characters.")
    return text


def fields_of(expression: str) -> list[str]:
    """
    Return the five fields of an expression, or of what a word such as @daily stands for.

    In lower case, and names are of three letters.
    """
    text = normal(expression).lower()
    if text.startswith("@") and text not in WORDS:
        known = ", ".join(WORDS)
        raise InvalidSchedule("crontab", f"Unknown word {text!r}: crontab knows {known}.")
    fields = WORDS.get(text, text).split()
    if len(fields) != len(FIELDS):
        raise InvalidSchedule(
            "crontab",
            f"A crontab has five fields (minute, hour, day of the month, month, day of the week), "
            f"{expression!r} has {len(fields)}.",
        )
    return [with_short_names(index, text) for index, text in enumerate(fields)]


def with_short_names(index: int, text: str) -> str:
    """Return a field in which Celery's `Monday` is cron's `mon`, and `january` is `jan`."""
    names = FULL_NAMES.get(index, ())
    return re.sub(
        "[A-Za-z]{4,}",
        lambda name: name[0].lower()[:3] if name[0].lower() in names else name[0],
        text,
    )


@lru_cache(maxsize=4096)
def parse(expression: str, needs_both: bool = False) -> Expression:
    """
    Read an expression. Raise InvalidSchedule if it is wrong or never matches a date.

    `needs_both`: a day must match the day of the month and the day of the week, as in Celery. Else
    one of them is enough, unless one of them begins with `*`, as in cron.
    """
    fields = fields_of(expression)
    values = [_values(index, text) for index, text in enumerate(fields)]
    times = sorted(hour * 60 + minute for hour in values[HOUR] for minute in values[MINUTE])
    parsed = Expression(
        times=array("H", times),
        months=frozenset(values[MONTH]),
        days=sum(1 << day for day in values[DAY]),
        is_last_day="l" in fields[DAY].split(","),
        weekdays=sum(1 << weekday for weekday in values[WEEKDAY]),
        nth_weekdays=_nth_weekdays(fields[WEEKDAY]),
        needs_both=needs_both or is_open(fields[DAY]) or is_open(fields[WEEKDAY]),
        is_fixed=not (is_open(fields[MINUTE]) or is_open(fields[HOUR])),
    )
    if parsed.next_after(datetime(2000, 1, 1)) is None:  # noqa: DTZ001 - any date will do
        raise InvalidSchedule("crontab", f"{expression!r} never happens: there is no such date.")
    return parsed


def is_open(text: str) -> bool:
    """Tell whether a field leaves its unit open: it begins with `*`, or is `?`."""
    return text.startswith(("*", "?"))


def numbers(index: int, text: str) -> set[int]:
    """Return the values of one field, as fields_of() gives it. Raise InvalidSchedule."""
    return _values(index, text)


def _values(index: int, text: str) -> set[int]:
    """Return the values that a field lists; without those of L in the day of the month."""
    low, high = LIMITS[index][0], LAST_STEP[index]
    if text == "*":
        return set(range(low, high + 1))
    terms = [_rewritten(index, term, text) for term in text.split(",")]
    fields = ["*"] * len(FIELDS)
    fields[index] = ",".join(terms)
    try:
        expanded, _ = croniter.expand(" ".join(fields))
    except CroniterError as exception:
        raise _wrong(index, text) from exception
    if expanded[index] == ["*"]:
        return set(range(low, high + 1))
    return {value for value in expanded[index] if isinstance(value, int)}


def _rewritten(index: int, term: str, text: str) -> str:
    """Check one term's form and write it as every version of croniter reads it the same."""
    special = DAY_TERMS.get(index)
    if special and special.fullmatch(term):
        return term
    match = TERM.fullmatch(term)
    if match is None:
        raise _wrong(index, text)
    start, end, step = match.groups()
    if start == "*":
        if end is not None:
            raise _wrong(index, text)
        return term
    low, high = _number(index, start, text), _number(index, end or start, text)
    if step is not None:
        _check_step(index, step, text, is_wrapped=low > high)
    if end is None and step is not None:
        high = max(low, LAST_STEP[index])
        return f"{low}" if low == high else f"{low}-{high}/{step}"
    if low == high:
        return f"{low}"
    return f"{low}-{high}" + (f"/{step}" if step else "")


def _check_step(index: int, step: str, text: str, *, is_wrapped: bool) -> None:
    if int(step) == 0:
        raise _wrong(index, text)
    if is_wrapped:
        message = f"{text!r}: a range that goes over its end cannot have a step. List the values."
        raise InvalidSchedule("crontab", message)


def _number(index: int, value: str, text: str) -> int:
    low, high = LIMITS[index]
    number = int(value) if value.isdecimal() else NAMES.get((index, value), -1)
    if not low <= number <= high:
        raise _wrong(index, text)
    return number


def _nth_weekdays(text: str) -> dict[int, frozenset[int | str]]:
    """Return what croniter read of `5#3` and `L5`."""
    if "#" not in text and "l" not in text:
        return {}
    try:
        _, nth = croniter.expand(f"* * * * {text}")
    except CroniterError as exception:  # it has no mix of `1` and `5#3`
        raise _wrong(WEEKDAY, text) from exception
    return {int(weekday): frozenset(values) for weekday, values in nth.items()}


def _wrong(index: int, text: str) -> InvalidSchedule:
    low, high = LIMITS[index]
    also = {MONTH: " or jan-dec", WEEKDAY: " or sun-sat"}.get(index, "")
    message = f"{text!r} is no {FIELDS[index]}: it takes {low}-{high}{also}, *, lists, ranges"
    return InvalidSchedule("crontab", f"{message} and steps (*/5).")
