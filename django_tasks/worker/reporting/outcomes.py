"""How each ending is told: the words and the level of its log line, and its signal."""

from __future__ import annotations

from logging import ERROR, INFO, WARNING
from typing import NamedTuple

from django.dispatch import Signal

from ...signals import task_finished, task_retried
from ...store.values import Claim, Ending, EndingKind

#: What is told of: a claim, its end, and what the body raised.
Ended = tuple[Claim, Ending, BaseException | None]


class Telling(NamedTuple):
    """`verb` may name the ending's `delay`. Without a `signal` nobody is told but the log."""

    verb: str
    level: int
    signal: Signal | None


TELLINGS = {
    EndingKind.FAIL: Telling("failed", ERROR, task_finished),
    EndingKind.POISON: Telling("failed: its worker was lost too often", ERROR, task_finished),
    EndingKind.CANCEL: Telling("cancelled", INFO, task_finished),
    EndingKind.EXPIRE: Telling("expired before it started", WARNING, task_finished),
    EndingKind.RETRY: Telling("failed, next attempt in {delay:.1f} s", WARNING, task_retried),
    EndingKind.SNOOZE: Telling("snoozed for {delay:.1f} s", INFO, None),
    EndingKind.RELEASE: Telling("given back", INFO, None),
    EndingKind.LOSE: Telling("lost its worker, runs again", WARNING, None),
    EndingKind.LATE: Telling(
        "result refused, the task belongs to another worker now", WARNING, None
    ),
}
