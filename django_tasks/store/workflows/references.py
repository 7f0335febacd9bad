"""
References: what stands in the stored arguments of a step for results of others, until it starts.

In JSON a reference is a dict with the one key MARK, which no argument of a user may have:

    {"$django_tasks": ["value", "<id of the step>", ["key", 0]]}
    {"$django_tasks": ["list", [item, ...], skips_failed]}
    {"$django_tasks": ["shared"]}
    {"$django_tasks": ["failure"]}

"shared" is the list that stands at the join for which the step waits: so a group behind a group of
a thousand stores a thousand references, not a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from ...models import TaskAttempt, TaskRecord, WorkflowJoin, WorkflowStep
from ...serializers import dumps, loads
from ...statuses import ERROR_OUTCOMES, Status
from ...workflows.plan import FailedRef, Gather, Ref
from ..values import Claim, Hook

MARK = "$django_tasks"
#: Bytes of arguments in which results have taken their places.
MOST_BYTES = 64 << 20


class BadReference(Exception):
    """The result that a step needs is not there, or has another shape than was expected."""


def encoded(value: Any, ids: Sequence[UUID], shared: Gather | None = None) -> tuple[Any, bool]:
    """
    Return `value` with references as JSON, and whether there are any.

    `ids`: of the steps, by their place. `shared`: the list that stands at the step's join. Raise
    ValueError for a dict that has the key MARK.
    """
    found = False

    def encode(value: Any) -> Any:
        nonlocal found
        if isinstance(value, Ref):
            found = True
            return {MARK: ["value", str(ids[value.step]), list(value.path)]}
        if isinstance(value, Gather):
            found = True
            if value is shared:
                return {MARK: ["shared"]}
            return {MARK: ["list", [encode(item) for item in value.items], value.skip_failed]}
        if isinstance(value, FailedRef):
            found = True
            return {MARK: ["failure"]}
        if isinstance(value, list | tuple):
            return [encode(item) for item in value]
        if isinstance(value, dict):
            if MARK in value:
                raise ValueError(f"{MARK!r} is no key for arguments: it marks results of steps.")
            return {key: encode(item) for key, item in value.items()}
        return value

    return encode(value), found


def used(value: Any, seen: set[int]) -> Iterator[int]:
    """
    Yield the places of the steps whose results stand in `value`.

    `seen`: the lists that were looked at before, by id(); those of many steps may be one.
    """
    if isinstance(value, Ref):
        yield value.step
    elif isinstance(value, Gather):
        if id(value) not in seen:
            seen.add(id(value))
            yield from used(value.items, seen)
    elif isinstance(value, dict):
        yield from used(tuple(value.values()), seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from used(item, seen)


def resolved(
    database: str, claims: Sequence[Claim]
) -> tuple[Sequence[Claim], dict[UUID, BadReference]]:
    """Put results in their places in the arguments of claims; return all, and what is wrong."""
    chosen = [claim for claim in claims if claim.hooks and claim.hooks & Hook.REFERENCES]
    if not chosen:
        return claims, {}
    calls = {claim.id: (loads(claim.args), loads(claim.kwargs)) for claim in chosen}
    shared = _shared(database, [claim.id for claim in chosen if _has(claim, "shared")])
    results = _results(database, [*calls.values(), *shared.values()])
    failures = _failures(database, [claim.id for claim in chosen if _has(claim, "failure")])
    done: dict[UUID, Claim] = {}
    wrong: dict[UUID, BadReference] = {}
    for claim in chosen:
        look_up = _Lookup(results, failures.get(claim.id), shared.get(claim.id))
        try:
            args, kwargs = (look_up.decoded(part) for part in calls[claim.id])
            texts = dumps(args, "args", MOST_BYTES), dumps(kwargs, "kwargs", MOST_BYTES)
        except BadReference as error:
            wrong[claim.id] = error
        except (ValueError, TypeError, RecursionError) as error:
            wrong[claim.id] = BadReference(f"With the results of other steps, {error}")
        else:
            done[claim.id] = claim._replace(args=texts[0], kwargs=texts[1])
    return [done.get(claim.id, claim) for claim in claims], wrong


def value_of(database: str, text: str) -> Any:
    """Return the value that stored JSON with references stands for. Raise BadReference."""
    value = loads(text)
    return _Lookup(_results(database, [value])).decoded(value)


class _Lookup:
    """Results, a failure and a shared list, to put in the places of references."""

    def __init__(
        self,
        results: Mapping[str, tuple[str, str | None, str]],
        failure: dict[str, Any] | None = None,
        shared: Any = None,
    ) -> None:
        self._results = results
        self._failure = failure
        self._shared = shared

    def decoded(self, value: Any) -> Any:
        """Return `value` with what its references stand for."""
        if isinstance(value, list):
            return [self.decoded(item) for item in value]
        if not isinstance(value, dict):
            return value
        if MARK not in value:
            return {key: self.decoded(item) for key, item in value.items()}
        kind, *rest = value[MARK]
        if kind == "value":
            return self._value(*rest)
        if kind == "list":
            return self._list(*rest)
        return self.decoded(self._shared) if kind == "shared" else self._failure

    def _list(self, items: list[Any], skips_failed: bool) -> list[Any]:
        kept = [item for item in items if not (skips_failed and self._has_failed(item))]
        return [self.decoded(item) for item in kept]

    def _has_failed(self, item: Any) -> bool:
        """Tell whether an item stands for something of a step that did not succeed."""
        return any(
            self._results.get(step, ("", None, ""))[0] != Status.SUCCESSFUL for step in _steps(item)
        )

    def _value(self, step: str, path: Sequence[str | int]) -> Any:
        if step not in self._results:
            raise BadReference(f"The result of step {step} was deleted.")
        status, text, name = self._results[step]
        if status != Status.SUCCESSFUL:
            return None  # to a step that runs in any case, or allows failures
        value: Any = None if text is None else loads(text)
        for key in path:
            try:
                value = value[key]
            except (LookupError, TypeError):
                where = "".join(f"[{each!r}]" for each in path)
                raise BadReference(f"The result of step {name!r} has no {where}.") from None
        return value


def _results(database: str, values: Iterable[Any]) -> dict[str, tuple[str, str | None, str]]:
    """Return (status, JSON, name) of the steps that values refer to."""
    ids = {step for value in values for step in _steps(value)}
    rows = TaskRecord.objects.using(database).filter(pk__in=ids)
    return {
        str(pk): (status, text, name)
        for pk, status, text, name in rows.values_list(
            "pk", "status", "return_value", "workflow_step__name"
        )
    }


def _steps(value: Any) -> Iterable[str]:
    """Yield the ids of the steps that stored JSON refers to."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _steps(item)
    elif isinstance(value, dict):
        if MARK not in value:
            yield from _steps(list(value.values()))
            return
        kind, *rest = value[MARK]
        if kind == "value":
            yield rest[0]
        elif kind == "list":
            yield from _steps(rest[0])


def _has(claim: Claim, kind: str) -> bool:
    """Tell whether there is a reference of this kind in stored arguments, as dumps() writes it."""
    mark = f'{{"{MARK}":["{kind}"]}}'
    return mark in claim.args or mark in claim.kwargs


def _shared(database: str, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return the list that stands at the join of each of these steps."""
    if not ids:
        return {}
    steps = WorkflowStep.objects.using(database).filter(pk__in=ids)
    joins = dict(steps.values_list("pk", "waits_for_id"))
    rows = WorkflowJoin.objects.using(database).filter(pk__in=set(joins.values()))
    lists = {pk: loads(text or "null") for pk, text in rows.values_list("pk", "shared")}
    return {pk: lists.get(join_id) for pk, join_id in joins.items()}


def _failures(database: str, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return what is told of the failed step, for each of these steps that are for one."""
    steps = WorkflowStep.objects.using(database)
    found = steps.filter(pk__in=ids)
    pairs = found.values_list("pk", "waits_for__failed_step")
    failed = {pk: step for pk, step in pairs if step is not None}
    names = dict(steps.filter(pk__in=failed.values()).values_list("pk", "name"))
    paths = dict(
        TaskRecord.objects.using(database)
        .filter(pk__in=failed.values())
        .values_list("pk", "task_path")
    )
    attempts = TaskAttempt.objects.using(database).filter(
        task_id__in=failed.values(), outcome__in=ERROR_OUTCOMES
    )
    last = {
        task_id: (path, text)
        for task_id, path, text in attempts.order_by("pk").values_list(
            "task_id", "exception_path", "traceback"
        )
    }
    return {
        pk: {
            "id": str(step),
            "name": names.get(step, ""),
            "task": paths.get(step, ""),
            "exception": last.get(step, ("", ""))[0] or None,
            "message": _message(*last.get(step, ("", ""))),
        }
        for pk, step in failed.items()
    }


def _message(path: str, traceback: str) -> str:
    """Return what the exception at the end of a traceback said."""
    lines = traceback.rstrip("\n").rpartition("\n")[2]
    _, _, said = lines.partition(": ")
    return said
