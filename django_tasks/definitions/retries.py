"""Decide whether a failed attempt is retried, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..exceptions import Retry, TaskControl
from .protocols import AnyTask, Backoff
from .results import TaskResult


@dataclass(frozen=True, slots=True)
class exponential:  # noqa: N801 - reads as a function: backoff=exponential(first=5)
    """
    Wait `first` seconds, then `factor` times as long after each attempt, `maximum` at most.

    `jitter` (0 to 1, default 0.25): the share of the delay that is random, so that tasks that
    failed together do not come back together.
    """

    first: float = 2.0
    factor: float = 2.0
    maximum: float = 600.0
    jitter: float = 0.25

    def __call__(self, exception: BaseException, task_result: TaskResult[Any]) -> float:
        return self.delay(task_result.attempts)

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after attempt number `attempts`."""
        power = min(max(attempts, 1) - 1, 64)
        delay = min(self.first * self.factor**power, self.maximum)
        return delay * (1 - self.jitter * random.random())  # noqa: S311 - spreads load, guards nothing


DEFAULT_BACKOFF = exponential()


#: A delay beyond this is taken as this: databases have no later dates for what computes them.
LONGEST_DELAY = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`delay`: seconds until the next attempt; None when there is none."""

    delay: float | None


STOP = RetryDecision(None)


def decide(
    task: AnyTask,
    exception: BaseException,
    attempts: int,
    max_attempts: int,
    result: Callable[[], TaskResult[Any]],
) -> RetryDecision:
    """
    Decide what follows attempt number `attempts`, which raised `exception`.

    `result` gives the task result with this attempt in it; it is only called for a callable
    backoff.
    """
    if attempts >= max_attempts or not _is_retryable(task, exception):
        return STOP
    if isinstance(exception, Retry) and exception.delay is not None:
        delay: float | None = exception.delay
    else:
        delay = _delay(task.effective_backoff, exception, attempts, result)
    return RetryDecision(None if delay is None else min(delay, LONGEST_DELAY))


def _is_retryable(task: AnyTask, exception: BaseException) -> bool:
    if isinstance(exception, TaskControl):
        return isinstance(exception, Retry)
    if isinstance(exception, task.give_up_on):
        return False
    return isinstance(exception, task.retry_on)


def _delay(
    backoff: Backoff,
    exception: BaseException,
    attempts: int,
    result: Callable[[], TaskResult[Any]],
) -> float | None:
    if isinstance(backoff, exponential):
        return backoff.delay(attempts)  # as the call below, without reading the result
    if callable(backoff):
        delay = backoff(exception, result())
        return None if delay is None else max(0.0, float(delay))
    if isinstance(backoff, timedelta):
        return backoff.total_seconds()
    if isinstance(backoff, (int, float)):
        return float(backoff)
    return float(backoff[min(attempts, len(backoff)) - 1])
