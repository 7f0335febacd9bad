"""One task for many calls: starmap, map and chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .canvas import Signature, given_options, group, is_task
from .protocols import AnyTask
from .signatures import checker_of

if TYPE_CHECKING:
    from .task import Task

R = TypeVar("R")

#: The task that runs another one for each item of a list; see `built_in`.
STARMAP = "django_tasks.definitions.built_in.starmap"


def starmap(task: Task[..., R], items: Iterable[Iterable[Any]]) -> Signature[list[R]]:
    """
    Return the call of one task that calls `task` with the arguments of each item.

    Its value is the list of the values. It takes no value of what stands before it. A failure of
    one item fails, and retries, them all; the items share one time limit, that of no task.
    `task` says the queue, the priority, the backend and the attempts. Raise TypeError for a task
    with sensitive arguments or with atomic=True, which would not hold.
    """
    calls = [list(item) for item in items]
    known = _mappable("starmap", task, calls)
    return Signature(STARMAP, (known.module_path, calls), {}, _options_for_map(known), True)


def map(task: Task[..., R], items: Iterable[Any]) -> Signature[list[R]]:
    """Return the call of one task that calls `task` with each item; see `starmap`."""
    return starmap(task, ([item] for item in items))


def chunks(task: Task[..., R], items: Iterable[Iterable[Any]], size: int) -> group[list[R]]:
    """
    Return the group of `starmap` for each `size` items: fewer and longer tasks than items.

    Its value is the list of the chunks' lists. Raise ValueError for a size below 1.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"chunks: size must be a whole number from 1 on, not {size!r}.")
    return group(starmap(task, part) for part in _parts(iter(items), size))


def _mappable(kind: str, task: Any, calls: list[list[Any]]) -> AnyTask:
    if not is_task(task):
        raise TypeError(f"{kind}: {task!r} is no task.")
    for name, flag in (("sensitive arguments", task.sensitive), ("atomic=True", task.atomic)):
        if flag:
            raise TypeError(
                f"{kind}: {task.module_path} has {name}, which would not hold for items of a"
                " list. Use a group of its signatures."
            )
    checker = checker_of(task.func, task.takes_context)
    for index, call in enumerate(calls):
        try:
            checker.check(call, {})
        except TypeError as error:
            raise TypeError(f"{kind}: item {index}: {error}") from None
    return cast("AnyTask", task)


def _options_for_map(task: AnyTask) -> dict[str, Any]:
    options = given_options(task)
    options.update(queue_name=task.queue_name, priority=task.priority, backend=task.backend)
    if task.max_attempts is not None:
        options["max_attempts"] = task.max_attempts
    return options


def _parts(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(items, size)):
        yield part
