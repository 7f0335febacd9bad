"""
The flat form of canvases and workflows: steps, and the joins that release them.

Plain data, linear in the number of steps; what stores it, runs it or draws it needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands in arguments for the value of a step, or for a part of it."""

    #: Index into `Plan.steps`.
    step: int
    #: Keys and indexes from the value to the part, as in ``step.result["key"][0]``.
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Gather:
    """
    Stands for a list of values in order.

    Members of a group that get the same list share one Gather.
    """

    #: Ref, Gather or plain JSON.
    items: tuple[Any, ...]
    #: Leave out the values of steps that failed or were cancelled.
    skip_failed: bool = False


@dataclass(frozen=True, slots=True)
class FailedRef:
    """
    Stands for the failed step, as the first argument of an on_failure step.

    It is a dict: {"id": ..., "name": ..., "task": ..., "exception": dotted path or None,
    "message": ...}. It tells of the step that failed by itself, not of those that were cancelled
    for it.
    """


class JoinKind(IntEnum):
    """When a join releases the steps that wait for it."""

    #: When all `after` are final and no more than `allow_failures` of them did not succeed.
    SUCCESS = 1
    #: When all `after` are final, however they ended.
    ALWAYS = 2
    #: As soon as one of `after` failed, or was cancelled because a step before it failed.
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """Several ends meet here; then the steps that wait for it are released, or cancelled."""

    kind: JoinKind
    #: Indexes of steps, ascending, without duplicates.
    after: tuple[int, ...]
    #: SUCCESS only: how many of `after` may fail; 0: none, -1: any number.
    allow_failures: int = 0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One task of a workflow."""

    #: Unique in the workflow.
    name: str
    #: The Task, with the options of using() applied.
    task: Any
    #: JSON; Ref, Gather and FailedRef may stand in them, in lists and as values of dicts.
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Index into `Plan.joins`. None: it is ready at once.
    waits_for: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole workflow: each step stands behind those that it waits for."""

    name: str
    metadata: dict[str, Any]
    steps: tuple[StepPlan, ...]
    joins: tuple[JoinPlan, ...]
    #: The value of the whole: Ref, Gather, plain JSON, or a dict of them.
    value: Any


def required_steps(plan: Plan) -> tuple[int, ...]:
    """
    Return the indexes of the steps that must succeed for the whole to succeed, ascending.

    Not among them: steps whose failure a SUCCESS join answers for, by cancelling what waits for it
    or by allowing it; and what runs on failure only.
    """
    answered: set[int] = set()
    on_failure: set[int] = set()
    for index, step in enumerate(plan.steps):
        if step.waits_for is None:
            continue
        join = plan.joins[step.waits_for]
        if join.kind is JoinKind.FAILURE or not on_failure.isdisjoint(join.after):
            on_failure.add(index)
    for join_index in {step.waits_for for step in plan.steps} - {None}:
        join = plan.joins[join_index]  # type: ignore[index] # None is taken out
        if join.kind is JoinKind.SUCCESS:
            answered.update(join.after)
    return tuple(i for i in range(len(plan.steps)) if i not in answered and i not in on_failure)
