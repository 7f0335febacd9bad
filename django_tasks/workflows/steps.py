"""Steps of workflows, and what stands for their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from ..definitions.canvas import Canvas, Signature, chain, chord, group

if TYPE_CHECKING:
    from .graph import Workflow

R = TypeVar("R")


class StepResult:
    """
    Stands for the value of a step, or with [key] for a part of it.

    It is no value yet: pass it on as an argument, alone or in lists, tuples and dicts.
    """

    __slots__ = ("path", "step")

    def __init__(self, step: Step[Any], path: tuple[str | int, ...] = ()) -> None:
        self.step = step
        self.path = path

    def __getitem__(self, key: str | int) -> StepResult:
        """Return what stands for a part: `key` is a key of a dict, or an index of a list."""
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            raise TypeError(
                f"{self!r}: [{key!r}] is neither text nor a whole number, and JSON has no other"
                " keys and indexes."
            )
        return StepResult(self.step, (*self.path, key))

    def __iter__(self) -> NoReturn:
        """Refuse: without this, Python would ask for [0], [1], ... without end."""
        raise TypeError(
            f"{self!r} cannot be iterated over: its value is there when a step that gets it runs."
            " Pass it on whole, or parts of it with [key]."
        )

    def __repr__(self) -> str:
        """Show the expression."""
        keys = "".join(f"[{key!r}]" for key in self.path)
        return f"<result{keys} of step {self.step.name!r}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step(Generic[R]):
    """A member of a workflow, as Workflow.add() returns it; R is the type of its value."""

    workflow: Workflow
    #: Unique in its workflow.
    name: str
    content: Canvas[Any] | Workflow
    #: The steps that it waits for, in the order in which they were added.
    waits_for: tuple[Step[Any], ...]
    always: bool = False
    allow_failures: int = 0
    on_failure: Canvas[Any] | None = None

    @property
    def result(self) -> R:
        """
        What stands for its value as an argument of a later step, which makes that wait for it.

        ``step.result["key"][0]`` stands for a part. Type checkers take it for the value.
        """
        return cast("R", StepResult(self))

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Step {self.name!r} of {self.workflow!r}>"


def results_in(content: Canvas[Any]) -> Iterator[StepResult]:
    """
    Yield the results that stand in the arguments of a canvas, at any depth.

    Raise ValueError for those in an on_failure, which waits for nothing but the failure.
    """
    left: list[Any] = [content]
    while left:
        value = left.pop()
        if isinstance(value, Canvas):
            check_callback(getattr(value, "on_failure", None))
        if isinstance(value, StepResult):
            yield value
        elif isinstance(value, Signature):
            left += (value.kwargs, value.args)
        elif isinstance(value, chord):
            left += (value.body, value.header)
        elif isinstance(value, (chain, group)):
            left += value.members
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value


def check_callback(callback: Canvas[Any] | None) -> None:
    result = next(results_in(callback), None) if callback is not None else None
    if result is not None:
        raise ValueError(
            f"on_failure: {result!r} may not be there yet when a step fails. Pass plain values; the"
            " failed step comes as the first argument."
        )
