"""Why a workflow does not go on: the answer in words, from its steps and a few questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import TaskRecord, WorkflowRecord, WorkflowStep
from ...statuses import Status
from ..diagnosis import Reason, diagnose
from ..durations import when
from .graph import Graph

#: A workflow goes on when these do; the first that there is says why it does not.
_MOVING = (Status.RUNNING, Status.READY, Status.SCHEDULED)


def reasons(
    database: str, record: WorkflowRecord, graph: Graph | None, now: datetime
) -> Sequence[Reason]:
    """
    Return at least one reason, the most important first.

    `graph`: what is known of its steps; None: they were too many to read.
    """
    statuses: Mapping[str, int] = graph.statuses if graph else {}
    firsts: Mapping[str, int] = graph.firsts if graph else {}
    decided = graph.decided if graph else 0
    failed = ""
    if Status.FAILED in firsts:
        _task_id, failed = _step_at(database, record, firsts[Status.FAILED])
    if record.finished_at is not None:
        return [_ended(record, record.finished_at, failed, now)]
    found = list(_open(record, statuses, decided, failed, now))
    moving = next((status for status in _MOVING if statuses.get(status)), None)
    if moving is not None:
        found += _of_first(database, record, moving, statuses[moving], firsts[moving], now)
    elif not decided:
        found.append(_stuck(record, statuses))
    return found


def _step_at(database: str, record: WorkflowRecord, position: int) -> tuple[UUID | None, str]:
    steps = WorkflowStep.objects.using(database).filter(workflow=record.pk, position=position)
    found = steps.values_list("pk", "name").first()
    return found if found is not None else (None, "")


def _ended(record: WorkflowRecord, ended: datetime, failed: str, now: datetime) -> Reason:
    values = {"when": when(ended, now), "step": failed}
    if record.status == Status.SUCCESSFUL:
        text = _("It is done: it succeeded on %(when)s.")
        return Reason(code="successful", sentence=text % values)
    if record.status == Status.CANCELLED:
        code, text = "cancelled", _("It was cancelled, and its last step ended on %(when)s.")
    elif failed:
        code, text = "failed", _("It failed on %(when)s: step “%(step)s” failed.")
    else:
        code, text = "failed", _("It failed on %(when)s.")
    return Reason(
        code=code,
        sentence=text % values,
        is_problem=code == "failed",
        remedy=_("Retry it from the steps that failed."),
        command=f"manage.py tasks_workflow retry {record.pk}",
    )


def _open(
    record: WorkflowRecord, statuses: Mapping[str, int], decided: int, failed: str, now: datetime
) -> Iterator[Reason]:
    """Yield what is true of it beside what moves."""
    if record.cancelled_at is not None:
        text = _("It was cancelled on %s; its running steps were told to stop.")
        yield Reason(code="stopping", sentence=text % when(record.cancelled_at, now))
    if failed:
        number = statuses.get(Status.FAILED, 0)
        text = ngettext(
            "Step “%(step)s” failed.", "%(count)d steps failed, the first is “%(step)s”.", number
        )
        sentence = text % {"count": number, "step": failed}
        yield Reason(code="step_failed", sentence=sentence, is_problem=True)
    if decided:
        text = ngettext(
            "What %d join has decided is being carried out by a worker’s keeper.",
            "What %d joins have decided is being carried out by a worker’s keeper.",
            decided,
        )
        yield Reason(code="releasing", sentence=text % decided)


def _of_first(
    database: str,
    record: WorkflowRecord,
    status: Status,
    number: int,
    position: int,
    now: datetime,
) -> Iterator[Reason]:
    """Yield how many steps move, and what is true of the first of them."""
    texts = {
        Status.RUNNING: ngettext("%d step is running.", "%d steps are running.", number),
        Status.READY: ngettext("%d step is ready to run.", "%d steps are ready to run.", number),
        Status.SCHEDULED: ngettext("%d step is scheduled.", "%d steps are scheduled.", number),
    }
    yield Reason(code=status.lower(), sentence=texts[status] % number)
    task_id, name = _step_at(database, record, position)
    if task_id is None:
        return
    task = TaskRecord.objects.using(database).filter(pk=task_id).first()
    if task is None:
        return
    for reason in diagnose(task, now=now):
        text = _("Step “%(step)s”: %(reason)s")
        yield Reason(
            code=reason.code,
            sentence=text % {"step": name, "reason": reason.sentence},
            is_problem=reason.is_problem,
            remedy=reason.remedy,
            command=reason.command,
        )


def _stuck(record: WorkflowRecord, statuses: Mapping[str, int]) -> Reason:
    waiting = statuses.get(Status.WAITING, 0)
    if sum(statuses.values()) < record.size:
        text = _("Tasks of its steps were deleted, so that it cannot end by itself.")
        code = "steps_deleted"
    else:
        text = ngettext(
            "%d step waits, and nothing that it waits for is under way.",
            "%d steps wait, and nothing that they wait for is under way.",
            waiting,
        )
        code, text = "stuck", text % waiting
    return Reason(
        code=code,
        sentence=text,
        is_problem=True,
        remedy=_("Cancel it, and enqueue it again."),
        command=f"manage.py tasks_workflow cancel {record.pk}",
    )
