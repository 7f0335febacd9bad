"""How often Easter fell on which day, in the rows that an import has written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from .models import CalendarImport, CalendarYear

#: Easter is never earlier; any year without a meaning stands for all.
FIRST_DAY = date(2001, 3, 22)
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(35)]

BAR_WIDTH = 10
HEIGHT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of the chart, in the units of its SVG."""

    x: int
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`years`: how many rows it is made from; `most_often`: the day with the highest bar."""

    years: int
    bars: list[Bar]
    most_often: date
    most_often_count: int
    width: int = BAR_WIDTH * len(DAYS)
    height: int = HEIGHT


def chart(calendar_import: CalendarImport) -> Chart | None:
    """Return the chart of the rows that are there; None while there are none."""
    rows = calendar_import.years.count()
    return _chart(calendar_import.pk, rows) if rows else None


@lru_cache(maxsize=16)
def _chart(import_id: int, rows: int) -> Chart:
    dates = CalendarYear.objects.filter(calendar_import=import_id).values_list("easter", flat=True)
    counts = Counter((day.month, day.day) for day in dates)
    by_day = [counts[day.month, day.day] for day in DAYS]
    highest = max(by_day)
    return Chart(
        years=sum(by_day),
        bars=[bar(number, count, highest) for number, count in enumerate(by_day)],
        most_often=DAYS[by_day.index(highest)],
        most_often_count=highest,
    )


def bar(number: int, count: int, highest: int) -> Bar:
    height = round(HEIGHT * count / highest, 1)
    title = f"{DAYS[number].day} {DAYS[number]:%B}: {count}"
    return Bar(x=number * BAR_WIDTH, y=HEIGHT - height, height=height, title=title)
