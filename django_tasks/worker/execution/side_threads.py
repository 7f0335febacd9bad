"""
Side threads of bodies: the threads of asgiref and asyncio, and asyncio's tasks.

Django keeps a connection per thread, and an event loop must not query. So `sync_to_async()`, and
with it every asynchronous method of the ORM, calls in another thread: "thread-sensitive" calls of
one body in one and the same, others, like those of `asyncio.to_thread()`, in any thread of the
loop's executor. What they leave there is put back, as in the thread of a plain body.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any
from weakref import WeakSet

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

from ...definitions.current import current_task_id
from .connections import tidy_connections

logger = logging.getLogger("django_tasks.worker")


class CallThreads(ThreadPoolExecutor):
    """
    Threads in which each call leaves nothing to the next one: what a loop has by default.

    Nobody can count on being called in the same thread again, so what is left there was forgotten.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call."""
        return super().submit(_call_alone, partial(function, *args, **kwargs))


def _call_alone(call: Callable[[], Any]) -> Any:
    tidy_connections()  # they may have grown too old since the last call
    try:
        return copy_context().run(call)
    finally:
        tidy_connections()


def one_thread() -> Executor:
    """Return an executor with one thread."""
    return ThreadPoolExecutor(1, thread_name_prefix="side")


class SideThreads(Executor):
    """
    The thread of the thread-sensitive calls of one body at a time.

    It is taken from `idle` when the body first needs one, or made, and goes back there, tidied,
    when the body has ended.
    """

    def __init__(self, idle: list[Executor], make: Callable[[], Executor] = one_thread) -> None:
        self._idle = idle
        self._make = make
        self._thread: Executor | None = None
        self._ident: int | None = None
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Have sync_to_async() call here, in the current context and copies of it."""
        key = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[key] = self
        SyncToAsync.thread_sensitive_context.set(key)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call behind the body's others."""
        with self._lock:
            if self._thread is None:
                self._thread = self._take()
                function = partial(self._begin, function)
            elif self._ident == threading.get_ident():
                raise RuntimeError(
                    "A call of sync_to_async() runs an event loop whose own thread-sensitive calls"
                    " would wait for it for ever. Use async_to_sync() in it, not asyncio.run()."
                )
            return self._thread.submit(function, *args, **kwargs)

    def _take(self) -> Executor:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def _begin(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._ident = threading.get_ident()
        tidy_connections()  # they may have grown too old since the last body
        return function(*args, **kwargs)

    def finish(self) -> Future[None] | None:
        """Put back what the body left; return the future of it, None if there is nothing."""
        if self._thread is None:  # plain bodies take no lock
            return None
        with self._lock:
            thread, self._thread, self._ident = self._thread, None, None
        done = thread.submit(tidy_connections)
        done.add_done_callback(lambda _: self._idle.append(thread))
        return done

    def close(self) -> None:
        """Close the connections of idle threads, and end these."""
        for thread in self._idle:
            thread.submit(connections.close_all)
            thread.shutdown(wait=False)


# --- asyncio's tasks ------------------------------------------------------------------------------


class _Started:
    """The asyncio tasks that one body has started."""

    def __init__(self) -> None:
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._is_over = False

    def add(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        if self._is_over:  # started by a timer that the body left
            task.cancel()

    async def end(self) -> None:
        """Cancel those that are left and wait for their end, as asyncio.run() does."""
        own = asyncio.current_task()
        while left := [task for task in self._tasks if task is not own and not task.done()]:
            logger.warning(
                "Task %s left %s asyncio task(s) running; they are cancelled.",
                current_task_id.get(), len(left), extra={"task_id": str(current_task_id.get())},
            )  # fmt: skip
            for task in left:
                task.cancel()
            await for_sure(left)
        self._is_over = True


_started: ContextVar[_Started | None] = ContextVar("django_tasks_started", default=None)


def note_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """Make an asyncio task, a loop's task factory, and note which body's it is."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    started = _started.get() if context is None else context.get(_started)
    if started is not None:
        started.add(task)
    return task


async def until_all_ended(body: Coroutine[Any, Any, Any]) -> Any:
    """Await a body, in a context of its own, and end the asyncio tasks that it has started."""
    started = _Started()
    _started.set(started)
    try:
        return await body
    finally:
        await started.end()


async def for_sure(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for the end of `futures`; what cancels the caller meanwhile comes too late."""
    while not all(future.done() for future in futures):
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            continue


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop for bodies."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(note_task)
    loop.set_default_executor(CallThreads(thread_name_prefix="call"))
    return loop
