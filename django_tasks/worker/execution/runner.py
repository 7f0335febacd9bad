"""
Run one job: call the body and return its outcome, as a value.

Nothing here writes to the database, except for tasks with atomic=True, whose success is part of
the body's own transaction. The only module that catches BaseException.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError

from ... import serializers
from ...conf import app_settings
from ...definitions import codecs
from ...definitions.codecs import Serializer
from ...definitions.context import TaskContext
from ...definitions.current import CurrentTask, current_task, current_task_id
from ...definitions.protocols import AnyTask
from ...definitions.results import TaskResult
from ...dep14.functions import is_coroutine_function
from ...redaction.exceptions import OF_OTHERS, loggable
from ...runtime.clock import clock
from ...signals import task_started
from ...store.tasks import enqueue, transitions
from ...store.values import Ending, Success
from ..board import STARTED, Lane
from . import contexts
from .atomic import OwnTransaction, Stage
from .connections import tidy_connections
from .context_io import DatabaseProxy, JobRun, load_result
from .failures import ending_of, fail
from .jobs import Job, Outcome
from .limits import FROM_OUTSIDE, raise_if_interrupted
from .not_run import late, unknown_context, unknown_task
from .side_threads import SideThreads, new_loop, until_all_ended

logger = logging.getLogger("django_tasks.worker")

NO_LIMIT = 0.0

#: How many forks lie between this process and the first; read per task, so no call of the kernel.
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):  # Windows has none, and runs no worker
    os.register_at_fork(after_in_child=_count_fork)


class _ClaimLost(Exception):
    """The claim of an atomic task no longer holds: roll its body back."""


class _ValueRefused(Exception):
    """The body finished, but its value cannot be stored: to run it again would not help."""

    def __init__(self, reason: TypeError | ValueError) -> None:
        super().__init__(reason)
        self.reason = reason


class Runner:
    """Runs jobs of one process."""

    def __init__(
        self, database: str, lane: Lane, proxy: DatabaseProxy, serializer: Serializer | None = None
    ) -> None:
        self.database = database
        self.serializer = serializer
        self.lane = lane
        self.proxy = proxy
        self._forks = _forks
        self._states = lane.board.states
        self._started_at = lane.board.started_at
        self._deadlines = lane.board.deadlines

    def run(self, job: Job, call: Callable[[Any, Any, Any], Any]) -> Outcome:
        """Run a job to its end; `call` calls the body: (function, args, kwargs) -> value."""
        claim, task = job.claim, job.task
        if task is None:
            return unknown_task(job)
        token = current_task_id.set(claim.id)
        started = self._start(job, task)
        try:
            captured = None if job.metadata is None else _captured(job, job.metadata)
            if job.sends_started:
                self._send_started(job, task)
            args, kwargs = self._arguments(job, task)
            if task.atomic:
                with contexts.restored(captured):  # also while callbacks of on_commit() run
                    return self._run_atomic(job, task, call, args, kwargs, started)
            if captured is not None:
                call = contexts.within(captured, call)
            value = self._call(call, task.func, args, kwargs)
            return self._success(job, task, value, time.perf_counter() - started)
        except BaseException as exception:  # noqa: BLE001 - whatever a body raises, the worker goes on
            return self._failure(job, task, exception, time.perf_counter() - started)
        finally:
            current_task_id.reset(token)

    async def run_async(self, job: Job, reason: Callable[[], BaseException | None]) -> Outcome:
        """
        Run a job whose body is a coroutine function.

        `reason` says why the coroutine was cancelled, if the worker did it.
        """
        claim, task = job.claim, job.task
        if task is None:
            return unknown_task(job)
        current_task_id.set(claim.id)  # the coroutine's own context: nothing to reset
        started = self._start(job, task)
        try:
            captured = None if job.metadata is None else _captured(job, job.metadata)
            if job.sends_started:  # receivers may query, which a coroutine must not
                send = sync_to_async(self._send_started, thread_sensitive=False)
                await send(job, task)
            args, kwargs = self._arguments(job, task)
            raise_if_interrupted(self.lane.board, job)
            try:
                if captured is None:
                    value = await task.func(*args, **kwargs)
                else:
                    value = await contexts.run_coroutine(captured, task.func, args, kwargs)
            finally:
                self._end_fork()
            return self._success(job, task, value, time.perf_counter() - started)
        except BaseException as exception:  # noqa: BLE001 - as in run()
            if isinstance(exception, asyncio.CancelledError) and (cause := reason()):
                exception = cause.with_traceback(exception.__traceback__)
            return self._failure(job, task, exception, time.perf_counter() - started)

    def _call(
        self, call: Callable[[Any, Any, Any], Any], function: Any, args: Any, kwargs: Any
    ) -> Any:
        try:
            return call(function, args, kwargs)
        finally:
            self._end_fork()

    def _end_fork(self) -> None:
        """
        End this process if the body forked it and came back here.

        It would run what else its parent has claimed, and speak on its parent's connections.
        """
        if _forks != self._forks:
            logger.warning("A forked child of a task came back from its body; it ends here.")
            os._exit(0)

    def _start(self, job: Job, task: AnyTask) -> float:
        entry = job.entry
        self._started_at[entry] = now = clock()
        self._deadlines[entry] = now + task.time_limit if task.time_limit else NO_LIMIT
        self._states[entry] = STARTED  # last: who reads STARTED may rely on the other cells
        return time.perf_counter()

    def _arguments(self, job: Job, task: AnyTask) -> tuple[Any, Any]:
        claim = job.claim
        args = serializers.loads(claim.args) if claim.args != "[]" else []
        kwargs = serializers.loads(claim.kwargs) if claim.kwargs != "{}" else {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise TypeError("The stored arguments are not a list and a dict: the row is corrupt.")
        if self.serializer is not None:
            args, kwargs = codecs.decoded(self.serializer, args, kwargs)
        if task.takes_context:
            job.run = JobRun(job, self.database, self.lane, self.proxy)
            job.context = TaskContext(job.run)
            args = [job.context, *args]
        return args, kwargs

    def _send_started(self, job: Job, task: AnyTask) -> None:
        """Send task_started. That it cannot be sent is no error of the task."""
        try:
            result = self.proxy.ask(lambda: enqueue.load(self.database, job.claim.id), wait=True)
        except (DatabaseError, InterfaceError, TimeoutError) as reason:
            logger.warning("No task_started was sent for task %s: %s", job.claim.id, reason)
            return
        if result is None:
            return  # its row was deleted: there is no result to send
        for receiver, error in task_started.send_robust(
            type(task.get_backend()), task_result=result
        ):
            if isinstance(error, Exception):
                shown = loggable(error, OF_OTHERS)
                logger.error("Receiver %r of task_started failed.", receiver, exc_info=shown)

    def _success(self, job: Job, task: AnyTask, value: Any, run_time: float) -> Outcome:
        success = self._value(job, task, value, run_time)
        if job.context is not None and (fields := job.context.take_pending()):
            job.run.save(fields, wait=False)
        return success

    def _value(self, job: Job, task: AnyTask, value: Any, run_time: float) -> Success:
        text = None if task.ignore_result or value is None else _value_text(value, self.serializer)
        return Success(job.claim.id, job.claim.claims, text, run_time)

    def _run_atomic(
        self,
        job: Job,
        task: AnyTask,
        call: Callable[[Any, Any, Any], Any],
        args: Any,
        kwargs: Any,
        started: float,
    ) -> Outcome:
        own = OwnTransaction(self.database, job.claim, self.proxy)
        fields: dict[str, Any] = {}
        try:
            with own:
                value = self._call(call, task.func, args, kwargs)
                own.stage = Stage.FINISHING
                success = self._value(job, task, value, time.perf_counter() - started)
                fields = job.context.take_pending() if job.context is not None else {}
                if not transitions.succeed_in_transaction(
                    self.database, success, fields, job.claim.hooks
                ):
                    raise _ClaimLost
                own.stage = Stage.COMMITTING
        except BaseException as error:
            if not own.is_committed(error):
                _drop_own_frames(error)
                ending = own.ending_if_lost(error, time.perf_counter() - started)
                if ending is None:
                    raise
                if job.context is not None:
                    ending.fields.update(fields | job.context.take_pending())
                return ending
        job.is_settled = True
        return success

    def _failure(
        self, job: Job, task: AnyTask, exception: BaseException, run_time: float
    ) -> Outcome:
        if isinstance(exception, _ClaimLost):
            return late(job.claim)
        if isinstance(exception, contexts.UnknownPropagator):
            return unknown_context(job.claim, exception.path)
        if isinstance(exception, _ValueRefused):
            job.exception = exception.reason
            return fail(job.claim, exception.reason, run_time)
        job.exception = exception
        _drop_own_frames(exception)
        ending = self.ending_after(job, exception, run_time)
        if job.context is not None:
            ending.fields.update(job.context.take_pending())
        return ending

    def ending_after(
        self, job: Job, exception: BaseException, run_time: float | None = None
    ) -> Ending:
        """Decide what becomes of a job whose body raised `exception`."""
        if job.task is None:
            return fail(job.claim, exception, run_time)
        return ending_of(job.claim, job.task, exception, run_time, lambda: self._result_of(job))

    def _result_of(self, job: Job) -> TaskResult[Any]:
        return load_result(self.proxy, self.database, job)


def _captured(job: Job, metadata: str) -> contexts.Captured:
    """Return what was captured for a job, and say whose body is about to run."""
    claim = job.claim
    task = CurrentTask(claim.id, claim.task_path, claim.queue_name, claim.attempts)
    current_task.set(task)
    return contexts.captured_in(metadata)


def _value_text(value: Any, serializer: Serializer | None) -> str:
    try:
        if serializer is not None:
            value = codecs.encoded_value(serializer, value)
        return serializers.dumps(value, "return value", app_settings.MAX_RESULT_BYTES)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        hint = " Or set ignore_result=True, if nobody reads it."
        raise _ValueRefused(kind(f"The body finished, but: {error}{hint}")) from None


#: The packages between the engine and a body.
_OWN = frozenset({__package__, "django_tasks.worker.pools", "asyncio"})


def _drop_own_frames(exception: BaseException) -> None:
    """Let the traceback begin in the body: the frames above it are the worker's and asyncio's."""
    tb = exception.__traceback__
    while tb is not None and tb.tb_frame.f_globals.get("__package__") in _OWN:
        tb = tb.tb_next
    if tb is not None:
        BaseException.with_traceback(exception, tb)  # a class may have its own, or a __setattr__


class SyncCaller:
    """Calls bodies in one thread: plain functions at once, coroutines in an event loop it keeps."""

    def __init__(self) -> None:
        self._loop: asyncio.Runner | None = None
        self._side_threads = SideThreads([])

    def enter(self) -> None:
        """Have what bodies hand to sync_to_async() run beside the thread that calls this."""
        self._side_threads.enter()

    def __call__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if is_coroutine_function(function):
            return self._run(function(*args, **kwargs))
        return function(*args, **kwargs)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.Runner(loop_factory=new_loop)
        try:
            # A context of its own: the runner's would carry variables from task to task.
            return self._loop.run(until_all_ended(coroutine), context=copy_context())
        except FROM_OUTSIDE:
            # Raised by a signal handler in the loop's own code: the coroutine is still in it.
            self._close_loop()
            raise

    def tidy(self) -> None:
        """Leave nothing of a body to the next one: in this thread, and in the one beside it."""
        tidy_connections()
        if (tidied := self._side_threads.finish()) is not None:
            tidied.result()

    def close(self) -> None:
        """Close the event loop and the thread beside, if there were any."""
        self._close_loop()
        self._side_threads.close()

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None
