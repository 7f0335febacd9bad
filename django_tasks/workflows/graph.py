"""
The builder of workflows: steps, and what each of them waits for.

A step waits only for steps that were added before it, so a workflow has no cycles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, overload

from .. import serializers
from ..definitions import canvas
from ..definitions.canvas import Canvas, Signature, as_callback
from ..definitions.signatures import checker_of
from ..definitions.startable import Startable
from .steps import Step, check_callback, results_in

if TYPE_CHECKING:
    from ..definitions.task import Task

P = ParamSpec("P")
R = TypeVar("R")

#: One step, or several in a list, tuple or set.
After: TypeAlias = Step[Any] | list[Step[Any]] | tuple[Step[Any], ...] | set[Step[Any]] | None
LONGEST_NAME = 100


class Workflow(Startable[dict[str, Any]]):
    """
    A graph of tasks, which is enqueued as a whole.

    `name`: 1 to 100 characters. `metadata`: a dict of JSON; None: empty. `on_failure`: a task,
    signature or other canvas that gets the failed step as first argument, a dict with id, name,
    task, exception and message; None: nothing. Its value is a dict of the steps' values by name.
    Raise TypeError or ValueError for others.
    """

    def __init__(
        self, name: str, metadata: dict[str, Any] | None = None, on_failure: Any = None
    ) -> None:
        _check_name("workflow", name)
        if metadata is not None and not isinstance(metadata, dict):
            raise TypeError(f"metadata must be a dict, not {type(metadata).__qualname__}.")
        self.name = name
        self.metadata: dict[str, Any] = serializers.normalized(metadata or {}, "metadata")
        self.on_failure = as_callback(on_failure)
        check_callback(self.on_failure)
        self._steps: dict[str, Step[Any]] = {}

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """The steps in the order in which they were added."""
        return tuple(self._steps.values())

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Workflow {self.name!r}>"

    if TYPE_CHECKING:
        # A ParamSpec leaves no room for options. So a call without options is checked in full, and
        # each option has an overload that requires it.
        @overload
        def add(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
        @overload
        def add(
            self,
            task: Canvas[R],
            /,
            *,
            after: After = None,
            name: str | None = None,
            always: bool = False,
            on_failure: Any = None,
            allow_failures: int = 0,
        ) -> Step[R]: ...
        @overload
        def add(
            self,
            task: Workflow,
            /,
            *,
            after: After = None,
            name: str | None = None,
            always: bool = False,
            on_failure: Any = None,
            allow_failures: int = 0,
        ) -> Step[dict[str, Any]]: ...
        @overload
        def add(
            self,
            task: Task[..., R],
            /,
            *args: Any,
            after: After,
            name: str | None = None,
            always: bool = False,
            on_failure: Any = None,
            allow_failures: int = 0,
            **kwargs: Any,
        ) -> Step[R]: ...
        @overload
        def add(
            self,
            task: Task[..., R],
            /,
            *args: Any,
            name: str | None,
            always: bool = False,
            on_failure: Any = None,
            allow_failures: int = 0,
            **kwargs: Any,
        ) -> Step[R]: ...
        @overload
        def add(
            self,
            task: Task[..., R],
            /,
            *args: Any,
            always: bool,
            on_failure: Any = None,
            allow_failures: int = 0,
            **kwargs: Any,
        ) -> Step[R]: ...
        @overload
        def add(
            self,
            task: Task[..., R],
            /,
            *args: Any,
            on_failure: Any,
            allow_failures: int = 0,
            **kwargs: Any,
        ) -> Step[R]: ...
        @overload
        def add(
            self, task: Task[..., R], /, *args: Any, allow_failures: int, **kwargs: Any
        ) -> Step[R]: ...
        def add(self, task: Any, /, *args: Any, **options: Any) -> Any: ...

    else:

        def add(
            self,
            task,
            /,
            *args,
            after=None,
            name=None,
            always=False,
            on_failure=None,
            allow_failures=0,
            **kwargs,
        ):
            """
            Add a step: a task with its arguments, a canvas, or another workflow.

            It waits for the steps whose `result` is among the arguments, and for those in `after`
            (one or several; None: no more). `name`: None takes the task's name, with a number if
            it is taken. `always`: run it when those are final, however they ended. `on_failure`:
            see `Workflow`, for this step. `allow_failures`: how many of those that it waits for
            may fail; 0 by default, -1 for any number; lists of results are then without theirs.
            With either, None stands elsewhere for the result of a step that did not succeed. For a
            task that has arguments of these names: ``add(task.s(name=...))``.

            Raise TypeError or ValueError for arguments that do not fit, or that JSON does not
            have, and for steps of another workflow.
            """
            content = self._content(task, args, kwargs)
            step = Step(
                self,
                self._step_name(name, content),
                content,
                self._waits_for(after, content),
                _checked_flag(always),
                canvas.checked_allowance(allow_failures),
                as_callback(on_failure),
            )
            check_callback(step.on_failure)
            if always and allow_failures:
                raise ValueError(f"Step {step.name!r}: always=True allows all failures already.")
            self._steps[step.name] = step
            return step

    def _content(
        self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Canvas[Any] | Workflow:
        if canvas.is_task(task):
            return canvas.sign(task, args, kwargs, immutable=True)
        if not isinstance(task, (Canvas, Workflow)):
            raise TypeError(
                f"add: {task!r} is neither a task of django_tasks, nor a signature, chain, group,"
                " chord or Workflow."
            )
        if args or kwargs:
            raise TypeError(
                f"add: {task!r} has its arguments already; give those of a signature to .s()."
            )
        if isinstance(task, Signature):
            known = canvas.find_task(task.task)
            checker_of(known.func, known.takes_context).check(task.args, task.kwargs)
        if isinstance(task, Workflow) and any(each is self for each in _within(task)):
            raise ValueError(f"add: {task!r} is, or has in it, {self!r}: a cycle.")
        return task

    def _step_name(self, given: str | None, content: Canvas[Any] | Workflow) -> str:
        if given is not None:
            _check_name("step", given)
            if "." in given:
                raise ValueError(
                    f"The step name {given!r} has a dot, which sets off sub-workflows."
                )
            if given in self._steps:
                raise ValueError(f"{self!r} has a step {given!r} already; names are unique.")
            return given
        name = base = default_name(content).replace(".", "-")
        number = 1
        while name in self._steps:
            number += 1
            name = f"{base}-{number}"
        return name

    def _waits_for(self, after: Any, content: Canvas[Any] | Workflow) -> tuple[Step[Any], ...]:
        """Return the steps that something waits for. Raise for those of another workflow."""
        given = _as_steps(after)
        if isinstance(content, Canvas):
            given += [result.step for result in results_in(content)]
        for step in given:
            if step.workflow is not self:
                raise ValueError(
                    f"add: step {step.name!r} is of {step.workflow!r}, not of {self!r}. Add that"
                    " workflow as a step, and use its result[name]."
                )
        return tuple(dict.fromkeys(given))


def default_name(content: Canvas[Any] | Workflow) -> str:
    """Return what a step is called when nobody says."""
    if isinstance(content, Workflow):
        return content.name
    if isinstance(content, Signature):
        return content.task.rpartition(".")[2][:LONGEST_NAME]
    return type(content).__name__


def _within(workflow: Workflow) -> Iterator[Workflow]:
    """Yield a workflow and those in it, at any depth."""
    left, seen = [workflow], {id(workflow)}
    while left:
        yield (here := left.pop())
        for step in here.steps:
            if isinstance(step.content, Workflow) and id(step.content) not in seen:
                seen.add(id(step.content))
                left.append(step.content)


def _as_steps(after: Any) -> list[Step[Any]]:
    if after is None:
        return []
    steps: list[Any] = list(after) if isinstance(after, (list, tuple, set)) else [after]
    for step in steps:
        if not isinstance(step, Step):
            raise TypeError(
                f"after must be a step or several, as add() returned them, not {step!r}."
            )
    return steps


def _check_name(kind: str, name: Any) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"The name of a {kind} must be text of 1 to {LONGEST_NAME} printable characters, not"
            f" {name!r}."
        )


def _checked_flag(always: Any) -> bool:
    if not isinstance(always, bool):
        raise TypeError(f"always must be True or False, not {always!r}.")
    return always
