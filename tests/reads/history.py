"""A table as it is after a while: much history, and beside it what goes on now."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django.db import connection

from django_tasks.ids import first_at
from django_tasks.models import (
    QueueState,
    Rollup,
    RollupMark,
    Schedule,
    ScheduleRun,
    TaskAttempt,
    TaskRecord,
    WorkerRecord,
    WorkflowEdge,
    WorkflowJoin,
    WorkflowRecord,
    WorkflowStep,
)
from django_tasks.models.rollups import EVER, Span
from django_tasks.models.workflows import JoinKind
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.values import Hook
from django_tasks.store.workers import leases
from tests.control_room.overview_rows import make_rollup, make_schedule, make_worker
from tests.tasks import add

#: Kinds of tasks that finished. They finished long ago, one a minute, all but a few.
TYPES = 200
#: Ready tasks of each queue, and scheduled ones.
MANY = 160
QUEUES = ("default", "mail", "reports")
NOW = datetime.now(UTC)
MODELS = (
    *(WorkflowEdge, WorkflowStep, WorkflowJoin, WorkflowRecord),
    *(TaskAttempt, TaskRecord, ScheduleRun, Schedule, WorkerRecord, QueueState),
    *(Rollup, RollupMark),
)

_numbers = itertools.count()


def present():
    """Store what goes on: tasks in each status, workers, a beat and schedules that are not due."""
    ids = [make_worker().pk for _ in range(3)]
    leases.register("default", leases.WorkerInfo(
        id=uuid4(), host="web-1", pid=1, backend="default", queues="", pool=leases.BEAT,
        concurrency=0, lease=600.0,
    ))  # fmt: skip
    for queue_name in QUEUES:
        _store(MANY, status=Status.READY, queue_name=queue_name)
        _store(MANY, status=Status.SCHEDULED, run_after=NOW + timedelta(days=1))
        for worker_id in ids:
            running = {"worker_id": worker_id, "process": 1, "claims": 1, "attempts": 1}
            _store(
                4, status=Status.RUNNING, last_attempted_at=NOW, queue_name=queue_name, **running
            )
    for number in range(5):
        make_schedule(f"schedule {number}", 3600)
    _workflows(3, Status.RUNNING)
    _roll_up(Span.MINUTE, 25 * 60)
    for queue_name in QUEUES:
        make_rollup(NOW, span=EVER, queue_name=queue_name)
    RollupMark.objects.update_or_create(id=1, defaults={"counted_until": NOW})


def past(count):
    """
    Store so many finished tasks more, runs of schedules, workflows, and rollups.

    A fifth of the tasks failed, and another fifth is kept for years, as its rows say.
    """
    _store(count * 3 // 5, status=Status.SUCCESSFUL, is_past=True)
    own = {"result_ttl": 1e8, "prune_after": NOW + timedelta(days=1000)}
    _store(count // 5, status=Status.SUCCESSFUL, is_past=True, **own)
    failed = _store(count // 5, status=Status.FAILED, is_past=True)
    TaskAttempt.objects.bulk_create(
        TaskAttempt(task=task, number=1, claim=1, outcome=AttemptOutcome.ERROR, finished_at=NOW)
        for task in failed
    )
    for status in (Status.SUCCESSFUL, Status.FAILED):
        _workflows(count // 10, status, is_past=True)
    schedules = itertools.cycle(Schedule.objects.all())
    slots = [NOW - timedelta(days=3, minutes=next(_numbers)) for _ in range(count // 10)]
    ScheduleRun.objects.bulk_create(
        ScheduleRun(
            schedule=next(schedules),
            slot_at=slot,
            outcome="ENQUEUED",
            task_id=uuid4(),
            created_at=slot,
        )
        for slot in slots
    )
    Rollup.objects.filter(span=Span.HOUR).delete()
    _roll_up(Span.HOUR, 8 * 24 + count // 20)


def crowd(count):
    """Store so many tasks more that are ready, and as many for tomorrow, with an expiry."""
    expiring = {"expires_at": NOW + timedelta(days=2)}
    _store(count, status=Status.READY, **expiring)
    _store(count, status=Status.SCHEDULED, run_after=NOW + timedelta(days=1), **expiring)


def _store(count, *, is_past=False, **columns):
    records = []
    for _ in range(count):
        number = next(_numbers)
        moment = NOW - timedelta(days=3, minutes=number) if is_past else NOW
        own = {"task_path": add.module_path}
        if is_past:
            own = {"task_path": f"shop.tasks.kind_{number % TYPES}", "finished_at": moment}
        records.append(TaskRecord(
            id=UUID(int=first_at(moment).int + random.getrandbits(62)),
            backend="default", args="[1,2]", kwargs="{}", enqueued_at=moment,
            **{"queue_name": QUEUES[number % 3], **own, **columns},
        ))  # fmt: skip
    return TaskRecord.objects.bulk_create(records, batch_size=1000)


def _workflows(count, status, *, is_past=False):
    """Store so many workflows of two steps, both of them in this status."""
    columns = {"worker_id": uuid4()} if status == Status.RUNNING else {}
    tasks = _store(2 * count, status=status, is_past=is_past, hooks=Hook.STEP, **columns)
    for first, second in zip(tasks[::2], tasks[1::2], strict=True):
        moment = first.enqueued_at
        workflow = WorkflowRecord.objects.create(
            id=UUID(int=first_at(moment).int + random.getrandbits(62)),
            name="a workflow", backend="default", status=status, size=2, enqueued_at=moment,
            finished_at=first.finished_at,
        )  # fmt: skip
        join = WorkflowJoin.objects.create(workflow=workflow, kind=JoinKind.SUCCESS, needed=1)
        step = WorkflowStep.objects.create(task=first, workflow=workflow, name="a", position=0)
        WorkflowStep.objects.create(
            task=second, workflow=workflow, name="b", position=1, waits_for=join
        )
        WorkflowEdge.objects.create(step=step, join=join)


def _roll_up(span, count):
    floor = NOW.replace(second=0, microsecond=0, minute=NOW.minute if span == Span.MINUTE else 0)
    Rollup.objects.bulk_create(
        Rollup(
            span=span, starts_at=floor - timedelta(seconds=span * n), backend="default",
            queue_name="default", successful=5, failed=1,
        )
        for n in range(1, count)
    )  # fmt: skip


def analyze():
    """Let the planner know."""
    tables = ", ".join(model._meta.db_table for model in MODELS)
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {tables}")
            cursor.fetchall()
        elif connection.vendor == "postgresql":
            cursor.execute(f"VACUUM ANALYZE {tables}")
        else:
            cursor.execute("ANALYZE")


def forget():
    """Delete all of it."""
    for model in MODELS:
        model.objects.all()._raw_delete("default")
