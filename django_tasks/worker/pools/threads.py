"""The thread pool, and what other pools share with it: bodies in threads, stopped from others."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connections

from ...exceptions import SoftTimeLimitExceeded
from ..board import Board
from ..execution.jobs import Job, Outcome, Post
from ..execution.limits import (
    FROM_OUTSIDE,
    message_of,
    next_interruption,
    raise_if_interrupted,
    raise_in_thread,
)
from ..execution.runner import Runner, SyncCaller


class ThreadCaller(SyncCaller):
    """Calls bodies in a thread that others may wake."""

    def wake(self) -> None:
        """End the wait of the event loop, if one runs, so that its thread sees what is raised."""
        runner = self._loop
        if runner is None:
            return
        try:
            runner.get_loop().call_soon_threadsafe(_nothing)
        except RuntimeError:
            return  # closed meanwhile: nobody waits in it


def take_back(thread_id: int) -> None:
    """Forget what raise_in_thread() asked for and has not happened yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), None)


def _nothing() -> None:
    """Do nothing: being called is all that is wanted."""


class BodyThreads:
    """
    Runs jobs in the threads that call it, and raises in those threads from others.

    Only while the job is running: what was asked for and has not been raised when the body ends
    is taken back, so that it never hits the next one.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._lock = threading.Lock()
        self._running: dict[Job, tuple[int, ThreadCaller]] = {}

    def run(self, job: Job, caller: ThreadCaller) -> Outcome:
        """Run a job in this thread to its end."""
        thread_id = threading.get_ident()
        outcome: Outcome | None = None
        try:
            self._running[job] = thread_id, caller
            call = partial(self._call, job, caller)
            outcome = copy_context().run(self.runner.run, job, call)
            self._end(job, thread_id)
        except FROM_OUTSIDE as error:
            # Raised just before the body began or after it ended: its outcome stands, if any.
            self._end_for_sure(job, thread_id)
            outcome = outcome or self.runner.ending_after(job, error)
        return outcome

    def _call(
        self, job: Job, caller: ThreadCaller, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        raise_if_interrupted(self.runner.lane.board, job)
        return caller(function, args, kwargs)

    def stop(self, job: Job, kind: type[BaseException]) -> None:
        """Raise `kind` in the body of `job`, if it is running."""
        with self._lock:
            if (place := self._running.get(job)) is not None:
                thread_id, caller = place
                raise_in_thread(thread_id, _with_message(kind, job))
                caller.wake()

    def running(self) -> list[Job]:
        """Return the jobs whose bodies are running."""
        return list(self._running)

    def _end(self, job: Job, thread_id: int) -> None:
        with self._lock:
            self._running.pop(job, None)
            take_back(thread_id)

    def _end_for_sure(self, job: Job, thread_id: int) -> None:
        while True:
            try:
                self._end(job, thread_id)
            except FROM_OUTSIDE:
                continue
            return


class ThreadPool:
    """threads: `slots` bodies at a time; plain functions and coroutines."""

    #: What the main thread is told: look at the flags, a soft limit is new, there are to be more
    #: or fewer threads, or none. A thread that ends sends itself.
    LOOK, LIMIT, RESIZE, STOP = "look", "limit", "resize", "stop"

    def __init__(self, runner: Runner, post: Post, board: Board, slots: int) -> None:
        self.bodies = BodyThreads(runner)
        self.post = post
        self.board = board
        self.slots = slots
        #: Threads that have not ended, and how many of them were not told to.
        self._threads: list[threading.Thread] = []
        self._staying = 0
        self._started = 0
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        # A SimpleQueue may be put to from signal handlers; an Event could block there for ever.
        self._notes: SimpleQueue[str | threading.Thread] = SimpleQueue()

    def submit(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._inbox.put(job)

    def run(self) -> None:
        self._have(self.slots)
        while self._threads:
            note = self._next_note(self._stop_overdue())
            if note == self.LOOK:
                self._apply_flags()
            elif note == self.RESIZE and self._staying:
                self._have(self.slots)
            elif note == self.STOP:
                self._have(0)
            elif isinstance(note, threading.Thread):
                note.join()
                self._threads.remove(note)

    def _have(self, count: int) -> None:
        """Start threads, or end some after what was submitted before, until `count` stay."""
        while self._staying < count:
            self._started += 1
            name = f"task-{self._started}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
            self._staying += 1
        while self._staying > count:
            self._inbox.put(None)
            self._staying -= 1

    def _next_note(self, timeout: float | None) -> str | threading.Thread | None:
        try:
            return self._notes.get(timeout=timeout)
        except Empty:
            return None

    def _work(self) -> None:
        caller = ThreadCaller()
        caller.enter()
        while (job := self._next(caller)) is not None:
            if job.take():
                self._run(job, caller)
        caller.close()
        connections.close_all()
        self._notes.put(threading.current_thread())

    def _next(self, caller: ThreadCaller) -> Job | None:
        has_waited = self._inbox.empty()
        job = self._inbox.get()
        if has_waited:
            caller.tidy()  # connections may have grown too old meanwhile
        return job

    def _run(self, job: Job, caller: ThreadCaller) -> None:
        if job.task is not None and job.task.soft_time_limit:
            job.pool_state = time.monotonic() + job.task.soft_time_limit
            self._notes.put(self.LIMIT)
        outcome = self.bodies.run(job, caller)
        caller.tidy()
        self.post(job, outcome)

    def _stop_overdue(self) -> float | None:
        """Raise in bodies beyond their soft limit; return the seconds until the next is due."""
        next_in: float | None = None
        now = time.monotonic()
        for job in self.bodies.running():
            if job.pool_state is None:
                continue
            left = job.pool_state - now
            if left <= 0:
                job.pool_state = None
                self.bodies.stop(job, SoftTimeLimitExceeded)
            else:
                next_in = left if next_in is None else min(next_in, left)
        return next_in

    def _apply_flags(self) -> None:
        for job in self.bodies.running():
            if kind := next_interruption(self.board, job):
                self.bodies.stop(job, kind)

    def resize(self, slots: int) -> None:
        self.slots = slots
        self._notes.put(self.RESIZE)

    def stop(self) -> None:
        self._notes.put(self.STOP)

    def look(self) -> None:
        self._notes.put(self.LOOK)


def _with_message(kind: type[BaseException], job: Job) -> type[BaseException]:
    """Return `kind` as a class that needs no arguments: threads are sent classes, not instances."""
    message = message_of(kind, job)

    def __init__(self: BaseException, *args: object) -> None:  # noqa: N807 - of the class below
        BaseException.__init__(self, *(args or (message,)))

    return type(
        kind.__name__,
        (kind,),
        {"__init__": __init__, "__module__": kind.__module__, "__qualname__": kind.__qualname__},
    )
