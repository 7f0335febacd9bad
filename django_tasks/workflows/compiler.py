"""
From canvases and workflows to a flat plan, in one walk and without recursion.

Each part of a canvas is given an Entry, what it waits for and the value that it gets, and leaves an
Exit: the steps at its ends and its value. A join is made when the first step asks for it, and
shared by all who wait for the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..definitions.canvas import Canvas, Signature, chain, chord, find_task, group
from ..definitions.nesting import Walk, walk
from ..definitions.signatures import checker_of
from ..exceptions import InvalidTask
from .graph import Workflow, default_name
from .plan import FailedRef, Gather, JoinKind, JoinPlan, Plan, Ref, StepPlan
from .references import Values
from .steps import Step

COLLECT = "django_tasks.definitions.built_in.collect"
#: What stands for the value before a step when there is none; None is one.
NOTHING: Any = object()

#: Indexes of steps, nested: flattened when a join needs them, so that nesting costs nothing.
Ends = list[Any]


@dataclass(slots=True)
class Entry:
    """What a part waits for, and the value that it gets."""

    ends: Ends
    value: Any = NOTHING
    kind: JoinKind = JoinKind.SUCCESS
    allow_failures: int = 0
    join: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all that it waits for must succeed."""
        return self.kind is JoinKind.SUCCESS and self.allow_failures == 0


@dataclass(frozen=True, slots=True)
class Exit:
    """Where a part ends, and its value."""

    ends: Ends
    value: Any
    #: How many of the ends may fail: for whoever waits for them.
    allow_failures: int = 0


def compile_canvas(content: Canvas[Any]) -> Plan:
    """
    Return the plan of a canvas, which is named for it.

    Raise TypeError or ValueError, which names the step, for arguments that do not fit or that JSON
    does not have, LookupError for a task that this process does not know.
    """
    compiler = _Compiler(default_name(content))
    return compiler.plan({}, compiler.take_canvas(content, Entry([]), "", None))


def compile_workflow(workflow: Workflow) -> Plan:
    """Return the plan of a workflow. Raise as `compile_canvas` does."""
    compiler = _Compiler(workflow.name)
    return compiler.plan(workflow.metadata, compiler.take_workflow(workflow, Entry([]), ""))


class _Compiler:
    """Takes down the steps and joins of one plan."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: list[StepPlan] = []
        self.joins: dict[JoinPlan, int] = {}
        self.names = _Names()
        self.ids: dict[UUID, str] = {}
        #: Of the workflow whose steps are being compiled.
        self.values = Values()

    def plan(self, metadata: dict[str, Any], first: Walk[Exit]) -> Plan:
        """Return the plan of what `first` takes down."""
        left = self.closed(walk(first))
        return Plan(self.name, metadata, tuple(self.steps), tuple(self.joins), left.value)

    # --- canvases: each returns where it ends -----------------------------------------------------

    def take_canvas(
        self, content: Canvas[Any], entry: Entry, prefix: str, name: str | None
    ) -> Walk[Exit]:
        """Take down a canvas; `name`: of its step, when it is but one, else None."""
        left: Exit
        if isinstance(content, Signature):
            left = self.take_signature(content, entry, name or self.names.new(prefix, content))
        elif isinstance(content, chain):
            left = yield self.take_chain(content.members, entry, prefix)
        elif isinstance(content, group):
            left = yield self.take_group(content, entry, prefix)
        elif isinstance(content, chord):
            left = yield self.take_chain((content.header, content.body), entry, prefix)
        else:
            raise TypeError(f"{content!r} is no signature, chain, group or chord.")
        if content.on_failure is not None:
            left = yield self.with_callback(content.on_failure, left, entry, prefix)
        return left

    def take_signature(self, content: Signature[Any], entry: Entry, name: str) -> Exit:
        """Take down one step."""
        where = f"Step {name!r} of workflow {self.name!r}"
        try:
            task = find_task(content.task)
            if content.options:
                task = task.using(**content.options)
            self.take_id(task.task_id, name)
            given = () if content.immutable or entry.value is NOTHING else (entry.value,)
            checker_of(task.func, task.takes_context).check(given + content.args, content.kwargs)
            args = [self.values.fill(v, f"args[{i}]") for i, v in enumerate(content.args)]
            kwargs = self.values.fill(content.kwargs, "kwargs")
        except (InvalidTask, LookupError, TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error.args[0]}") from None
        return self.take_step(name, task, (*given, *args), kwargs, entry)

    def take_id(self, task_id: UUID | None, name: str) -> None:
        """Note the id that a caller gave a step. Raise ValueError if another step has it."""
        if task_id is not None and self.ids.setdefault(task_id, name) != name:
            raise ValueError(f"its task_id is that of step {self.ids[task_id]!r}, too.")

    def take_step(
        self, name: str, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], entry: Entry
    ) -> Exit:
        """Append a step."""
        index = len(self.steps)
        self.steps.append(StepPlan(name, task, args, kwargs, self.join_of(entry)))
        return Exit([index], Ref(index))

    def take_chain(self, members: Iterable[Canvas[Any]], entry: Entry, prefix: str) -> Walk[Exit]:
        """Take down members one after the other."""
        left: Exit | None = None
        for member in members:
            if left is not None:
                entry = Entry(left.ends, left.value, allow_failures=left.allow_failures)
            left = yield self.take_canvas(member, entry, prefix, None)
        if left is None:
            return self.passed(entry, None if entry.value is NOTHING else entry.value, prefix)
        return left

    def take_group(self, content: group[Any], entry: Entry, prefix: str) -> Walk[Exit]:
        """Take down members beside each other."""
        parts: list[Exit] = []
        for member in content.members:
            part: Exit = yield self.take_canvas(member, entry, prefix, None)
            # With one end each, the failures that are counted are those of members.
            parts.append(self.closed(part, prefix, one_end=content.allow_failures != 0))
        if not parts:
            return self.passed(entry, [], prefix)
        values = tuple(part.value for part in parts)
        value = Gather(values, skip_failed=content.allow_failures != 0)
        left = Exit([part.ends for part in parts], value, content.allow_failures)
        return self.guarded(left, entry, prefix)

    # --- workflows --------------------------------------------------------------------------------

    def take_workflow(self, content: Workflow, entry: Entry, prefix: str) -> Walk[Exit]:
        """Take down the steps of a workflow; its ends are those that it needs to succeed."""
        outer, self.values = self.values, Values()
        exits: dict[Step[Any], Exit] = {}
        left: Exit
        for step in content.steps:
            self.names.take(prefix + step.name)
        for step in content.steps:
            own = self.entry_of(step, exits, entry, prefix)
            self.values.skip_failed = step.allow_failures != 0
            exits[step] = left = yield self.take_content(step, own, prefix)
            self.values[step] = left.value
        value = {step.name: self.values[step] for step in exits}
        self.values = outer
        if exits:
            left = Exit(_needed_ends(exits), value)
        else:
            left = self.passed(entry, value, prefix)
        if content.on_failure is not None:
            left = yield self.with_callback(content.on_failure, left, entry, prefix)
        return left

    def take_content(self, step: Step[Any], entry: Entry, prefix: str) -> Walk[Exit]:
        """Take down one step of a workflow, whatever is in it."""
        left: Exit
        inner = f"{prefix}{step.name}."
        if isinstance(step.content, Workflow):
            left = yield self.take_workflow(step.content, entry, inner)
        else:
            name = prefix + step.name if isinstance(step.content, Signature) else None
            left = yield self.take_canvas(step.content, entry, inner, name)
        left = self.closed(left, inner)
        if step.on_failure is not None:
            left = yield self.with_callback(step.on_failure, left, entry, inner)
        return left

    def entry_of(
        self, step: Step[Any], exits: dict[Step[Any], Exit], outer: Entry, prefix: str
    ) -> Entry:
        """Return what a step of a workflow waits for: the workflow's own entry, if nothing."""
        if not step.waits_for:
            return outer
        for before in step.waits_for if step.allow_failures else ():
            exits[before] = self.closed(exits[before], f"{prefix}{before.name}.", one_end=True)
            self.values[before] = exits[before].value
        return Entry(
            [exits[before].ends for before in step.waits_for],
            kind=JoinKind.ALWAYS if step.always else JoinKind.SUCCESS,
            allow_failures=step.allow_failures,
        )

    # --- ends -------------------------------------------------------------------------------------

    def join_of(self, entry: Entry) -> int | None:
        """Return the index of an entry's join. None: there is nothing to wait for."""
        if entry.join is None:
            after = _indexes(entry.ends)
            if not after:
                return None
            join = JoinPlan(entry.kind, after, entry.allow_failures)
            entry.join = self.joins.setdefault(join, len(self.joins))
        return entry.join

    def passed(self, entry: Entry, value: Any, prefix: str) -> Exit:
        """Return the exit of what has no steps: its ends are those before it."""
        if entry.is_plain:
            return Exit(entry.ends, value)
        return self.collected(value, entry, prefix)

    def closed(self, left: Exit, prefix: str = "", *, one_end: bool = False) -> Exit:
        """
        Return an exit whose ends must all succeed.

        `one_end`: it has one end, and the value of that, so that it counts as one failure and its
        value can be left out.
        """
        is_open = left.allow_failures != 0
        if one_end and not is_open:
            is_open = not isinstance(left.value, Ref) or _indexes(left.ends) != (left.value.step,)
        if not is_open:
            return left
        entry = Entry(left.ends, allow_failures=left.allow_failures)
        return self.collected(left.value, entry, prefix)

    def guarded(self, left: Exit, entry: Entry, prefix: str) -> Exit:
        """
        Return an exit that fails if the entry does, however many members of a group may fail.

        When a step before the group fails, all members are cancelled. That is no failure that the
        group allows.
        """
        may_all_fail = (
            left.allow_failures == -1 or 0 < len(_indexes(left.ends)) <= left.allow_failures
        )
        if not may_all_fail or entry.kind is not JoinKind.SUCCESS or not _indexes(entry.ends):
            return left
        before = entry.ends if entry.is_plain else self.collected(None, entry, prefix).ends
        part = self.closed(left, prefix)
        return self.collected(part.value, Entry([part.ends, before]), prefix)

    def collected(self, value: Any, entry: Entry, prefix: str) -> Exit:
        """Append a step that hands on a value: the one end of what comes before it."""
        after = _indexes(entry.ends)
        if not after:
            return Exit([], value)
        before = self.steps[after[-1]].task
        task = find_task(COLLECT).using(
            backend=before.backend, queue_name=before.queue_name, priority=before.priority
        )
        return self.take_step(self.names.new(prefix, "collect"), task, (value,), {}, entry)

    def with_callback(
        self, callback: Canvas[Any], left: Exit, entry: Entry, prefix: str
    ) -> Walk[Exit]:
        """Take down what runs when a part fails; the part ends where it did."""
        left = self.closed(left, prefix)
        if left.ends is not entry.ends:
            failed = Entry(left.ends, FailedRef(), JoinKind.FAILURE)
            yield self.take_canvas(callback, failed, prefix, None)
        return left


class _Names:
    """Gives each step a name of its own."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.numbers: dict[str, int] = {}

    def take(self, name: str) -> None:
        """Reserve a name that a caller gave."""
        self.taken.add(name)

    def new(self, prefix: str, content: Signature[Any] | str) -> str:
        """Return a free name: the task's, with a number if it is taken."""
        base = prefix + (content if isinstance(content, str) else default_name(content))
        name, number = base, self.numbers.get(base, 1)
        while name in self.taken:
            number += 1
            name = f"{base}-{number}"
        self.numbers[base] = number
        self.taken.add(name)
        return name


def _needed_ends(exits: dict[Step[Any], Exit]) -> Ends:
    """Return the ends of the steps whose failure no other step of the workflow answers for."""
    answered = {before for step in exits if not step.always for before in step.waits_for}
    return [left.ends for step, left in exits.items() if step not in answered]


def _indexes(ends: Ends) -> tuple[int, ...]:
    """Return the indexes in nested lists, ascending, each once."""
    found: set[int] = set()
    left = [ends]
    while left:
        for end in left.pop():
            if isinstance(end, int):
                found.add(end)
            else:
                left.append(end)
    return tuple(sorted(found))
