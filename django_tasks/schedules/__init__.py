"""
When a periodic task is due: four kinds of schedule, as values.

Nothing in this package reads the database or a clock, and importing it needs no settings, so that
task modules may: `@task(schedule=crontab("0 7 * * *"))`.
"""

from .celery import from_celery
from .errors import InvalidSchedule, MissingLibrary
from .slots import newest_slots
from .specs import Clocked, Crontab, Interval, Solar, Spec, spec_of
from .spelling import clocked, crontab, every, solar
from .sun import SOLAR_EVENTS
from .wording import words
from .zones import OffsetChange, offset_changes

__all__ = [
    "SOLAR_EVENTS",
    "Clocked",
    "Crontab",
    "Interval",
    "InvalidSchedule",
    "MissingLibrary",
    "OffsetChange",
    "Solar",
    "Spec",
    "clocked",
    "crontab",
    "every",
    "from_celery",
    "newest_slots",
    "offset_changes",
    "solar",
    "spec_of",
    "words",
]
