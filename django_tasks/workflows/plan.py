"""The flat form of a workflow: steps in order, and the joins at which they wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Ref:
    step: int
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Gather:
    items: tuple[Any, ...]
    skip_failed: bool = False


@dataclass(frozen=True, slots=True)
class FailedRef:
    pass


class JoinKind(IntEnum):
    SUCCESS = 1
    ALWAYS = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class JoinPlan:
    kind: JoinKind
    after: tuple[int, ...]
    allow_failures: int = 0


@dataclass(frozen=True, slots=True)
class StepPlan:
    name: str
    task: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    waits_for: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    metadata: dict[str, Any]
    steps: tuple[StepPlan, ...]
    joins: tuple[JoinPlan, ...]
    value: Any
