"""References to results in the arguments of a step, as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from ... import ids
from ...models import TaskRecord, WorkflowStep
from ...store.values import Hook
from ...store.workflows.references import MARK

#: Steps that are called by their names, and results of one list that are told.
NAMED = 50


def readable(record: TaskRecord, *values: Any) -> tuple[Any, ...]:
    """Return arguments of a task with words where results of steps come; at most one question."""
    if not record.hooks & Hook.REFERENCES:
        return values
    wanted = {pk for text in islice(_steps(values), NAMED) if (pk := ids.parse(text))}
    steps = WorkflowStep.objects.using(record._state.db or "default").filter(pk__in=wanted)
    names = {str(pk): name for pk, name in steps.values_list("pk", "name")}
    return tuple(_worded(value, names) for value in values)


def _reference(value: Any) -> list[Any] | None:
    """Return what a reference says; None for anything else."""
    is_one = isinstance(value, dict) and list(value) == [MARK] and isinstance(value[MARK], list)
    return value[MARK] if is_one and value[MARK] else None


def _steps(value: Any) -> Iterator[str]:
    """Yield the ids of the steps whose results come there."""
    reference = _reference(value)
    if reference is not None and reference[0] == "value":
        yield from (text for text in reference[1:2] if isinstance(text, str))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _steps(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _steps(each)


def _worded(value: Any, names: Mapping[str, str]) -> Any:
    reference = _reference(value)
    if reference is not None:
        return _words(reference, names)
    if isinstance(value, dict):
        return {key: _worded(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_worded(each, names) for each in value]
    return value


def _words(reference: list[Any], names: Mapping[str, str]) -> Any:
    match reference:
        case ["value", str(step), list(path)]:
            where = "".join(f"[{key!r}]" for key in path)
            return _("‹result of step “%s”›") % names.get(step, step) + where
        case ["list", list(items), *_rest]:
            shown = [_worded(item, names) for item in items[:NAMED]]
            left = len(items) - len(shown)
            return [*shown, _("‹%d more›") % left] if left else shown
        case ["shared"]:
            return _("‹results of the steps before it›")
        case ["failure"]:
            return _("‹the step that failed›")
    return {MARK: reference}
