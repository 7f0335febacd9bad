"""The handle of a stored workflow."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Q

from ...definitions import codecs
from ...definitions.results import TaskResult, pauses, refuse_in_a_task, refuse_in_an_event_loop
from ...exceptions import TaskFailed, TaskResultDoesNotExist, WaitTimeout
from ...models import TaskRecord, WorkflowRecord, WorkflowStep
from ...models.workflows import JoinKind, JoinState
from ...statuses import FINAL_STATUSES, Status
from ..dialects import DatabaseNow
from ..tasks import enqueue, transitions
from . import joins, references

#: Tasks that are cancelled or requeued with one question.
CHUNK = 1000


class WorkflowProgress(NamedTuple):
    """How many steps there are, and how many of them in each status."""

    total: int
    by_status: Mapping[str, int]

    @property
    def done(self) -> int:
        """How many have ended, however they did."""
        return sum(self.by_status.get(status, 0) for status in FINAL_STATUSES)

    def __str__(self) -> str:
        return f"{self.done} of {self.total}"


class StepInfo(NamedTuple):
    """A step, its task and how that stands."""

    name: str
    task_id: str
    task_path: str
    status: Status


class WorkflowResult:
    """
    A handle of one enqueued workflow: how far it is, its results, and what can be done with it.

    It is a copy of the row, see refresh(); what asks for steps asks the database each time.
    """

    def __init__(self, database: str, record: WorkflowRecord) -> None:
        self.database = database
        self._record = record

    def __repr__(self) -> str:
        return f"<WorkflowResult {self.name!r} {self.id} {self.status}>"

    @classmethod
    def load(cls, database: str, workflow_id: str | UUID) -> WorkflowResult:
        """Return the handle of a workflow. Raise TaskResultDoesNotExist if there is none."""
        try:
            record = (
                WorkflowRecord.objects.using(database).filter(pk=UUID(str(workflow_id))).first()
            )
        except ValueError:
            record = None
        if record is None:
            raise TaskResultDoesNotExist(f"There is no workflow {workflow_id}.")
        return cls(database, record)

    # --- what is known ------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id, by which the handle can be opened again."""
        return str(self._record.pk)

    @property
    def name(self) -> str:
        """The name that its code gave it."""
        return self._record.name

    @property
    def metadata(self) -> dict[str, Any]:
        """What its code stored with it."""
        return json.loads(self._record.metadata) if self._record.metadata else {}

    @property
    def status(self) -> Status:
        """RUNNING until all steps have ended; then SUCCESSFUL, FAILED or CANCELLED."""
        return Status(self._record.status)

    @property
    def is_finished(self) -> bool:
        """Whether all steps have ended."""
        return self.status in FINAL_STATUSES

    @property
    def enqueued_at(self) -> datetime:
        """When it was enqueued."""
        return self._record.enqueued_at

    @property
    def finished_at(self) -> datetime | None:
        """When its last step ended; None before."""
        return self._record.finished_at

    def refresh(self) -> None:
        """Read the row again. Raise TaskResultDoesNotExist if it was deleted."""
        self._record = self.load(self.database, self.id)._record

    @property
    def progress(self) -> WorkflowProgress:
        """How many steps are in which status."""
        found = Counter(self._tasks().order_by().values_list("status", flat=True))
        return WorkflowProgress(self._record.size, found)

    def steps(self) -> Iterator[StepInfo]:
        """Yield the steps in their order."""
        rows = self._steps().order_by("position").values_list("position", "name", "pk")
        chunk = list(rows[:CHUNK])
        while chunk:
            ids = [pk for _, _, pk in chunk]
            tasks = TaskRecord.objects.using(self.database).filter(pk__in=ids)
            found = {pk: row for pk, *row in tasks.values_list("pk", "task_path", "status")}
            for _, name, pk in chunk:
                path, status = found.get(pk, ("", Status.CANCELLED))  # it was deleted
                yield StepInfo(name, str(pk), path, Status(status))
            chunk = list(rows.filter(position__gt=chunk[-1][0])[:CHUNK])

    def step(self, name: str) -> TaskResult[Any]:
        """Return the result of a step. Raise KeyError with the names if there is no such step."""
        pk = self._steps().filter(name=name).values_list("pk", flat=True).first()
        if pk is None:
            names = ", ".join(repr(step.name) for step in islice(self.steps(), 10))
            raise KeyError(f"Workflow {self.name!r} has no step {name!r}. It has {names}.")
        result = enqueue.load(self.database, pk)
        if result is None:
            raise TaskResultDoesNotExist(f"The task of step {name!r} was deleted.")
        return result

    def results(self) -> dict[str, Any]:
        """Return the values of the steps that have succeeded, by their names."""
        rows = self._steps().filter(task__status=Status.SUCCESSFUL).order_by("position")
        alias = self._record.backend
        return {
            name: None if text is None else codecs.read_value(alias, text)
            for name, text in rows.values_list("name", "task__return_value")
        }

    @property
    def value(self) -> Any:
        """
        The value of the whole: of a chain that of its end, of a group a list, else by step.

        Raise TaskFailed if it failed or was cancelled, ValueError if it is not finished.
        """
        if not self.is_finished:
            raise ValueError(f"Workflow {self.name!r} is not finished. Call wait() first.")
        if self.status != Status.SUCCESSFUL:
            raise self._failure()
        value = references.value_of(self.database, self._record.value or "null")
        serializer = codecs.serializer_of(self._record.backend)
        return value if serializer is None else serializer.decode(value)

    # --- waiting ------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Any:
        """
        Wait until all steps have ended and return the value of the whole.

        `timeout`: seconds; None waits for ever, 0 looks once. Raise WaitTimeout when it is over,
        TaskFailed when a step failed or the workflow was cancelled, RuntimeError inside of a task.
        """
        refuse_in_a_task()
        refuse_in_an_event_loop()
        for pause in pauses(timeout):
            self.refresh()
            if self.is_finished:
                return self.value
            time.sleep(pause)
        raise WaitTimeout(
            f"Workflow {self.name!r} ({self.id}) was not finished after {timeout:g} s:"
            f" {self.progress} steps."
        )

    async def await_(self, timeout: float | None = None) -> Any:
        """See wait()."""
        return await sync_to_async(self.wait, thread_sensitive=False)(timeout)

    # --- what can be done ---------------------------------------------------------------------

    def cancel(self) -> int:
        """
        Cancel all steps that have not ended; return how many. Running ones are told to stop.

        Steps with always=True are cancelled, too.
        """
        rows = WorkflowRecord.objects.using(self.database)
        rows.filter(pk=self._record.pk, status=Status.RUNNING).update(cancelled_at=DatabaseNow())
        open_ = self._tasks().exclude(status__in=FINAL_STATUSES)
        cancelled, told = transitions.cancel(
            self.database, list(open_.values_list("pk", flat=True))
        )
        self.refresh()
        return cancelled + told

    def retry(self) -> int:
        """
        Run the steps again that failed, or were cancelled when they could run; return how many.

        What they had cancelled waits again.
        """
        stopped = Q(task__status=Status.CANCELLED)
        again = self._steps().filter(
            Q(task__status=Status.FAILED) | stopped & joins.IS_FREE & ~joins.WAITS_FOR_ENDS
        )
        allowed = again.filter(
            edges__join__kind=JoinKind.SUCCESS, edges__join__state=JoinState.RELEASED
        )
        ids = set(again.values_list("pk", flat=True)) - set(allowed.values_list("pk", flat=True))
        if not ids:  # nothing but what waited for ends of others
            ids = set(self._steps().filter(stopped & joins.IS_FREE).values_list("pk", flat=True))
        done = transitions.requeue(self.database, ids)
        self.refresh()
        return done

    # --- rows ---------------------------------------------------------------------------------

    def _steps(self) -> Any:
        return WorkflowStep.objects.using(self.database).filter(workflow=self._record.pk)

    def _tasks(self) -> Any:
        return TaskRecord.objects.using(self.database).filter(
            workflow_step__workflow=self._record.pk
        )

    def _failure(self) -> TaskFailed:
        """Return the error that names the step that failed first."""
        verb = "was cancelled" if self.status == Status.CANCELLED else "failed"
        said = f"Workflow {self.name!r} ({self.id}) {verb}"
        failed = self._steps().filter(task__status=Status.FAILED)
        first = failed.order_by("task__finished_at").values_list("name", flat=True).first()
        if first is None:
            return TaskFailed(f"{said}.")
        errors = self.step(first).errors
        return TaskFailed(
            f"{said}: step {first!r} failed.",
            errors[-1].exception_class_path if errors else "",
            errors[-1].traceback if errors else "",
        )
