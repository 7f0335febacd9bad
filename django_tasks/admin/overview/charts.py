"""What the overview's charts show, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from ...monitoring.history import PERIODS, Period, Slot
from .. import formats
from . import drawing
from .drawing import Chart, Values

#: The periods' names, as choices.
NAMES = {
    "hour": pgettext_lazy("chart", "Hour"),
    "day": pgettext_lazy("chart", "Day"),
    "week": pgettext_lazy("chart", "Week"),
}
_FINISHED = {
    "hour": gettext_lazy("Finished per minute"),
    "day": gettext_lazy("Finished per hour"),
    "week": gettext_lazy("Finished per 6 hours"),
}
#: Series of shares of all tasks, and their classes.
_SHARES = ((0.5, "median"), (0.95, "slow"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its title, what it says in one sentence, and a name for its parts' ids."""

    name: str
    title: str
    summary: str
    chart: Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A slot in the table; all cells are text."""

    when: str
    cells: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """All of it."""

    figures: Sequence[Figure]
    headers: Sequence[str]
    #: The newest slot first.
    lines: Sequence[Line]


def period_named(name: str | None) -> Period:
    """Return a period by its name; the hour for what is none."""
    return PERIODS.get(name or "", PERIODS["hour"])


def draw(period: Period, slots: Sequence[Slot]) -> Charts:
    """Draw what finished, how long it waited, and how long it ran."""
    return Charts(
        figures=[
            _finished(period, slots),
            _durations(
                "wait",
                _("Wait for a worker"),
                [[s.wait(share) for s in slots] for share, _k in _SHARES],
                period,
                slots,
            ),
            _durations(
                "run",
                _("Run time"),
                [[s.run(share) for s in slots] for share, _k in _SHARES],
                period,
                slots,
            ),
        ],
        headers=[
            _("From"), _("Successful"), _("Failed"), _("Cancelled"), _("Wait, median"),
            _("Wait, p95"), _("Run time, median"), _("Run time, p95"),
        ],
        lines=[_table_line(period, slot) for slot in reversed(slots)],
    )  # fmt: skip


def _finished(period: Period, slots: Sequence[Slot]) -> Figure:
    successful, failed = sum(s.successful for s in slots), sum(s.failed for s in slots)
    words = {"successful": formats.count(successful), "failed": formats.count(failed)}
    return Figure(
        name="finished",
        title=str(_FINISHED[period.name]),
        summary=_("%(successful)s successful, %(failed)s failed") % words,
        chart=drawing.stacked_bars(
            [
                Values(name=_("Failed"), kind="failed", values=[s.failed for s in slots]),
                Values(
                    name=_("Successful"), kind="successful", values=[s.successful for s in slots]
                ),
            ],
            _labels(period, slots),
            [
                _("%(when)s: %(successful)s successful, %(failed)s failed")
                % {
                    "when": _when(period, slot.starts_at),
                    "successful": formats.count(slot.successful),
                    "failed": formats.count(slot.failed),
                }
                for slot in slots
            ],
            formats.short_count,
        ),
    )


def _durations(
    name: str,
    title: str,
    shares: Sequence[Sequence[float | None]],
    period: Period,
    slots: Sequence[Slot],
) -> Figure:
    names = (_("Median"), _("p95"))
    slowest = [max(filter(None, values), default=None) for values in shares]
    summary = _("No task ran.")
    if slowest[0] is not None:
        summary = _("Median up to %(median)s, p95 up to %(slow)s") % {
            "median": formats.duration(slowest[0]),
            "slow": formats.duration(slowest[1]),
        }
    return Figure(
        name=name,
        title=title,
        summary=summary,
        chart=drawing.duration_lines(
            [
                Values(name=names[n], kind=kind, values=shares[n])
                for n, (_share, kind) in enumerate(_SHARES)
            ],
            _labels(period, slots),
            [
                _("%(when)s: median %(median)s, p95 %(slow)s")
                % {
                    "when": _when(period, slot.starts_at),
                    "median": formats.duration(shares[0][n]),
                    "slow": formats.duration(shares[1][n]),
                }
                for n, slot in enumerate(slots)
            ],
            formats.short_duration,
        ),
    )


def _table_line(period: Period, slot: Slot) -> Line:
    counts = (slot.successful, slot.failed, slot.cancelled)
    durations = (slot.wait(0.5), slot.wait(0.95), slot.run(0.5), slot.run(0.95))
    return Line(
        when=_when(period, slot.starts_at),
        cells=[*map(formats.count, counts), *map(formats.duration, durations)],
    )


def _labels(period: Period, slots: Sequence[Slot]) -> list[str]:
    if period.name == "week":
        return [date_format(_local(slot.starts_at), "D") for slot in slots]
    return [f"{_local(slot.starts_at):%H:%M}" for slot in slots]


def _when(period: Period, moment: datetime) -> str:
    local = _local(moment)
    return f"{local:%H:%M}" if period.name == "hour" else f"{date_format(local, 'D')} {local:%H:%M}"


def _local(moment: datetime) -> Any:
    return localtime(moment) if is_aware(moment) else moment
