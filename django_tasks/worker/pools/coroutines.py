"""The asyncio pool: coroutines in one event loop, plain functions in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextvars import Context, copy_context

from ...dep14.functions import is_coroutine_function
from ...exceptions import SoftTimeLimitExceeded
from ..board import Board
from ..execution.failures import fail
from ..execution.jobs import Job, Outcome, Post
from ..execution.limits import message_of, next_interruption
from ..execution.runner import Runner
from ..execution.side_threads import (
    CallThreads,
    SideThreads,
    for_sure,
    note_task,
    one_thread,
    until_all_ended,
)
from .threads import BodyThreads, ThreadCaller


class AsyncioPool:
    """asyncio: `slots` coroutines at a time in one event loop; plain functions go to threads."""

    #: Makes the threads of calls that need a thread of their own, and of all others.
    make_side_thread: Callable[[], Executor] = staticmethod(one_thread)
    make_call_threads: Callable[[int, str], CallThreads] = CallThreads

    def __init__(self, runner: Runner, post: Post, board: Board, slots: int) -> None:
        self.runner = runner
        self.bodies = BodyThreads(runner)
        self.post = post
        self.board = board
        self.slots = slots
        self._waiting: deque[Job] = deque()
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._reasons: dict[Job, type[BaseException]] = {}
        self._is_stopping = False
        self._early: list[Job] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._context: Context = copy_context()
        self._idle_side_threads: list[Executor] = []

    def submit(self, jobs: Iterable[Job]) -> None:
        with self._lock:
            if self._loop is None:
                self._early += jobs
                return
        self._loop.call_soon_threadsafe(self._start, list(jobs))

    def run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        with self._lock:
            loop.set_task_factory(note_task)
            self._set_call_threads()
            self._loop = loop
        self._start(self._early)
        await self._done.wait()

    def _set_call_threads(self) -> None:
        self._call_threads = self.make_call_threads(self.slots, "task")
        asyncio.get_running_loop().set_default_executor(self._call_threads)

    def _start(self, jobs: Iterable[Job]) -> None:
        self._waiting.extend(jobs)
        while self._waiting and len(self._running) < self.slots:
            job = self._waiting.popleft()
            if job.take():
                task = asyncio.create_task(self._run(job), context=self._context.copy())
                self._running[job] = task
        if self._is_stopping and not self._running and not self._waiting:
            self._done.set()

    async def _run(self, job: Job) -> None:
        job.pool_state = True  # it has begun
        timer = None
        soft = job.task.soft_time_limit if job.task is not None else None
        try:
            if soft:
                loop = asyncio.get_running_loop()
                timer = loop.call_later(soft, self._cancel, job, SoftTimeLimitExceeded)
            outcome = await self._outcome(job)
        except BaseException as error:  # noqa: BLE001 - the slot must come free, whatever happens
            outcome = fail(job.claim, error, None)
        if timer is not None:
            timer.cancel()
        self._running.pop(job, None)
        self._reasons.pop(job, None)
        self.post(job, outcome)
        self._start(())

    async def _outcome(self, job: Job) -> Outcome:
        if job.task is not None and not is_coroutine_function(job.task.func):
            return await asyncio.get_running_loop().run_in_executor(None, self._run_plain, job)
        side_threads = SideThreads(self._idle_side_threads, self.make_side_thread)
        side_threads.enter()
        try:
            outcome: Outcome = await until_all_ended(
                self.runner.run_async(job, lambda: self._reason(job))
            )
            return outcome
        finally:
            if (tidied := side_threads.finish()) is not None:
                await for_sure([asyncio.wrap_future(tidied)])

    def _run_plain(self, job: Job) -> Outcome:
        return self.bodies.run(job, ThreadCaller())

    def _reason(self, job: Job) -> BaseException | None:
        kind = self._reasons.get(job)
        return kind(message_of(kind, job)) if kind is not None else None

    def _cancel(self, job: Job, kind: type[BaseException]) -> None:
        task = self._running.get(job)
        if task is None or job.task is None:
            return
        if is_coroutine_function(job.task.func):
            self._reasons[job] = kind
            task.cancel()
        else:
            self.bodies.stop(job, kind)

    def resize(self, slots: int) -> None:
        with self._lock:
            if self._loop is None:
                self.slots = slots
                return
        self._loop.call_soon_threadsafe(self._resize, slots)

    def _resize(self, slots: int) -> None:
        self.slots = slots
        old = self._call_threads
        self._set_call_threads()
        old.shutdown(wait=False)  # what it runs goes on to its end
        self._start(())

    def stop(self) -> None:
        def end() -> None:
            self._is_stopping = True
            self._start(())

        while self._loop is None:  # stopped before run() began
            time.sleep(0.001)
        self._loop.call_soon_threadsafe(end)

    def look(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        for job in list(self._running):
            # What has not begun is looked at when it does: a task cancelled before runs nothing,
            # not even what makes its slot free.
            if job.pool_state and (kind := next_interruption(self.board, job)):
                self._cancel(job, kind)
