"""Explain to a caller who waits for a task that it is in vain, or why it has not finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import UUID

from django.db import connections
from django.utils import translation

from ..models import TaskRecord
from ..store.tasks import enqueue


class Reason(Protocol):
    """Why a task has not finished: a `monitoring.diagnosis.Reason`."""

    @property
    def sentence(self) -> str: ...
    @property
    def is_problem(self) -> bool: ...
    @property
    def remedy(self) -> str: ...
    @property
    def command(self) -> str: ...


_diagnose: Callable[[TaskRecord], Iterable[Reason]]


def use_diagnosis(diagnose: Callable[[TaskRecord], Iterable[Reason]]) -> None:
    """Let `diagnose` say why a task has not finished: the monitoring asks backends, too."""
    global _diagnose
    _diagnose = diagnose


def check(database: str) -> None:
    """Raise RuntimeError in a transaction that would never see the task finish."""
    if not enqueue.sees_commits(database):
        raise RuntimeError(
            "Waiting for a result inside of a transaction that does not see what others commit (on"
            " SQLite any; elsewhere from REPEATABLE READ on) never ends. Wait outside of atomic(),"
            " and in tests of a TransactionTestCase."
        )


def explain(database: str, task_id: UUID) -> str:
    """Return in English why a task has not finished, by a few bounded queries."""
    record = TaskRecord.objects.using(database).filter(pk=task_id).first()
    if record is None:
        return ""
    with translation.override(None):
        said = [_said(reason) for reason in _diagnose(record)]
    if connections[database].in_atomic_block:
        said.append(
            "If it was enqueued in the transaction that is open here, workers see it after the"
            " commit."
        )
    return " ".join(said)


def _said(reason: Reason) -> str:
    if not reason.is_problem:
        return reason.sentence
    command = f" ({reason.command})" if reason.command else ""
    return f"{reason.sentence} {reason.remedy}{command}".rstrip()
