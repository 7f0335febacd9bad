"""The attempts of a task in the order in which they were made: what happened, and what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from ...conf import app_settings
from ...models import TaskAttempt, TaskRecord
from ...monitoring.durations import duration, when
from ...monitoring.reading import most_attempts
from ...statuses import PENDING_STATUSES, AttemptOutcome, Status
from .. import formats

#: Attempts that a page shows, the newest: a task that snoozes for days has thousands.
SHOWN = 20
#: Units of a bar's width, and the fewest that a part has which is to be seen.
WIDTH, LEAST = 1000, 6

#: Outcomes of attempts that do not count: the next one has the same number.
_GIVEN_BACK = (AttemptOutcome.LOST, AttemptOutcome.INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt. `attempt` is None for one that runs or has succeeded: they have no row."""

    number: int
    outcome: str
    attempt: TaskAttempt | None = None
    worker_id: UUID | None = None
    process: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    #: Seconds between the end of what came before, or being enqueued, and its start.
    waited: float | None = None
    #: Seconds that it ran, or runs so far.
    took: float | None = None

    @property
    def never_ran(self) -> bool:
        """Whether the task ended before a worker took it."""
        return self.attempt is not None and self.attempt.worker_id is None

    @property
    def title(self) -> str:
        if self.outcome == AttemptOutcome.LATE:
            return _("A late result")
        return _("Never started") if self.never_ran else _("Attempt %d") % self.number


def newest_attempts(record: TaskRecord) -> list[TaskAttempt]:
    """Return the newest attempts, one more than are shown, the oldest first; in one query."""
    rows = TaskAttempt.objects.using(record._state.db).filter(task_id=record.pk)
    return list(rows.order_by("-pk")[: SHOWN + 1])[::-1]


def steps_of(record: TaskRecord, rows: Sequence[TaskAttempt], now: datetime) -> list[Step]:
    """Return the steps of a task, the oldest first; `rows` as newest_attempts() returns them."""
    is_cut = len(rows) > SHOWN
    before = rows[0].finished_at if is_cut else record.enqueued_at
    steps = []
    for row in rows[1:] if is_cut else rows:
        steps.append(_of_row(row, before))
        if row.outcome != AttemptOutcome.LATE:
            before = row.finished_at
    if record.status in (Status.RUNNING, Status.SUCCESSFUL):
        steps.append(_of_record(record, before, now))
    return steps


def _of_row(row: TaskAttempt, before: datetime) -> Step:
    return Step(
        number=row.number,
        outcome=row.outcome,
        attempt=row,
        worker_id=row.worker_id,
        process=row.process,
        started_at=row.started_at,
        finished_at=row.finished_at,
        waited=_between(before, row.started_at),
        took=row.run_time,
    )


def _of_record(record: TaskRecord, before: datetime, now: datetime) -> Step:
    """Return the attempt that runs, or the one that succeeded."""
    started, took = record.last_attempted_at, record.run_time
    if record.status == Status.RUNNING:
        took = _between(started, now)
    elif took is not None and record.finished_at is not None:
        started = record.finished_at - timedelta(seconds=min(max(took, 0.0), 1e9))
    return Step(
        number=record.attempts,
        outcome=record.status,
        worker_id=record.worker_id,
        process=record.process,
        started_at=started,
        finished_at=record.finished_at,
        waited=_between(before, started),
        took=took,
    )


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else max(0.0, (end - begin).total_seconds())


# --- bars -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """How long a step waited and ran beside the longest one, in units of WIDTH."""

    wait: int
    run: int


def bars_of(steps: Sequence[Step]) -> list[Bar]:
    """Return a bar per step, all in the same scale."""
    longest = max((_seconds(s.waited) + _seconds(s.took) for s in steps), default=0.0)
    return [Bar(_width(step.waited, longest), _width(step.took, longest)) for step in steps]


def _seconds(value: float | None) -> float:
    return value if value is not None and value > 0 else 0.0


def _width(value: float | None, longest: float) -> int:
    if not longest or not _seconds(value):
        return 0
    # Both parts of the longest bar may be raised to the least: they must fit, too.
    return max(LEAST, round(_seconds(value) / longest * (WIDTH - 2 * LEAST)))


# --- words ----------------------------------------------------------------------------------------


def kind(step: Step) -> str:
    """Return the class that has the step's colour."""
    return formats.outcome_kind(step.outcome) if step.attempt else step.outcome.lower()


def badge(step: Step) -> str:
    """Return the outcome in words, on its colour."""
    if step.attempt is None:
        return formats.status_badge(step.outcome)
    return formats.outcome_badge(step.outcome)


def what_happened(step: Step) -> str:
    """Return in plain words what the badge and the traceback do not say; empty for an error."""
    match step.outcome:
        case AttemptOutcome.LOST:
            return _how_it_was_lost(step.attempt)
        case AttemptOutcome.INTERRUPTED:
            return _("The worker had to stop, and gave the task back.")
        case AttemptOutcome.TIMEOUT:
            return _("It ran for longer than its time limit.")
        case AttemptOutcome.EXPIRED:
            return _("No worker had started it when it expired.")
        case AttemptOutcome.CANCELLED if step.never_ran:
            return _("It was cancelled while it waited.")
        case AttemptOutcome.LATE:
            return _("Another worker had taken the task over: this result was refused.")
    return ""


def _how_it_was_lost(attempt: TaskAttempt | None) -> str:
    if attempt is None:
        return ""
    if attempt.signal == 9:
        return _("Its process was killed by SIGKILL, perhaps for want of memory.")
    if attempt.signal is not None:
        return _("Its process was killed by %s.") % formats.signal_name(attempt.signal)
    if attempt.exit_code is not None:
        return _("Its process ended with exit code %d.") % attempt.exit_code
    return _(
        "Its worker was not heard of any more: it was killed, cut off from the database, or its"
        " machine stopped."
    )


def what_followed(step: Step, later: Step | None, record: TaskRecord, now: datetime) -> str:
    """Return why there was another attempt and when, or why there was none."""
    match step.outcome:
        case AttemptOutcome.ERROR | AttemptOutcome.TIMEOUT:
            return _after_error(step, later, record, now)
        case AttemptOutcome.LOST:
            return _after_loss(later, record)
        case AttemptOutcome.INTERRUPTED:
            return _("It does not count as an attempt.")
    return ""


def _after_error(step: Step, later: Step | None, record: TaskRecord, now: datetime) -> str:
    if later is not None:
        if later.never_ran or later.outcome == AttemptOutcome.LATE:
            return ""
        if later.number <= step.number and later.outcome not in _GIVEN_BACK:
            return _("Somebody had it run again.")
        delay = duration(_between(step.finished_at, later.started_at))
        return _("It was tried again after %s.") % delay
    most = most_attempts(record)
    if record.status in PENDING_STATUSES:
        if record.attempts < step.number:
            return _("Somebody has it run again.")
        if record.run_after is None or record.run_after <= now:
            return _("It is tried again as soon as a worker is free.")
        return _("It is tried again on %s.") % when(record.run_after, now)
    if most == 1:
        return _("It was the only attempt that the task may have.")
    if most is not None and step.number >= most:
        return _("It was the last of the %d attempts that the task may have.") % most
    return _("After this error the task is not tried again.")


def _after_loss(later: Step | None, record: TaskRecord) -> str:
    if later is not None or record.status != Status.FAILED:
        return _("It does not count as an attempt: the task runs again.")
    if record.on_lost == "fail":
        return _("The task is not to run again after a loss.")
    text = _("The task lost its worker %(lost)d times, and fails at %(most)d: it may be the cause.")
    return text % {"lost": record.lost, "most": app_settings.MAX_LOST}
