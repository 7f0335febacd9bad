"""Run bodies in the context that was propagated with their task; see `propagation`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from ...conf import app_settings
from ...definitions import propagation
from ...models import TaskRecord
from ...redaction.exceptions import OF_OTHERS, loggable
from ...store.values import Claim

logger = logging.getLogger("django_tasks.worker")

_UNSET = object()

Captured = Mapping[str, Any]
#: Calls a body: (function, args, kwargs) -> value.
Call = Callable[[Any, Any, Any], Any]


class UnknownPropagator(Exception):
    """A task carries a value of a path that this worker's settings do not name."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def metadata_of(database: str, claims: Sequence[Claim]) -> Mapping[UUID, str]:
    """Return the metadata of some claims as stored, by one query; without propagators nothing."""
    if not claims or not app_settings.CONTEXT_PROPAGATORS:
        return {}
    rows = TaskRecord.objects.using(database).filter(pk__in=[claim.id for claim in claims])
    stored = dict(rows.values_list("pk", "metadata"))
    return {claim.id: stored.get(claim.id) or "" for claim in claims}


def captured_in(metadata: str) -> Captured:
    """
    Return what was captured for a task, by path.

    Raise UnknownPropagator, or ValueError or TypeError when the row is corrupt.
    """
    captured = propagation.split(metadata)[1]
    if not isinstance(captured, dict):
        raise TypeError("What was captured for this task is not a dict: the row is corrupt.")
    known = propagation.propagators()
    for path in captured:
        if path not in known:
            raise UnknownPropagator(path)
    return captured


class Restored:
    """
    What a body runs within: the contexts of all propagators, in the order of the settings.

    Leaving them changes nothing about what became of the body: it has run. An error is logged, and
    the next body is put into its own context in any case.
    """

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self._entered: list[tuple[str, AbstractContextManager[Any]]] = []

    def __enter__(self) -> None:
        for path, propagator in propagation.propagators().items():
            try:
                context = propagator.restore(self._captured.get(path))
                context.__enter__()
            except BaseException as error:
                error.add_note(
                    f"Raised in restore() of {path!r} in DJANGO_TASKS['CONTEXT_PROPAGATORS'],"
                    " before the body ran."
                )
                self.__exit__(*sys.exc_info())
                raise
            self._entered.append((path, context))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        while self._entered:
            path, context = self._entered.pop()
            try:
                context.__exit__(kind, error, tb)
            except Exception as failure:
                if failure is error:
                    continue  # a generator that lets the body's own pass
                logger.error(
                    "The context that restore() of %r gave was not left.",
                    path, exc_info=loggable(failure, OF_OTHERS),
                )  # fmt: skip


def restored(captured: Captured | None) -> AbstractContextManager[None]:
    """Return what a body runs within; nothing without propagators (None)."""
    return nullcontext() if captured is None else Restored(captured)


def within(captured: Captured, call: Call) -> Call:
    """Return what calls a body as `call` does, within its context."""

    def call_within(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if iscoroutinefunction(function):
            return call(run_coroutine, (captured, function, args, kwargs), {})
        with Restored(captured):
            return call(function, args, kwargs)

    return call_within


async def run_coroutine(
    captured: Captured, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any
) -> Any:
    """
    Await a body within its context.

    That is entered and left where sync_to_async() calls, as the connection of the body's queries
    is there. Context variables that were set are those of the coroutine, too.
    """
    restored = Restored(captured)
    context = copy_context()  # one for both: a variable is reset in the context it was set in
    in_its_thread = sync_to_async(context.run, thread_sensitive=True)
    try:
        await in_its_thread(restored.__enter__)
        _take_over(context)
        return await function(*args, **kwargs)
    finally:
        await in_its_thread(restored.__exit__, *sys.exc_info())


def _take_over(context: Context) -> None:
    """Set the variables of the current context to what they are in another one."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)
