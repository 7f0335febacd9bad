"""The four kinds of schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from . import cron
from .errors import InvalidSchedule
from .sun import SOLAR_EVENTS, next_event
from .timing import count_fixed, count_wildcard, next_fixed, next_wildcard
from .zones import zone_named

#: Seconds.
SHORTEST_INTERVAL = 0.1
LONGEST_INTERVAL = 100 * 366 * 86400.0
DAY_MATCHES = ("ANY", "ALL")
#: Python's calendar ends with the year 9999.
LAST_YEAR = 9990
LAST_MOMENT = datetime(LAST_YEAR, 1, 1, tzinfo=UTC)


class Spec(ABC):
    """When something is due. `kind` is one of models.ScheduleKind."""

    __slots__ = ()
    kind: ClassVar[str]

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first slot after `moment` in UTC, or None if there are no more."""

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return how many slots there are after `after` and up to `until`."""
        count = 0
        slot = self.next_after(after)
        while slot is not None and slot <= until:
            count += 1
            slot = self.next_after(slot)
        return count

    def columns(self) -> dict[str, Any]:
        """Return the values of the columns of models.Schedule that say when it is due."""
        return {
            "every": None,
            "anchor_at": None,
            "crontab": "",
            "day_match": "ANY",
            "solar_event": "",
            "latitude": None,
            "longitude": None,
            "clocked_at": None,
            "timezone": "",
        }


@dataclass(frozen=True, slots=True)
class Interval(Spec):
    """
    Every so many seconds, counted from `anchor_at`, whatever clocks are set to.

    Slots are whole multiples of `every` away from it. Without one (a schedule that was not saved
    yet), the first is `every` seconds after the moment that `next_after` is asked for.
    """

    every: float
    anchor_at: datetime | None = None
    kind: ClassVar[str] = "INTERVAL"

    def __post_init__(self) -> None:
        _check_number("every", self.every, SHORTEST_INTERVAL, LONGEST_INTERVAL, "seconds")
        if self.anchor_at is not None:
            _check_aware("anchor_at", self.anchor_at)

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=self.every)

    def next_after(self, moment: datetime) -> datetime | None:
        moment = moment.astimezone(UTC)
        anchor = self.start(moment)
        distance = ((moment - anchor) // self.step + 1) * self.step
        return anchor + distance if distance < LAST_MOMENT - anchor else None

    def count_between(self, after: datetime, until: datetime) -> int:
        anchor = self.start(after.astimezone(UTC))
        first = (after.astimezone(UTC) - anchor) // self.step
        return max((until.astimezone(UTC) - anchor) // self.step - first, 0)

    def start(self, moment: datetime) -> datetime:
        """Return what slots are counted from: the anchor, or `moment` if there is none yet."""
        return moment if self.anchor_at is None else self.anchor_at.astimezone(UTC)

    def columns(self) -> dict[str, Any]:
        return {**Spec.columns(self), "every": float(self.every), "anchor_at": self.anchor_at}


@dataclass(frozen=True, slots=True)
class Crontab(Spec):
    """
    At the times that five fields, or a word such as @daily, match in a time zone.

    `day_match`: ANY or ALL of the day of the month and that of the week, when both are given.
    `timezone`: an IANA name; blank is settings.TIME_ZONE.
    """

    expression: str
    day_match: str = "ANY"
    timezone: str = ""
    kind: ClassVar[str] = "CRONTAB"

    def __post_init__(self) -> None:
        if self.day_match not in DAY_MATCHES:
            raise InvalidSchedule("day_match", f"{self.day_match!r} is not one of ANY and ALL.")
        _check_zone(self.timezone)
        self._parsed()

    def next_after(self, moment: datetime) -> datetime | None:
        moment = moment.astimezone(UTC)
        if moment.year >= LAST_YEAR:
            return None
        expression = self._parsed()
        search = next_fixed if expression.is_fixed else next_wildcard
        return search(expression, moment, zone_named(self.timezone))

    def count_between(self, after: datetime, until: datetime) -> int:
        after, until = after.astimezone(UTC), until.astimezone(UTC)
        if after >= until:
            return 0
        expression = self._parsed()
        count = count_fixed if expression.is_fixed else count_wildcard
        return count(expression, after, until, zone_named(self.timezone))

    def columns(self) -> dict[str, Any]:
        return {
            **Spec.columns(self),
            "crontab": cron.normal(self.expression),
            "day_match": self.day_match,
            "timezone": self.timezone,
        }

    def _parsed(self) -> cron.Expression:
        return cron.parse(self.expression, self.day_match == "ALL")


@dataclass(frozen=True, slots=True)
class Solar(Spec):
    """
    At an event of the sun (see SOLAR_EVENTS) at a place, in degrees north and east.

    `timezone` is the one that its times are shown in; the sun does not ask for it.
    """

    event: str
    latitude: float
    longitude: float
    timezone: str = ""
    kind: ClassVar[str] = "SOLAR"

    def __post_init__(self) -> None:
        if self.event not in SOLAR_EVENTS:
            known = ", ".join(SOLAR_EVENTS)
            raise InvalidSchedule("solar_event", f"{self.event!r} is not one of {known}.")
        _check_number("latitude", self.latitude, -90, 90, "degrees")
        _check_number("longitude", self.longitude, -180, 180, "degrees")
        _check_zone(self.timezone)

    def next_after(self, moment: datetime) -> datetime | None:
        moment = moment.astimezone(UTC)
        if moment.year >= LAST_YEAR:
            return None
        return next_event(self.event, self.latitude, self.longitude, moment)

    def columns(self) -> dict[str, Any]:
        return {
            **Spec.columns(self),
            "solar_event": self.event,
            "latitude": float(self.latitude),
            "longitude": float(self.longitude),
            "timezone": self.timezone,
        }


@dataclass(frozen=True, slots=True)
class Clocked(Spec):
    """Once, at `at`."""

    at: datetime
    kind: ClassVar[str] = "CLOCKED"

    def __post_init__(self) -> None:
        _check_aware("clocked_at", self.at)

    def next_after(self, moment: datetime) -> datetime | None:
        return self.at.astimezone(UTC) if self.at > moment else None

    def columns(self) -> dict[str, Any]:
        return {**Spec.columns(self), "clocked_at": self.at}


def spec_of(row: Any) -> Spec:
    """
    Return the spec of a row of models.Schedule, or of anything with its columns.

    Raise InvalidSchedule if the columns of its kind are wrong.
    """
    if row.kind == Interval.kind:
        return Interval(row.every, row.anchor_at)
    if row.kind == Crontab.kind:
        return Crontab(row.crontab, row.day_match, row.timezone)
    if row.kind == Solar.kind:
        return Solar(row.solar_event, row.latitude, row.longitude, row.timezone)
    if row.kind == Clocked.kind:
        return Clocked(row.clocked_at)
    raise InvalidSchedule("kind", f"{row.kind!r} is not INTERVAL, CRONTAB, SOLAR or CLOCKED.")


def _check_number(column: str, value: Any, low: float, high: float, unit: str) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and low <= value <= high):
        message = f"{value!r} is not a number of {unit} from {low:g} to {high:g}."
        raise InvalidSchedule(column, message)


def _check_aware(column: str, value: Any) -> None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidSchedule(column, f"{value!r} is not a datetime with a time zone.")


def _check_zone(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidSchedule("timezone", f"{name!r} is not the IANA name of a time zone.")
    if name:
        zone_named(name)
