"""
Joins: counting the ends of steps, and deciding what becomes of the steps that wait for them.

A join's row is locked while it counts, in the transaction that ends the step. So exactly one end
is the last, and what it releases is committed with it: nothing is released twice, or forgotten
when a process dies. Steps end by the batch, and a join counts all of a batch at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import Count, Exists, OuterRef, Q

from ...models import TaskRecord, WorkflowEdge, WorkflowJoin, WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind, JoinState
from ...statuses import Status
from .. import dialects
from ..dialects import DatabaseNow
from ..locking import CHUNK, lock_all, lock_available
from ..values import Change, Counted

#: How often in one transaction what is cancelled may cancel more.
WAVES = 8

#: Of steps: what they wait for, if they do, has released them.
IS_FREE = Q(waits_for__isnull=True) | Q(
    waits_for__state__in=(JoinState.RELEASING, JoinState.RELEASED)
)

#: Of steps: what they wait for is that others end, not that they succeed.
WAITS_FOR_ENDS = Q(waits_for__kind__in=(JoinKind.ALWAYS, JoinKind.FAILURE))

_CARRIED_OUT = {
    JoinState.RELEASING: JoinState.RELEASED,
    JoinState.CANCELLING: JoinState.CANCELLED,
    JoinState.SKIPPING: JoinState.SKIPPED,
}


class How(Enum):
    """How a step ended, for those that wait for it. SKIPPED: it had nothing to do."""

    WELL = "well"
    BADLY = "badly"
    SKIPPED = "skipped"


class Ended(NamedTuple):
    """How a step ended, and the step whose failure is the reason; None: its own."""

    how: How
    cause: UUID | None = None


class Waiting(NamedTuple):
    """A step that waits, with what is needed to change its row."""

    id: UUID
    claims: int
    attempts: int
    join_id: UUID
    #: Seconds between its release and its start.
    delay: float


class Cancelled(NamedTuple):
    """A step that is not to run, and why."""

    step: Waiting
    reason: str
    ended: Ended


@dataclass(slots=True)
class Outcome:
    """What joins decided of steps whose rows are locked now."""

    released: list[Change] = field(default_factory=list)
    cancelled: list[Cancelled] = field(default_factory=list)


def count(
    database: str, ended: Mapping[UUID, Ended], *, carries_out: bool = True, waits: bool = True
) -> Outcome:
    """
    Count the ends of steps; return what is to become of those that waited for the last ones.

    `carries_out` off: only decide, and leave it to keepers. `waits` off: raise if somebody else
    has a join locked, see lock_all().
    """
    edges = WorkflowEdge.objects.using(database).filter(step_id__in=ended)
    ends: dict[UUID, list[UUID]] = {}
    for step_id, join_id in edges.order_by().values_list("step_id", "join_id"):
        ends.setdefault(join_id, []).append(step_id)
    found = _locked(database, Q(pk__in=ends, state=JoinState.OPEN), waits=waits)
    for join in found:
        _count(join, ends[join.pk], ended)
    decided = [join for join in found if join.state != JoinState.OPEN]
    outcome = _carry_out(database, decided) if carries_out else Outcome()
    _save(database, found)
    _finish(database, [join for join in decided if join.kind == JoinKind.END])
    return outcome


def decided(database: str) -> Outcome | None:
    """Return a chunk of what joins have decided and is not carried out. None: there is none."""
    rows = WorkflowJoin.objects.using(database).filter(state__in=_CARRIED_OUT).order_by("state")
    found = list(lock_available(database, rows)[:_DECIDED])
    if not found:
        return None
    outcome = _carry_out(database, found)
    _save(database, found)
    return outcome


#: Joins that a keeper carries out in one transaction.
_DECIDED = 50


def _locked(database: str, which: Q, *, waits: bool = True) -> list[WorkflowJoin]:
    rows = WorkflowJoin.objects.using(database).filter(which)
    return list(lock_all(database, rows.order_by("pk"), waits=waits))


def _count(join: WorkflowJoin, steps: Sequence[UUID], ended: Mapping[UUID, Ended]) -> None:
    if join.kind == JoinKind.SUCCESS and any(ended[step].how is How.SKIPPED for step in steps):
        join.state = JoinState.SKIPPING  # a part of a callback that had nothing to do
        return
    bad = [ended[step].cause or step for step in steps if ended[step].how is How.BADLY]
    join.done += len(steps) - len(bad)
    join.failed += len(bad)
    if bad and join.failed_step is None:
        join.failed_step = min(bad)
    join.state = _decision(join)


def _decision(join: WorkflowJoin) -> JoinState:
    has_all = join.done + join.failed >= join.needed
    if join.kind == JoinKind.FAILURE:
        if join.failed:
            return JoinState.RELEASING
        return JoinState.SKIPPING if has_all else JoinState.OPEN
    if not has_all:
        return JoinState.OPEN
    if join.kind == JoinKind.END:
        return JoinState.RELEASED
    is_good = join.kind == JoinKind.ALWAYS or join.allow_failures < 0
    if is_good or join.failed <= join.allow_failures:
        return JoinState.RELEASING
    return JoinState.CANCELLING


def _carry_out(database: str, found: Sequence[WorkflowJoin]) -> Outcome:
    """Lock the steps that wait at these joins; say what is to become of them."""
    joins = {join.pk: join for join in found if join.state in _CARRIED_OUT}
    outcome = Outcome()
    if not joins:
        return outcome
    waiting, left = _waiting(database, joins)
    reasons = _reasons(database, joins.values())
    for step in waiting:
        join = joins[step.join_id]
        if join.state == JoinState.RELEASING:
            status = Status.SCHEDULED if step.delay > 0 else Status.READY
            outcome.released.append(Change(step.id, step.claims, status, max(step.delay, 0.0)))
        elif join.state == JoinState.CANCELLING:
            ended = Ended(How.BADLY, join.failed_step)
            outcome.cancelled.append(Cancelled(step, reasons[join.pk], ended))
        else:
            outcome.cancelled.append(Cancelled(step, _NOTHING_FAILED, Ended(How.SKIPPED)))
    for join in joins.values():
        if join.pk not in left:
            join.state = _CARRIED_OUT[JoinState(join.state)]
    return outcome


_NOTHING_FAILED = "Nothing failed that this step is for."


def _waiting(database: str, joins: Iterable[UUID]) -> tuple[list[Waiting], set[UUID]]:
    """
    Lock a chunk of the steps that wait at these joins.

    Return them, and the joins of others: beyond the chunk, or locked by somebody.
    """
    rows = WorkflowStep.objects.using(database).filter(
        waits_for__in=list(joins), task__status=Status.WAITING
    )
    found = list(
        rows.order_by("pk").values_list("pk", "waits_for", "delay", "task__run_after")[: CHUNK + 1]
    )
    tasks = TaskRecord.objects.using(database).filter(
        pk__in=[row[0] for row in found[:CHUNK]], status=Status.WAITING
    )
    locked = {
        pk: (claims, tries)
        for pk, claims, tries in lock_available(
            database, tasks.order_by("pk"), no_key=True
        ).values_list("pk", "claims", "attempts")
    }
    now = _now(database, found)
    waiting = [
        Waiting(pk, *locked[pk], join_id, _delay(delay, run_after, now))
        for pk, join_id, delay, run_after in found
        if pk in locked
    ]
    if len(found) > CHUNK:  # of any of them, there may be more beyond
        return waiting, set(joins)
    return waiting, {join_id for pk, join_id, _, _ in found if pk not in locked}


def _now(
    database: str, found: Sequence[tuple[UUID, UUID, float | None, datetime | None]]
) -> datetime | None:
    """Return the database's time, if it is needed."""
    if all(run_after is None for _, _, _, run_after in found):
        return None
    connection = connections[database]
    return dialects.dialect_for(connection).clock(connection)


def _delay(delay: float | None, run_after: datetime | None, now: datetime | None) -> float:
    if delay is not None:
        return delay
    if run_after is None or now is None:
        return 0.0
    return (run_after - now).total_seconds()


def _reasons(database: str, joins: Iterable[WorkflowJoin]) -> dict[UUID, str]:
    """Return why the steps at joins that cancel do not run."""
    failed = {join.pk: join.failed_step for join in joins if join.state == JoinState.CANCELLING}
    if not failed:
        return {}
    steps = WorkflowStep.objects.using(database).filter(pk__in=set(failed.values()))
    names: dict[UUID | None, str] = dict(steps.values_list("pk", "name"))
    return {
        pk: f"Step {names.get(step, str(step))!r}, which it needs, did not succeed."
        for pk, step in failed.items()
    }


def _save(database: str, joins: Sequence[WorkflowJoin]) -> None:
    if joins:
        connection = connections[database]
        counted = [Counted(j.pk, j.done, j.failed, j.state, j.failed_step) for j in joins]
        dialects.dialect_for(connection).count_ends(connection, counted)


def _finish(database: str, ends: Sequence[WorkflowJoin]) -> None:
    """End the workflows of which everything has ended: badly if a required step did."""
    ids = [join.workflow_id for join in ends]
    if not ids:
        return
    rows = WorkflowRecord.objects.using(database).filter(status=Status.RUNNING)
    succeeded = TaskRecord.objects.filter(pk=OuterRef("pk"), status=Status.SUCCESSFUL)
    required = WorkflowStep.objects.using(database).filter(workflow__in=ids, is_required=True)
    bad = set(required.exclude(Exists(succeeded)).values_list("workflow", flat=True).distinct())
    for which, status, of_those in (
        (set(ids) - bad, Status.SUCCESSFUL, Q()),
        (bad, Status.FAILED, Q(cancelled_at__isnull=True)),
        (bad, Status.CANCELLED, Q(cancelled_at__isnull=False)),
    ):
        if which:
            rows.filter(of_those, pk__in=which).update(status=status, finished_at=DatabaseNow())


def reopen(database: str, task_ids: Iterable[UUID]) -> None:
    """
    Take the ends of failed and cancelled steps back, which are to run again.

    What they had cancelled waits again, and so does what they had released and was cancelled before
    it ran. What was released otherwise goes on as it is.
    """
    wave = list(task_ids)
    while wave:
        edges = WorkflowEdge.objects.using(database).filter(step_id__in=wave)
        ends = set(edges.order_by().values_list("join_id", flat=True))
        locked = _locked(database, Q(pk__in=ends) & _MAY_TAKE_BACK)
        started = _with_started(database, [join.pk for join in locked if _has_released(join)])
        found = [join for join in locked if join.pk not in started]
        _recount(database, found)
        _save(database, found)
        _reopen_workflows(database, [join for join in found if join.kind == JoinKind.END])
        wave = _wait_again(database, [join.pk for join in found])


_MAY_TAKE_BACK = (
    Q(state__in=(JoinState.OPEN, JoinState.CANCELLING, JoinState.CANCELLED))
    | Q(kind__in=(JoinKind.ALWAYS, JoinKind.FAILURE), state=JoinState.RELEASED)
    | Q(kind=JoinKind.END)
)


def _has_released(join: WorkflowJoin) -> bool:
    return join.kind != JoinKind.END and join.state == JoinState.RELEASED


def _with_started(database: str, joins: Sequence[UUID]) -> set[UUID]:
    """Return those of these joins of which a step was not cancelled before it ran."""
    if not joins:
        return set()
    steps = WorkflowStep.objects.using(database).filter(waits_for__in=joins)
    others = steps.exclude(task__status=Status.CANCELLED, task__claims=0)
    return set(others.values_list("waits_for", flat=True))


def _recount(database: str, joins: Sequence[WorkflowJoin]) -> None:
    """Count anew what has ended, and open these joins again."""
    edges = WorkflowEdge.objects.using(database).filter(join__in=[join.pk for join in joins])
    good = dict(
        edges.filter(step__task__status=Status.SUCCESSFUL)
        .order_by()
        .values("join_id")
        .annotate(number=Count("id"))
        .values_list("join_id", "number")
    )
    bad: dict[UUID, list[UUID]] = {}
    failed = edges.filter(step__task__status__in=_BAD).order_by("step_id")
    for join_id, step_id in failed.values_list("join_id", "step_id"):
        bad.setdefault(join_id, []).append(step_id)
    for join in joins:
        join.state = JoinState.OPEN
        join.done = good.get(join.pk, 0)
        failed_steps = bad.get(join.pk, [])
        join.failed = len(failed_steps)
        join.failed_step = failed_steps[0] if failed_steps else None


_BAD = (Status.FAILED, Status.CANCELLED)


def _reopen_workflows(database: str, ends: Sequence[WorkflowJoin]) -> None:
    rows = WorkflowRecord.objects.using(database)
    rows.filter(pk__in=[join.workflow_id for join in ends]).update(
        status=Status.RUNNING, finished_at=None, cancelled_at=None
    )


def _wait_again(database: str, joins: Sequence[UUID]) -> list[UUID]:
    """CANCELLED to WAITING for steps at these joins; return them."""
    if not joins:
        return []
    steps = WorkflowStep.objects.using(database).filter(
        waits_for__in=joins, task__status=Status.CANCELLED
    )
    ids = list(steps.order_by("pk").values_list("pk", flat=True))
    rows = TaskRecord.objects.using(database).filter(pk__in=ids, status=Status.CANCELLED)
    rows.update(status=Status.WAITING, finished_at=None, prune_after=None, cancel_requested=False)
    return ids
