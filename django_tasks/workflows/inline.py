"""Running a plan in this process, in the order of its steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import ids, serializers
from ..definitions.context import DetachedRun, TaskContext
from ..definitions.nesting import Walk, walk
from ..definitions.results import TaskResult
from ..dep14.base import TaskResultStatus
from ..statuses import Status
from .plan import FailedRef, Gather, JoinKind, Plan, Ref, StepPlan, required_steps


def run(plan: Plan) -> Any:
    """
    Run all steps of a plan that can run, and return its value.

    Each once, without retries, time limits or run_after. Raise what the step that failed first
    raised, unless the plan allows that, when all other steps are through.
    """
    return _Run(plan).value()


class _Failure:
    """A step that raised something, itself; steps after it are cancelled with it as the reason."""

    def __init__(self, step: StepPlan, task_id: str, error: Exception) -> None:
        self.step = step
        self.task_id = task_id
        self.error = error

    def as_dict(self) -> dict[str, Any]:
        """Return what an on_failure step gets."""
        kind = type(self.error)
        return {
            "id": self.task_id,
            "name": self.step.name,
            "task": self.step.task.module_path,
            "exception": f"{kind.__module__}.{kind.__qualname__}",
            "message": str(self.error),
        }


class _Run:
    """The outcomes of the steps so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.values: dict[int, Any] = {}
        #: Of steps that failed or were cancelled: why.
        self.failures: dict[int, _Failure] = {}
        for index, step in enumerate(plan.steps):
            self._take(index, step)

    def value(self) -> Any:
        """Return the value of the whole, or raise the first failure that was not allowed."""
        failed = [self.failures[i] for i in required_steps(self.plan) if i in self.failures]
        if failed:
            raise self._first(failed).error
        return walk(self._resolved(self.plan.value, None))

    def _take(self, index: int, step: StepPlan) -> None:
        """Run a step, cancel it, or leave it, as its join says; no value and no failure: left."""
        failure = None
        if step.waits_for is not None:
            join = self.plan.joins[step.waits_for]
            failed = [self.failures[i] for i in join.after if i in self.failures]
            failure = self._first(failed) if failed else None
            if join.kind is JoinKind.FAILURE:
                if failure is None:
                    return
            elif join.kind is JoinKind.SUCCESS:
                if len(failed) > join.allow_failures >= 0:
                    assert failure is not None
                    self.failures[index] = failure
                    return
                if not all(i in self.values or i in self.failures for i in join.after):
                    return  # of an on_failure that nothing needed
        self._run(index, step, failure)

    def _run(self, index: int, step: StepPlan, failure: _Failure | None) -> None:
        task_id = str(ids.uuid7())
        args = walk(self._resolved(step.args, failure))
        kwargs = walk(self._resolved(step.kwargs, failure))
        own = (_context(step, task_id, args, kwargs),) if step.task.takes_context else ()
        try:
            value = step.task.call(*own, *args, **kwargs)
            self.values[index] = serializers.normalized(value, "the return value")
        except Exception as error:  # noqa: BLE001 - what a body raises is its outcome
            self.failures[index] = _Failure(step, task_id, error)

    def _first(self, failures: Iterable[_Failure]) -> _Failure:
        """Return the one that failed first; ids are made in the order of the runs."""
        return min(failures, key=lambda failure: failure.task_id)

    def _resolved(self, value: Any, failure: _Failure | None) -> Walk[Any]:
        """Return what references stand for; None for a step that did not succeed."""
        if isinstance(value, Ref):
            return _part(self.values.get(value.step), value.path)
        if isinstance(value, FailedRef):
            assert failure is not None
            return failure.as_dict()
        if isinstance(value, dict):
            filled = {}
            for key, inner in value.items():
                filled[key] = yield self._resolved(inner, failure)
            return filled
        if isinstance(value, Gather):
            items = [item for item in value.items if not self._is_skipped(value, item)]
        elif isinstance(value, (list, tuple)):
            items = list(value)
        else:
            return value
        for index, item in enumerate(items):
            items[index] = yield self._resolved(item, failure)
        return items

    def _is_skipped(self, gather: Gather, item: Any) -> bool:
        return gather.skip_failed and isinstance(item, Ref) and item.step not in self.values


def _part(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _context(step: StepPlan, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> TaskContext:
    # Not TaskResult[Any](), which before Python 3.13 sets an attribute: the class is frozen.
    result: TaskResult[Any] = TaskResult(
        task=step.task,
        id=task_id,
        status=TaskResultStatus.RUNNING,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=args,
        kwargs=kwargs,
        backend=step.task.backend,
        errors=[],
        worker_ids=[],
        record_status=Status.RUNNING,
        attempts_made=1,
        metadata=dict(step.task.metadata or {}),
    )
    return TaskContext(DetachedRun(result))
