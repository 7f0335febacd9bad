"""The gevent pool. Imported only when gevent is there and its monkey patches are applied."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from inspect import iscoroutinefunction
from queue import SimpleQueue
from typing import Any

import gevent
from asgiref.local import Local
from asgiref.sync import SyncToAsync
from django.db import connections
from gevent import monkey
from gevent.event import Event

from ...dep14.private import keep_connections_in
from ...exceptions import SoftTimeLimitExceeded
from ...redaction.exceptions import are_logged
from ..board import Board
from ..execution.connections import tidy_connections
from ..execution.jobs import Job, Outcome, Post
from ..execution.limits import FROM_OUTSIDE, message_of, next_interruption, raise_if_interrupted
from ..execution.runner import Runner
from ..execution.side_threads import CallThreads
from ..execution.uncaught import log_uncaught
from .coroutines import AsyncioPool

#: Starts a thread of the operating system, whatever the monkey patches say.
start_native_thread = monkey.get_original("_thread", "start_new_thread")


class GeventPool:
    """
    gevent: `slots` greenlets of one thread.

    Coroutine functions run in an event loop in a thread of its own, `slots` at a time as well. A
    body that never switches holds up the others, and the engine.
    """

    def __init__(self, runner: Runner, post: Post, board: Board, slots: int) -> None:
        give_each_greenlet_its_connections()
        keep_texts_out_of_the_hub()
        SyncToAsync.single_thread_executor = NativeCallThreads(1)
        self.runner = runner
        self.post = post
        self.board = board
        self.slots = slots
        self._waiting: deque[Job] = deque()
        self._running: dict[Job, gevent.Greenlet] = {}
        self._greenlets = 0
        self._is_stopping = False
        self._greenlets_are_done = Event()
        self._coroutines: AsyncioPool | None = None
        self._coroutines_are_done = False

    def submit(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.task is not None and iscoroutinefunction(job.task.func):
                self._submit_coroutine(job)
                continue
            self._waiting.append(job)
            self._spawn(1)

    def _spawn(self, most: int) -> None:
        for _ in range(min(most, self.slots - self._greenlets)):
            self._greenlets += 1
            gevent.spawn(self._work)

    def resize(self, slots: int) -> None:
        self.slots = slots
        self._spawn(len(self._waiting))
        if self._coroutines is not None:
            self._coroutines.resize(slots)

    def run(self) -> None:
        self._greenlets_are_done.wait()
        if self._coroutines is not None:
            self._coroutines.stop()
            while not self._coroutines_are_done:
                time.sleep(0.01)

    def _work(self) -> None:
        """Run jobs in this greenlet while there are any."""
        while self._waiting and self._greenlets <= self.slots:
            job = self._waiting.popleft()
            if job.take():
                self.post(job, self._run(job))
        connections.close_all()
        self._greenlets -= 1
        self._end_if_done()

    def _run(self, job: Job) -> Outcome:
        outcome: Outcome | None = None
        timer = None
        try:
            self._running[job] = gevent.getcurrent()
            if job.task is not None and (soft := job.task.soft_time_limit):
                timer = gevent.spawn_later(soft, self._stop, job, SoftTimeLimitExceeded)
            call = partial(self._call, job)
            outcome = copy_context().run(self.runner.run, job, call)
            del self._running[job]
            tidy_connections()
        except FROM_OUTSIDE as error:
            # Raised just before the body began or after it ended: its outcome stands, if any.
            self._running.pop(job, None)
            outcome = outcome or self.runner.ending_after(job, error)
        if timer is not None:
            timer.kill(block=False)
        return outcome

    def _call(self, job: Job, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        raise_if_interrupted(self.board, job)
        return function(*args, **kwargs)

    def _stop(self, job: Job, kind: type[BaseException]) -> None:
        greenlet = self._running.get(job)
        if greenlet is not None:
            greenlet.kill(kind(message_of(kind, job)), block=False)

    def stop(self) -> None:
        self._is_stopping = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_stopping and not self._greenlets and not self._waiting:
            self._greenlets_are_done.set()

    def look(self) -> None:
        for job in list(self._running):
            if kind := next_interruption(self.board, job):
                self._stop(job, kind)
        if self._coroutines is not None:
            self._coroutines.look()

    # --- coroutines -----------------------------------------------------------------------------

    def _submit_coroutine(self, job: Job) -> None:
        if self._coroutines is None:
            self._coroutines = NativeAsyncioPool(self.runner, self.post, self.board, self.slots)
            start_native_thread(self._run_coroutines, ())
        self._coroutines.submit([job])

    def _run_coroutines(self) -> None:
        assert self._coroutines is not None
        self._coroutines.run()
        self._coroutines_are_done = True


class NativeThreads(ThreadPoolExecutor):
    """
    Calls in up to `most` threads of the operating system, which are started when they are needed.

    Those of the standard library are greenlets here, beside the event loop that waits for them,
    where Django refuses to query. A ThreadPoolExecutor, as asyncio asks, in name only.
    """

    def __init__(self, most: int, name: str = "") -> None:
        self._most = most
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = _native_queue()
        self._threads_started = 0
        #: One for each call that waits, and each thread that does not.
        self._busy = 0
        self._counting = monkey.get_original("_thread", "allocate_lock")()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call."""
        future: Future[Any] = Future()
        with self._counting:
            self._busy += 1
            if self._busy > self._threads_started < self._most:
                self._threads_started += 1
                start_native_thread(self._work, ())
        self._calls.put((future, partial(function, *args, **kwargs)))
        return future

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - it belongs to who waits for it
                    future.set_exception(error)
                else:
                    future.set_result(result)
            with self._counting:
                self._busy -= 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads when what was submitted is done, without waiting for it."""
        with self._counting:
            for _ in range(self._threads_started):
                self._calls.put(None)


class NativeCallThreads(CallThreads, NativeThreads):
    """Such threads in which each call leaves nothing to the next one."""


class NativeAsyncioPool(AsyncioPool):
    """The pool of coroutines beside greenlets."""

    make_side_thread = staticmethod(partial(NativeThreads, 1))
    make_call_threads = NativeCallThreads


def _native_queue() -> SimpleQueue[Any]:
    queue: SimpleQueue[Any] = monkey.get_original("queue", "SimpleQueue")()
    return queue


def keep_texts_out_of_the_hub() -> None:
    """Log greenlets that a body left and that failed: the hub prints what they were called with."""
    if not are_logged():
        gevent.get_hub().print_exception = _log_greenlet


def _log_greenlet(context: object, kind: type, error: BaseException | None, tb: Any) -> None:
    log_uncaught("a greenlet", error and error.with_traceback(tb))


def give_each_greenlet_its_connections() -> None:
    """Replace the store of Django's connections, which was made before the monkey patches."""
    keep_connections_in(Local(connections.thread_critical))
