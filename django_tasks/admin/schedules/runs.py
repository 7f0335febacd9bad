"""The last runs of a schedule, with what became of their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import Schedule, ScheduleRun, TaskRecord
from ...models.schedules import RunOutcome
from .. import formats

#: Runs that the page shows, the newest first.
SHOWN = 50

_KINDS: dict[str, str] = {
    RunOutcome.ENQUEUED: "ready",
    RunOutcome.SKIPPED: "cancelled",
    RunOutcome.MISSED: "failed",
    RunOutcome.MANUAL: "running",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One line of the page."""

    slot: str
    outcome: str
    note: str
    task_id: Any
    #: None: no task was made, or it was deleted since.
    status: str | None
    took: str


def last_runs(schedule: Schedule) -> Sequence[RunLine]:
    """Return the newest runs, in two queries."""
    using = schedule._state.db
    runs = list(
        ScheduleRun.objects.using(using).filter(schedule=schedule).order_by("-slot_at")[:SHOWN]
    )
    ids = [run.task_id for run in runs if run.task_id is not None]
    light = TaskRecord.objects.using(using).only("status", "run_time")
    tasks = light.in_bulk(ids)
    return [_line(run, tasks.get(run.task_id)) for run in runs]


def _line(run: ScheduleRun, task: TaskRecord | None) -> RunLine:
    known = run.outcome in RunOutcome.values
    word = str(RunOutcome(run.outcome).label) if known else run.outcome
    return RunLine(
        slot=formats.timestamp(run.slot_at),
        outcome=formats.badge(word, _KINDS.get(run.outcome, "unknown")),
        note=_note(run),
        task_id=run.task_id,
        status=task.status if task else None,
        took=formats.duration(task.run_time) if task else formats.NOTHING,
    )


def _note(run: ScheduleRun) -> str:
    """Return how late it was, or what was left out with it."""
    if run.left_out:
        text = ngettext("and %d slot before it", "and %d slots before it", run.left_out)
        return text % run.left_out
    if run.outcome != RunOutcome.ENQUEUED:
        return ""
    late = (run.created_at - run.slot_at).total_seconds()
    return _("%s after its slot") % formats.duration(max(0.0, late))
