"""When periodic tasks are due, in Celery's spelling. `django_tasks.schedules` decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..schedules import InvalidSchedule, Spec, from_celery
from ..schedules import cron as native_cron
from .utils.time import maybe_make_aware

__all__ = ["BaseSchedule", "ParseException", "crontab", "maybe_schedule", "schedstate", "schedule",
           "solar"]  # fmt: skip

ParseException = InvalidSchedule


class schedstate(NamedTuple):  # noqa: N801 - Celery's name
    """Whether a schedule is due, and the seconds until one should look again."""

    is_due: bool
    next: float


class BaseSchedule:
    """Base of the schedules. `nowfun`: returns the time now, for tests."""

    def __init__(self, nowfun: Callable[[], datetime] | None = None, app: Any = None) -> None:
        self.nowfun = nowfun
        self._app = app

    @property
    def spec(self) -> Spec:
        """The native schedule."""
        return from_celery(self, timezone=str(self.tz))

    @property
    def tz(self) -> Any:
        """The time zone of its app."""
        from ._state import app_or_default

        return app_or_default(self._app).timezone

    def now(self) -> datetime:
        """Return the time now."""
        return self.maybe_make_aware((self.nowfun or (lambda: datetime.now(UTC)))())

    def maybe_make_aware(self, moment: datetime) -> datetime:
        """Take a naive moment for one in the time zone of the app."""
        aware: datetime = maybe_make_aware(moment, self.tz)
        return aware

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is until it is due again, negative if it was due."""
        slot = self.spec.next_after(self.maybe_make_aware(last_run_at))
        return timedelta.max if slot is None else slot - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether it is due, and in how many seconds one should look again."""
        remaining = self.remaining_estimate(last_run_at).total_seconds()
        if remaining > 0:
            return schedstate(False, remaining)
        return schedstate(True, max(self.remaining_estimate(self.now()).total_seconds(), 0))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BaseSchedule) and type(other) is type(self):
            return bool(other.__reduce__() == self.__reduce__())
        return NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> Any:
        raise NotImplementedError


class schedule(BaseSchedule):  # noqa: N801 - Celery's name
    """
    Due every so often. `run_every`: seconds or a timedelta.

    `relative`: at whole multiples of it since 1970; else counted from when it is first saved.
    """

    def __init__(
        self,
        run_every: float | timedelta | None = None,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        super().__init__(nowfun, app)
        given = timedelta(0) if run_every is None else run_every
        self.run_every = given if isinstance(given, timedelta) else timedelta(seconds=given)
        self.relative = relative

    @property
    def seconds(self) -> float:
        """The seconds between two runs."""
        return max(self.run_every.total_seconds(), 0)

    @property
    def human_seconds(self) -> str:
        """The seconds in words."""
        return f"{self.seconds:g} seconds"

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is until `run_every` is over since the last run."""
        return self.maybe_make_aware(last_run_at) + self.run_every - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Tell whether it is due, and in how many seconds one should look again."""
        remaining = max(self.remaining_estimate(last_run_at).total_seconds(), 0)
        return schedstate(remaining == 0, remaining or self.seconds)

    def __reduce__(self) -> Any:
        return type(self), (self.run_every, self.relative)

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"


class crontab(BaseSchedule):  # noqa: N801 - Celery's name
    """
    Due at times of the day. Both the day of the month and that of the week must match.

    Each of the five is a number, a text such as "*/15" or "mon-fri", or several numbers.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        super().__init__(nowfun, app)
        given = {
            "minute": minute,
            "hour": hour,
            "day_of_month": day_of_month,
            "month_of_year": month_of_year,
            "day_of_week": day_of_week,
        }
        for name, value in given.items():
            value = "*" if value is None else value
            kept = value if isinstance(value, (str, int, list, tuple, set)) else list(value)
            setattr(self, f"_orig_{name}", kept)
            setattr(self, name, kept)
        spec: Any = from_celery(self)
        fields = native_cron.fields_of(spec.expression)
        for index, name in enumerate(given):
            numbers = native_cron.numbers(index, fields[index])
            setattr(self, name, {n % 7 for n in numbers} if name == "day_of_week" else numbers)

    @classmethod
    def from_string(cls, crontab: str) -> crontab:
        """Return the schedule of five fields: minute, hour, day, month, day of the week."""
        minute, hour, day_of_month, month_of_year, day_of_week = crontab.split(" ")
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def _written(self) -> tuple[Any, ...]:
        names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        return tuple(getattr(self, f"_orig_{name}") for name in names)

    def __reduce__(self) -> Any:
        return type(self), self._written()

    def __repr__(self) -> str:
        minute, hour, weekday, day, month = self._written()
        return f"<crontab: {minute} {hour} {day} {month} {weekday} (m/h/dM/MY/d)>"


class solar(BaseSchedule):  # noqa: N801 - Celery's name
    """Due at an event of the sun, as "sunset", at a latitude and a longitude in degrees."""

    def __init__(
        self,
        event: str,
        lat: float,
        lon: float,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        super().__init__(nowfun, app)
        self.event = event
        self.lat = lat
        self.lon = lon
        self.spec  # noqa: B018 - raises for an unknown event

    @property
    def tz(self) -> Any:
        """UTC: the sun does not ask for a time zone."""
        return UTC

    def __reduce__(self) -> Any:
        return type(self), (self.event, self.lat, self.lon)

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"


def maybe_schedule(s: Any, relative: bool = False, app: Any = None) -> Any:
    """Return seconds or a timedelta as a schedule, and what is a schedule as it is."""
    if isinstance(s, (int, float)):
        s = timedelta(seconds=s)
    return schedule(s, relative, app=app) if isinstance(s, timedelta) else s
