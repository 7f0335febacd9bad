"""Handing canvases and workflows to the store, or running them here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from ..definitions.canvas import Canvas
from ..definitions.startable import Startable
from ..dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ..dep14.handler import task_backends
from . import inline
from .compiler import compile_canvas, compile_workflow
from .graph import Workflow
from .plan import Plan

if TYPE_CHECKING:
    from ..store.workflows.handle import WorkflowResult


def plan_of(content: Startable[Any]) -> Plan:
    """Return the plan of a canvas or a workflow; see `compiler`."""
    if isinstance(content, Workflow):
        return compile_workflow(content)
    assert isinstance(content, Canvas)  # there is nothing else
    return compile_canvas(content)


def enqueue(content: Startable[Any]) -> Any:
    """See Startable.enqueue()."""
    from ..store.workflows.create import enqueue_plan

    plan = plan_of(content)
    return enqueue_plan(plan, backend_of(plan))


async def aenqueue(content: Startable[Any]) -> Any:
    """See Startable.enqueue()."""
    return await sync_to_async(enqueue, thread_sensitive=True)(content)


def enqueue_on_commit(content: Startable[Any], using: str) -> Any:
    """See Startable.enqueue_on_commit()."""
    from ..store.workflows.create import enqueue_plan_on_commit

    plan = plan_of(content)
    return enqueue_plan_on_commit(plan, backend_of(plan), using=using)


def get_workflow(workflow_id: str, backend: str = DEFAULT_TASK_BACKEND_ALIAS) -> WorkflowResult:
    """
    Return the handle of a workflow that was enqueued, by its id.

    `backend`: the alias of a backend whose database has it. Raise TaskResultDoesNotExist if there
    is no such workflow.
    """
    from ..store.workflows.handle import WorkflowResult

    chosen: Any = task_backends[backend]
    return WorkflowResult.load(chosen.database, workflow_id)


def call(content: Startable[Any]) -> Any:
    """See Startable.call()."""
    return inline.run(plan_of(content))


def backend_of(plan: Plan) -> str:
    """Return the alias of the backend of all steps. Raise ValueError if they have several."""
    if not plan.steps:
        return DEFAULT_TASK_BACKEND_ALIAS
    first = plan.steps[0]
    for step in plan.steps:
        if step.task.backend != first.task.backend:
            raise ValueError(
                f"Workflow {plan.name!r}: step {step.name!r} is of backend {step.task.backend!r},"
                f" but step {first.name!r} of {first.task.backend!r}. Give all steps one backend,"
                " with .using(backend=...)."
            )
    alias: str = first.task.backend
    return alias
