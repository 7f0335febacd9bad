"""When the sun rises, sets and passes, by the formulas of astral (the extra `solar`)."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import cache
from types import ModuleType
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from .errors import MissingLibrary

#: Name to what it is called.
SOLAR_EVENTS = {
    "dawn_astronomical": _("Astronomical dawn"),
    "dawn_nautical": _("Nautical dawn"),
    "dawn": _("Dawn"),
    "sunrise": _("Sunrise"),
    "noon": _("Noon of the sun"),
    "sunset": _("Sunset"),
    "dusk": _("Dusk"),
    "dusk_nautical": _("Nautical dusk"),
    "dusk_astronomical": _("Astronomical dusk"),
}


class Crossing(NamedTuple):
    """The sun's centre passes so many degrees below the horizon."""

    depression: float
    is_rising: bool


#: Degrees. The sun rises when its upper edge does.
RADIUS = 32.0 / 60 / 2
CROSSINGS = {
    "dawn_astronomical": Crossing(18.0, is_rising=True),
    "dawn_nautical": Crossing(12.0, is_rising=True),
    "dawn": Crossing(6.0, is_rising=True),
    "sunrise": Crossing(RADIUS, is_rising=True),
    "sunset": Crossing(RADIUS, is_rising=False),
    "dusk": Crossing(6.0, is_rising=False),
    "dusk_nautical": Crossing(12.0, is_rising=False),
    "dusk_astronomical": Crossing(18.0, is_rising=False),
}
#: Days to look ahead: near the poles an event can be missing for most of a year.
SEARCH_DAYS = 800
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
#: The formulas do not work nearer to a pole.
HIGHEST_LATITUDE = 89.8


def next_event(event: str, latitude: float, longitude: float, after: datetime) -> datetime | None:
    """
    Return the first instant after `after` of one of SOLAR_EVENTS, in whole seconds.

    Days that do not have it, near the poles, are passed over. None if no day in two years has it.
    Raise MissingLibrary if astral is not installed.
    """
    noon = _midday(longitude, after) - 2 * DAY
    for _day in range(SEARCH_DAYS):
        noon += DAY
        moment = _event(event, latitude, noon)
        if moment is not None and moment > after:
            return moment
    return None


def _midday(longitude: float, moment: datetime) -> datetime:
    """Return about noon, by the sun, of the day that `moment` is in."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + DAY / 2 - longitude * 4 * MINUTE


def _event(event: str, latitude: float, noon: datetime) -> datetime | None:
    """Return when an event happens on the day around `noon`, or None if it does not."""
    crossing = CROSSINGS.get(event)
    moment = noon
    for _round in range(4):  # each starts from where the sun is at the last one's answer
        minutes = _minutes_from_noon(crossing, latitude, moment)
        if minutes is None:
            return None
        moment = noon + minutes * MINUTE
    return moment.replace(microsecond=0)


def _minutes_from_noon(
    crossing: Crossing | None, latitude: float, sun_at: datetime
) -> float | None:
    """Return when the sun crosses, by its place at `sun_at`; None: not all day."""
    astral, sun, julian = _astral()
    century = julian.julianday_to_juliancentury(julian.julianday(sun_at))
    minutes: float = -sun.eq_of_time(century)
    if crossing is None:
        return minutes
    zenith = 90.0 + crossing.depression
    try:
        angle = sun.hour_angle(
            max(-HIGHEST_LATITUDE, min(HIGHEST_LATITUDE, latitude)),
            sun.sun_declination(century),
            zenith + astral.refraction_at_zenith(zenith),
            astral.SunDirection.RISING if crossing.is_rising else astral.SunDirection.SETTING,
        )
    except ValueError:  # the arc cosine of more than 1
        return None
    return minutes - math.degrees(angle) * 4


@cache
def _astral() -> tuple[ModuleType, ModuleType, ModuleType]:
    """Import astral when a schedule needs it: it is an extra."""
    try:
        import astral
        import astral.julian
        import astral.sun
    except ImportError as exception:
        message = "Events of the sun need astral: pip install 'django-tasks-engine[solar]'."
        raise MissingLibrary("solar_event", message) from exception
    return astral, astral.sun, astral.julian
