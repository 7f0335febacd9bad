"""The next runs of a schedule, saved or not, in its own time zone and in the reader's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...definitions import registry
from ...definitions.signatures import checker_of
from ...models import Schedule
from ...schedules import InvalidSchedule, OffsetChange, offset_changes, spec_of, words
from ...schedules.zones import zone_named
from ...store.schedules import edits as store
from .. import formats

#: Runs that a preview shows.
SHOWN = 10
#: Changes of the clocks that it names: ten runs of a yearly schedule see twenty.
CHANGES_SHOWN = 3
TEMPLATE = "admin/django_tasks/schedule/preview.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of a preview: the same moment in each time zone shown, and how far it is."""

    times: Sequence[str]
    distance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a schedule will do. `errors` say why nobody can tell."""

    words: str = ""
    zones: Sequence[str] = ()
    runs: Sequence[Run] = ()
    #: Changes of the clocks between now and the last of the runs.
    clock_changes: Sequence[str] = ()
    signature: str = ""
    errors: Sequence[str] = ()

    def render(self) -> str:
        """Return it as markup."""
        return render_to_string(TEMPLATE, {"preview": self})


def preview_of(row: Schedule, now: datetime) -> Preview:
    """Return what `row` will do after `now`."""
    try:
        spec = spec_of(row)
        zone = zone_named(row.timezone)
        slots = store.next_slots(row, SHOWN, after=now)
    except (InvalidSchedule, ValidationError) as error:
        return Preview(errors=_messages(error), signature=signature_of(row.task_path))
    zones = _zones(row.timezone or settings.TIME_ZONE, zone)
    return Preview(
        words=words(spec),
        zones=list(zones),
        runs=[_run(slot, zones.values(), now) for slot in slots],
        clock_changes=_clock_changes(row.timezone, now, slots),
        signature=signature_of(row.task_path),
    )


def words_of(row: Schedule) -> str:
    """Return when it is due in words; for a broken row what is wrong with it."""
    try:
        return words(spec_of(row))
    except InvalidSchedule as error:
        return str(error)


def signature_of(path: str) -> str:
    """Return ``name(parameters)`` of the task at `path`, "" when it is not known here."""
    task = registry.find(path)
    if task is None:
        return ""
    checker = checker_of(task.func, task.takes_context)
    return f"{checker.name}{checker.signature}"


def _zones(name: str, zone: tzinfo) -> dict[str, tzinfo]:
    """Return the schedule's time zone, UTC and the reader's by name, each once."""
    reader = timezone.get_current_timezone()
    zones = {name: zone}
    for title, other in (("UTC", UTC), (timezone.get_current_timezone_name(), reader)):
        zones.setdefault(title, other)
    return zones


def _run(slot: datetime, zones: Any, now: datetime) -> Run:
    seconds = (slot - now).total_seconds()
    distance = _("in %(duration)s") % {"duration": formats.duration(max(0.0, seconds))}
    return Run(times=[_local(slot, zone) for zone in zones], distance=distance)


def _local(moment: datetime, zone: tzinfo) -> str:
    local = moment.astimezone(zone)
    return f"{date_format(local, 'D j N Y')} {local:%H:%M:%S}"


def _clock_changes(zone_name: str, now: datetime, slots: Sequence[datetime]) -> list[str]:
    """Return the first changes of the clocks that runs shown come after."""
    if not slots:
        return []
    changes = offset_changes(zone_name, now, slots[-1])
    texts = [_clock_change(zone_name, change) for change in changes[:CHANGES_SHOWN]]
    more = len(changes) - len(texts)
    if more:
        texts.append(
            ngettext(
                "%d more change until the last run.", "%d more changes until the last run.", more
            )
            % more
        )
    return texts


def _clock_change(zone_name: str, change: OffsetChange) -> str:
    by = change.after - change.before
    texts = {
        "zone": zone_name or settings.TIME_ZONE,
        "when": _local(change.moment, zone_named(zone_name)),
        "before": _utc_offset(change.before),
        "after": _utc_offset(change.after),
        "by": formats.duration(abs(by.total_seconds())),
    }
    if by > timedelta(0):
        return (
            _("%(when)s: clocks in %(zone)s go forward %(by)s (%(before)s to %(after)s).") % texts
        )
    return _("%(when)s: clocks in %(zone)s go back %(by)s (%(before)s to %(after)s).") % texts


def _utc_offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    hours, minutes = divmod(abs(minutes), 60)
    sign = "-" if offset < timedelta(0) else "+"
    return f"UTC{sign}{hours}" + (f":{minutes:02}" if minutes else "")


def _messages(error: InvalidSchedule | ValidationError) -> list[str]:
    return list(error.messages) if isinstance(error, ValidationError) else [str(error)]
