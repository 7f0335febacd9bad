"""Stop a body from outside: soft time limits, cancellation, the end of the grace period."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from ...exceptions import (
    SoftTimeLimitExceeded,
    TaskCancelRequested,
    TaskInterrupted,
    TaskInterruption,
)
from ...runtime.forks import LOOK
from ..board import Board
from .jobs import Job

#: What a body may see raised from outside.
FROM_OUTSIDE = (SoftTimeLimitExceeded, TaskInterruption)


def next_interruption(board: Board, job: Job) -> type[TaskInterruption] | None:
    """
    Return what to raise in the body of `job` now, if anything.

    Each kind once: a body that cleans up is not interrupted again by what it cleans up for.
    """
    if board.is_cancelled(job.entry) and TaskCancelRequested not in job.interruptions:
        job.interruptions += (TaskCancelRequested,)
        return TaskCancelRequested
    if board.is_interrupting and TaskInterrupted not in job.interruptions:
        job.interruptions += (TaskInterrupted,)
        return TaskInterrupted
    return None


def raise_if_interrupted(board: Board, job: Job) -> None:
    """Raise what would stop the body of `job`, before it begins."""
    if kind := next_interruption(board, job):
        raise kind(message_of(kind, job))


def message_of(kind: type[BaseException], job: Job) -> str:
    """Return the message for the exception that stops `job`."""
    if kind is SoftTimeLimitExceeded and job.task is not None:
        return (
            f"The task ran for longer than its soft_time_limit of {job.task.soft_time_limit:g} s."
        )
    if kind is TaskCancelRequested:
        return "The task was cancelled while it ran."
    return "The worker stopped before the task had finished."


class MainThreadLimits:
    """
    Raises in the body that the main thread runs, from signal handlers.

    `armed` is true only while a body is on the stack: a signal that arrives later must not hit
    the worker's own code.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.job: Job | None = None
        self.armed = False
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {
            signal.SIGALRM: self._on_alarm,
            LOOK: self._on_look,
        }
        self._kept: dict[int, Any] = {}
        self._watched = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, LOOK}

    def install(self) -> None:
        """Set the handlers, and remember all others that a body might replace."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._kept = {number: signal.getsignal(number) for number in self._watched}

    def call(self, job: Job, function: Callable[[], Any]) -> Any:
        """Call a body so that the limits of `job` reach it."""
        self.job = job
        soft = job.task.soft_time_limit if job.task is not None else None
        try:
            self.armed = True
            raise_if_interrupted(self.board, job)
            if soft:
                signal.setitimer(signal.ITIMER_REAL, soft)
            return function()
        finally:
            self.armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)  # ours, or one that the body left
            self._restore_handlers()

    def _restore_handlers(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._watched)
        for number, handler in self._kept.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.set_wakeup_fd(-1)  # an event loop's, if the body gave it handlers

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self.armed or self.job is None or self.job.task is None:
            return
        if self.job.task.soft_time_limit:
            raise SoftTimeLimitExceeded(message_of(SoftTimeLimitExceeded, self.job))

    def _on_look(self, number: int, frame: FrameType | None) -> None:
        if self.armed and self.job is not None:
            raise_if_interrupted(self.board, self.job)


def raise_in_thread(thread_id: int, kind: type[BaseException]) -> None:
    """
    Raise `kind` in another thread, at its next bytecode.

    A thread that sits in C code (a query, a sleep) sees it when that returns. CPython only.
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(kind))
