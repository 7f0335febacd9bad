"""Write calendar.csv again: python example_project/demo/data/make_calendar.py

One row for each of the 5,000 years 1583 to 6582 of the Gregorian calendar, computed here.
"""

import calendar
import csv
from datetime import date, timedelta
from pathlib import Path

CSV_PATH = Path(__file__).with_name("calendar.csv")
YEARS = range(1583, 6583)
COLUMNS = (
    "year",
    "is_leap",
    "january_1",
    "iso_weeks",
    "friday_13ths",
    "golden_number",
    "easter",
    "orthodox_easter",
)


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (the Meeus/Jones/Butcher method)."""
    golden, century, year_of_century = year % 19, year // 100, year % 100
    moon_correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - moon_correction + 15) % 30
    weekday = (
        32 + 2 * (century % 4) + 2 * (year_of_century // 4) - epact - year_of_century % 4
    ) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def orthodox_easter(year: int) -> date:
    """Return Easter Sunday of the Julian calendar (Meeus), as a Gregorian date."""
    epact = (19 * (year % 19) + 15) % 30
    weekday = (2 * (year % 4) + 4 * (year % 7) - epact + 34) % 7
    month, day = divmod(epact + weekday + 114, 31)
    return date(year, month, day + 1) + timedelta(days=year // 100 - year // 400 - 2)


def friday_13ths(year: int) -> int:
    """Count the months whose 13th is a Friday."""
    return sum(date(year, month, 13).weekday() == calendar.FRIDAY for month in range(1, 13))


def row(year: int) -> tuple:
    """Return the facts of one year, in the order of COLUMNS."""
    return (
        year,
        int(calendar.isleap(year)),
        calendar.day_abbr[date(year, 1, 1).weekday()],
        date(year, 12, 28).isocalendar().week,
        friday_13ths(year),
        year % 19 + 1,
        easter(year).isoformat(),
        orthodox_easter(year).isoformat(),
    )


def write(path: Path = CSV_PATH) -> None:
    """Write the header and every year's row."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row(year) for year in YEARS)


if __name__ == "__main__":
    write()
