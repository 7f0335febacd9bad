"""Storing workflows: their steps, as tasks that wait, and the joins at which they do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from ... import ids
from ...conf import app_settings
from ...definitions import codecs
from ...definitions.options import LONGEST
from ...definitions.signatures import checker_of
from ...dep14.handler import task_backends
from ...exceptions import InvalidTask
from ...models import WorkflowEdge, WorkflowJoin, WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind
from ...serializers import dumps
from ...statuses import Status
from ...workflows.plan import Gather, JoinPlan, Plan, StepPlan, required_steps
from ..dialects import DatabaseNow
from ..tasks import enqueue, publishing
from ..tasks.ready import notify_ready
from ..values import Hook
from . import references
from .handle import WorkflowResult

#: Rows of one statement.
CHUNK = 1000


class _Row(NamedTuple):
    """The task of a step, about to be stored."""

    new: enqueue.NewTask
    hooks: Hook
    waits: bool
    own: tuple[UUID, str, str]


class _Prepared(NamedTuple):
    """A workflow, about to be stored."""

    database: str
    record: WorkflowRecord
    plan: Plan
    rows: Sequence[_Row]
    #: See _shared().
    shared: Mapping[int | None, Gather]


def enqueue_plan(plan: Plan, alias: str) -> WorkflowResult:
    """
    Store a workflow in the caller's transaction; return its handle at once.

    `alias`: of the backend of its steps. Raise InvalidTask or what the backend raises, with the
    name of the step, before anything is stored.
    """
    return _store(_prepare(plan, alias))


def enqueue_plan_on_commit(plan: Plan, alias: str, *, using: str) -> None:
    """
    Store a workflow when the transaction on `using` commits; at once if that is where it is stored.

    For work in another database than that of the tasks. What is wrong is raised now.
    """
    prepared = _prepare(plan, alias)
    if prepared.database == using:
        _store(prepared)
    else:
        transaction.on_commit(partial(_store, prepared), using=using)


def _prepare(plan: Plan, alias: str) -> _Prepared:
    backend: Any = task_backends[alias]
    if not getattr(backend, "stores_rows", False):
        raise InvalidTask(
            f"Workflow {plan.name!r}: the backend {backend.alias!r} stores no tasks in the"
            " database, which workflows need. Enqueue with a backend that does, or use call()."
        )
    step_ids = [ids.uuid7() for _ in plan.steps]
    shared = _shared(plan)
    record = WorkflowRecord(
        name=plan.name[:255],
        backend=backend.alias,
        status=Status.RUNNING,
        metadata=_metadata(plan),
        value=json.dumps(references.encoded(plan.value, step_ids)[0]),
        size=len(plan.steps),
        enqueued_at=datetime.now(UTC),
    )
    return _Prepared(backend.database, record, plan, _rows(plan, backend, step_ids, shared), shared)


def _store(prepared: _Prepared) -> WorkflowResult:
    with transaction.atomic(using=prepared.database, savepoint=False):
        _insert(prepared)
    return WorkflowResult(prepared.database, prepared.record)


def _metadata(plan: Plan) -> str | None:
    if not plan.metadata:
        return None
    return dumps(plan.metadata, "metadata", app_settings.MAX_ARGS_BYTES)


def _rows(
    plan: Plan, backend: Any, step_ids: Sequence[UUID], shared: Mapping[int | None, Gather]
) -> list[_Row]:
    """Return the tasks of all steps; raise before any of them is stored."""
    made: dict[int, enqueue.NewTask] = {}
    checked: set[int] = set()
    rows = []
    for step, task_id in zip(plan.steps, step_ids, strict=True):
        try:
            if id(step.task) not in made:
                made[id(step.task)] = backend.prepare(step.task)
            _check_references(plan, step, checked)
            own, has_references = _own(step, task_id, backend, step_ids, shared)
        except (TypeError, ValueError, InvalidTask) as error:
            raise type(error)(f"Step {step.name!r}: {error}") from None
        hooks = Hook.STEP | Hook.REFERENCES if has_references else Hook.STEP
        rows.append(_Row(made[id(step.task)], hooks, step.waits_for is not None, own))
    return rows


def _check_references(plan: Plan, step: StepPlan, checked: set[int]) -> None:
    """Raise ValueError if a step uses the result of another that keeps none."""
    for number in references.used((step.args, step.kwargs), checked):
        if plan.steps[number].task.ignore_result:
            raise ValueError(
                f"it uses the result of step {plan.steps[number].name!r}, but"
                f" {plan.steps[number].task.module_path} keeps no result: it has"
                " ignore_result=True."
            )


def _shared(plan: Plan) -> dict[int | None, Gather]:
    """Return the list that several steps get which wait at one join, by the join's place."""
    first: dict[int | None, Gather] = {}
    shared: dict[int | None, Gather] = {}
    for step in plan.steps:
        for value in (*step.args, *step.kwargs.values()):
            if isinstance(value, Gather):
                if first.get(step.waits_for) is value:
                    shared[step.waits_for] = value
                first.setdefault(step.waits_for, value)
    return shared


def _own(
    step: StepPlan,
    task_id: UUID,
    backend: Any,
    step_ids: Sequence[UUID],
    shared: Mapping[int | None, Gather],
) -> tuple[tuple[UUID, str, str], bool]:
    """Return the id and the arguments of a step, and whether references are among these."""
    if step.task.task_id is not None:
        raise InvalidTask("task_id is of one task; steps of workflows have ids of their own.")
    checker_of(step.task.func, step.task.takes_context).check(step.args, step.kwargs)
    its_list = shared.get(step.waits_for)
    args, has_args = references.encoded(list(step.args), step_ids, its_list)
    kwargs, has_kwargs = references.encoded(dict(step.kwargs), step_ids, its_list)
    if backend.serializer is not None:  # what is plain already, as references, it leaves as it is
        args, kwargs = codecs.encoded(backend.serializer, args, kwargs)
    limit = app_settings.MAX_ARGS_BYTES
    if has_args or has_kwargs:  # lists of results are as long as their groups
        limit = max(limit, references.MOST_BYTES)
    args_text = dumps(args, "args", limit)
    own = (task_id, args_text, dumps(kwargs, "kwargs", limit - len(args_text)))
    return own, has_args or has_kwargs


def _insert(prepared: _Prepared) -> None:
    database, record, plan, rows, shared = prepared
    record.save(using=database, force_insert=True)
    step_ids = [row.own[0] for row in rows]
    made = [_join(record, join, shared.get(n), step_ids) for n, join in enumerate(plan.joins)]
    end = _end(record, plan)
    _create(database, WorkflowJoin, [*made, end])
    _insert_tasks(database, rows)
    required = set(required_steps(plan))
    steps = [
        _step(record, step, n, row, made, is_required=n in required)
        for n, (step, row) in enumerate(zip(plan.steps, rows, strict=True))
    ]
    _create(database, WorkflowStep, steps)
    _create(database, WorkflowEdge, _edges(plan, steps, made, end))
    if not plan.steps:
        WorkflowRecord.objects.using(database).filter(pk=record.pk).update(
            status=Status.SUCCESSFUL, finished_at=DatabaseNow()
        )
        record.refresh_from_db(using=database)
        return
    ready = [row for row in rows if not row.waits]
    notify_ready(database, [row.own[0] for row in ready if row.new.run_after is None])
    if any(row.new.run_after is not None for row in ready):
        publishing.expect(database)


def _create(database: str, model: Any, rows: Sequence[Any]) -> None:
    model.objects.using(database).bulk_create(rows, batch_size=CHUNK)


def _join(
    record: WorkflowRecord, join: JoinPlan, shared: Gather | None, step_ids: Sequence[UUID]
) -> WorkflowJoin:
    return WorkflowJoin(
        workflow=record,
        kind=int(join.kind),
        needed=len(join.after),
        allow_failures=join.allow_failures,
        shared=None if shared is None else json.dumps(references.encoded(shared, step_ids)[0]),
    )


def _end(record: WorkflowRecord, plan: Plan) -> WorkflowJoin:
    return WorkflowJoin(workflow=record, kind=JoinKind.END, needed=len(plan.steps))


def _step(
    record: WorkflowRecord,
    step: StepPlan,
    position: int,
    row: _Row,
    joins: Sequence[WorkflowJoin],
    *,
    is_required: bool,
) -> WorkflowStep:
    after = step.task.run_after
    return WorkflowStep(
        task_id=row.own[0],
        workflow=record,
        name=step.name[:255],
        position=position,
        waits_for=None if step.waits_for is None else joins[step.waits_for],
        is_required=is_required,
        delay=after.total_seconds() if isinstance(after, timedelta) else None,
    )


def _edges(
    plan: Plan, steps: Sequence[WorkflowStep], joins: Sequence[WorkflowJoin], end: WorkflowJoin
) -> list[WorkflowEdge]:
    edges = [
        WorkflowEdge(step=steps[n], join=made)
        for join, made in zip(plan.joins, joins, strict=True)
        for n in join.after
    ]
    return edges + [WorkflowEdge(step=step, join=end) for step in steps]


def _insert_tasks(database: str, rows: Iterable[_Row]) -> None:
    """Insert rows that share all but their arguments by one statement."""
    alike: Mapping[tuple[int, Hook, bool], list[_Row]] = defaultdict(list)
    for row in rows:
        alike[id(row.new), row.hooks, row.waits].append(row)
    for (_, hooks, waits), group in alike.items():
        enqueue.insert_chunks(
            connections[database],
            group[0].new,
            [row.own for row in group],
            wake=False,
            # Kept as long as the workflow is: whoever prunes that deletes its steps.
            further={"result_ttl": LONGEST, "hooks": int(hooks)},
            waits=waits,
        )
