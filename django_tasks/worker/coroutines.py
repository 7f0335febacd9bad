"""The asyncio pool: coroutines in one event loop, plain functions in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError

from ..exceptions import SoftTimeLimitExceeded
from .board import Board
from .connections import drop_broken_connections, tidy_connections
from .failures import fail
from .jobs import Job, Outcome, Post
from .limits import message_of, next_interruption
from .runner import Runner, is_coroutine_function
from .threads import BodyThreads, ThreadCaller

logger = logging.getLogger("django_tasks.worker")


class AsyncioPool:
    """asyncio: `slots` coroutines at a time in one event loop; plain functions go to threads."""

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
            loop.set_default_executor(_executor(self.slots))
            self._loop = loop
        self._start(self._early)
        await self._done.wait()

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
        await self._tidy(job)
        self._running.pop(job, None)
        self._reasons.pop(job, None)
        self.post(job, outcome)
        self._start(())

    async def _outcome(self, job: Job) -> Outcome:
        if job.task is not None and not is_coroutine_function(job.task.func):
            return await asyncio.get_running_loop().run_in_executor(None, self._run_plain, job)
        return await self.runner.run_async(job, lambda: self._reason(job))

    def _run_plain(self, job: Job) -> Outcome:
        outcome = self.bodies.run(job, ThreadCaller())
        tidy_connections()
        return outcome

    async def _tidy(self, job: Job) -> None:
        """
        Renew the connections that coroutines share, in the thread where Django keeps them.

        After an error of the database, or when nothing else runs that could be using them.
        """
        if job.task is None or not is_coroutine_function(job.task.func):
            return
        is_broken = isinstance(job.exception, (DatabaseError, InterfaceError))
        if not is_broken and (len(self._running) > 1 or self._waiting):
            return
        try:
            await sync_to_async(drop_broken_connections if is_broken else tidy_connections)()
        except BaseException as error:  # noqa: BLE001 - a late cancellation, or a broken driver
            logger.debug("Tidying connections failed: %r", error)

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
        # What the old executor runs goes on; its threads end when nothing is left for them.
        asyncio.get_running_loop().set_default_executor(_executor(slots))
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


def _executor(slots: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(slots, thread_name_prefix="task")
