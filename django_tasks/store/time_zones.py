"""What the project's settings must say for moments to be the same in Django and the database."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import connections

#: Names of UTC, without their region. Zones that have merely been at its offset for long are
#: others.
_UTC = ("UTC", "UCT", "GMT", "GMT0", "GMT+0", "GMT-0", "Greenwich", "Universal", "Zulu")


class Fault(NamedTuple):
    """What is wrong, and what to do about it."""

    text: str
    fix: str


def fault_of(database: str) -> Fault | None:
    """
    Return why moments in the tables of `database` would be others than meant; None if none are.

    Due times, leases and slots are compared with the database's clock. A local time cannot be:
    it is hours off, and in the night when clocks go back the same one passes twice.
    """
    if not settings.USE_TZ:
        return Fault(
            "USE_TZ is False: moments are stored as local times, which come twice when clocks go"
            " back, and the database's clock knows nothing of them.",
            "Set USE_TZ = True.",
        )
    connection = connections[database]
    zone = connection.settings_dict.get("TIME_ZONE")
    if zone is None or connection.features.supports_timezones or _is_utc(zone):
        return None
    return Fault(
        f"DATABASES[{database!r}]['TIME_ZONE'] is {zone!r}, and only PostgreSQL stores moments"
        " with their zone: due times, expiry, leases and schedules are compared with the"
        " database's clock in UTC, and would be off by hours.",
        "Remove TIME_ZONE there (settings.TIME_ZONE, in which moments are shown, may be any), or"
        " name a database of its own for tasks: OPTIONS['database'] in TASKS.",
    )


def _is_utc(zone: str) -> bool:
    return zone.rpartition("/")[2] in _UTC
