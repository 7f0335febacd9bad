"""Decide how a failed attempt ends: fail, retry, snooze or release, as a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...conf import app_settings
from ...definitions.protocols import AnyTask
from ...definitions.results import TaskResult
from ...definitions.retries import decide
from ...exceptions import (
    Cancel,
    Retry,
    Snooze,
    SoftTimeLimitExceeded,
    TaskCancelled,
    TaskCancelRequested,
    TaskInterrupted,
    TimeLimitExceeded,
)
from ...redaction.exceptions import without_values
from ...redaction.tracebacks import text_of
from ...statuses import AttemptOutcome
from ...store.values import Attempt, Claim, Ending, EndingKind


def ending_of(
    claim: Claim,
    task: AnyTask,
    exception: BaseException,
    run_time: float | None,
    result: Callable[[], TaskResult[Any]],
) -> Ending:
    """Decide what becomes of a task whose body raised `exception`."""
    try:
        outcome, kind, delay = _decide(claim, task, exception, result)
    except Exception as error:  # noqa: BLE001 - the project's backoff callable may raise
        error.__context__ = exception
        return fail(claim, error, run_time)
    attempt = None
    if outcome is not None:
        attempt = Attempt(
            outcome=outcome,
            exception_path=exception_path(_reason(exception)),
            traceback=traceback_text(exception),
            run_time=run_time,
        )
    return Ending.of(claim, kind, attempt, delay)


def fail(claim: Claim, exception: BaseException, run_time: float | None) -> Ending:
    """Fail a task, whatever its retry policy."""
    attempt = Attempt(
        outcome=AttemptOutcome.ERROR,
        exception_path=exception_path(exception),
        traceback=traceback_text(exception),
        run_time=run_time,
    )
    return Ending.of(claim, EndingKind.FAIL, attempt)


def give_back(claim: Claim, exception: BaseException, run_time: float, delay: float) -> Ending:
    """Have a task run again after `delay` seconds, by no fault of its own."""
    attempt = Attempt(
        outcome=AttemptOutcome.INTERRUPTED,
        exception_path=exception_path(exception),
        traceback=traceback_text(exception),
        run_time=run_time,
    )
    return Ending.of(claim, EndingKind.RELEASE, attempt, delay)


def _decide(
    claim: Claim,
    task: AnyTask,
    exception: BaseException,
    result: Callable[[], TaskResult[Any]],
) -> tuple[AttemptOutcome | None, EndingKind, float]:
    if isinstance(exception, TaskInterrupted):
        return AttemptOutcome.INTERRUPTED, EndingKind.RELEASE, 0.0
    if isinstance(exception, (TaskCancelRequested, Cancel, TaskCancelled)):
        return AttemptOutcome.CANCELLED, EndingKind.CANCEL, 0.0
    if isinstance(exception, Snooze):
        return None, EndingKind.SNOOZE, exception.delay
    is_timeout = isinstance(exception, (SoftTimeLimitExceeded, TimeLimitExceeded))
    outcome = AttemptOutcome.TIMEOUT if is_timeout else AttemptOutcome.ERROR
    most = claim.max_attempts or task.effective_max_attempts
    decision = decide(task, exception, claim.attempts, most, result)
    if decision.delay is None:
        return outcome, EndingKind.FAIL, 0.0
    return outcome, EndingKind.RETRY, decision.delay


def _reason(exception: BaseException) -> BaseException:
    """Return what a Retry was raised from: that is what went wrong."""
    if isinstance(exception, Retry) and exception.__cause__ is not None:
        return exception.__cause__
    return exception


def in_ascii(ending: Ending) -> Ending:
    """Return `ending` without the characters that a database of another encoding may refuse."""
    if ending.attempt is None:
        return ending._replace(fields={})
    text = ending.attempt.traceback.encode("ascii", "backslashreplace").decode()
    return ending._replace(fields={}, attempt=ending.attempt._replace(traceback=text))


def exception_path(exception: BaseException) -> str:
    """Return the dotted path of the exception's class."""
    kind = type(exception)
    return f"{kind.__module__}.{kind.__qualname__}"[:255]


def traceback_text(exception: BaseException) -> str:
    """
    Return the traceback as text that every database stores: bounded, without NUL or surrogates.

    The worker's own frames at its top are left out. Local variables are never stored, nor what a
    database quotes of rows.
    """
    try:
        text = text_of(without_values(exception))
    except Exception as error:  # noqa: BLE001 - a hostile __str__ or __cause__ must not stop a worker
        text = (
            f"{exception_path(exception)} (its traceback cannot be shown: {type(error).__name__})\n"
        )
    return bounded(text, app_settings.MAX_TRACEBACK_BYTES)


def bounded(text: str, limit: int) -> str:
    """Return `text` in at most about `limit` bytes: its head and its tail."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"
    clean = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return clean.encode("utf-8", "backslashreplace").decode()
