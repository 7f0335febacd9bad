"""Outcome texts: the words and the level of each ending's log line, and its signal."""

from __future__ import annotations

from logging import ERROR, INFO, WARNING
from typing import NamedTuple

from django.dispatch import Signal

from ...signals import task_finished, task_retried
from ...store.values import Claim, Ending, EndingKind

#: What is reported: a claim, its ending, and what the body raised.
Ended = tuple[Claim, Ending, BaseException | None]


class OutcomeText(NamedTuple):
    """`verb` may name the ending's `delay`. Without a `signal` only the log has it."""

    verb: str
    level: int
    signal: Signal | None


OUTCOME_TEXTS = {
    EndingKind.FAIL: OutcomeText("failed", ERROR, task_finished),
    EndingKind.POISON: OutcomeText("failed: its worker was lost too often", ERROR, task_finished),
    EndingKind.CANCEL: OutcomeText("cancelled", INFO, task_finished),
    EndingKind.EXPIRE: OutcomeText("expired before it started", WARNING, task_finished),
    EndingKind.RETRY: OutcomeText("failed, next attempt in {delay:.1f} s", WARNING, task_retried),
    EndingKind.SNOOZE: OutcomeText("snoozed for {delay:.1f} s", INFO, None),
    EndingKind.RELEASE: OutcomeText("given back", INFO, None),
    EndingKind.LOSE: OutcomeText("lost its worker, runs again", WARNING, None),
    EndingKind.LATE: OutcomeText(
        "result refused, the task belongs to another worker now", WARNING, None
    ),
}
