"""Send the signals of ended tasks, after the commit, and only if somebody listens."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple
from uuid import UUID

from django.dispatch import Signal

from ...definitions import registry
from ...definitions.results import TaskResult
from ...redaction.exceptions import OF_OTHERS, loggable, summary
from ...runtime.faults import is_outage
from ...signals import has_listeners, task_finished
from ...store.tasks import enqueue
from ...store.values import Claim
from ..execution.connections import OwnConnections, ReceiverConnections
from .outcomes import OUTCOME_TEXTS, Ended

logger = logging.getLogger("django_tasks.worker")


class PendingSignal(NamedTuple):
    """A signal to send."""

    signal: Signal
    result: TaskResult[Any]
    exception: BaseException | None


class SignalSender:
    """Sends the signals of ended tasks, on connections for receivers."""

    def __init__(self, database: str, receivers: ReceiverConnections | OwnConnections) -> None:
        self.database = database
        self.receivers = receivers

    def send_successes(self, claims: Sequence[Claim]) -> None:
        """Send task_finished for each; whether somebody listens is asked once per batch."""
        listeners = Listeners(task_finished)
        self._load_and_send(
            [(claim, task_finished, None) for claim in claims if listeners.listens_to(claim)]
        )

    def send_endings(self, ended: Sequence[Ended]) -> None:
        """Send task_finished or task_retried; nothing for a task that was only given back."""
        heard = []
        listeners = cache(Listeners)
        for claim, ending, exception in ended:
            signal = OUTCOME_TEXTS[ending.kind].signal
            shown = exception if signal is task_finished else None
            level = logging.INFO if shown is None else logging.ERROR
            if signal is not None and listeners(signal, level).listens_to(claim):
                heard.append((claim, signal, shown))
        self._load_and_send(heard)

    def _load_and_send(self, heard: Sequence[tuple[Claim, Signal, BaseException | None]]) -> None:
        """Send signals with the tasks' results as they are stored; of one that is gone none."""
        if heard:
            results = self._load([claim for claim, _, _ in heard])
            self._send(
                PendingSignal(signal, results[claim.id], exception)
                for claim, signal, exception in heard
                if claim.id in results
            )

    def _load(self, claims: Sequence[Claim]) -> dict[UUID, TaskResult[Any]]:
        try:
            results = enqueue.load_many(self.database, [claim.id for claim in claims])
        except Exception as error:  # noqa: BLE001 - the outcome is written; only its signal is not
            if len(claims) > 1 and not is_outage(error):
                return {key: value for one in claims for key, value in self._load([one]).items()}
            reason = summary(error) if is_outage(error) else type(error).__name__
            for claim in claims:
                logger.warning("No signal was sent for task %s: %s", claim.id, reason)
            return {}
        return {UUID(result.id): result for result in results}

    def _send(self, pending_signals: Iterable[PendingSignal]) -> None:
        with self.receivers.lent():
            for pending in pending_signals:
                _send(pending)


class Listeners:
    """
    Who listens to a signal, asked once per task for the time of a batch.

    `level`: at what Django's own receivers would log it.
    """

    def __init__(self, signal: Signal, level: int = logging.INFO) -> None:
        self._signal = signal
        self._level = level
        self._known: dict[str, bool] = {}

    def listens_to(self, claim: Claim) -> bool:
        """Tell whether somebody listens to the signal about this task."""
        known = self._known.get(claim.task_path)
        if known is None:
            task = registry.find(claim.task_path)
            known = task is not None and has_listeners(
                self._signal, type(task.get_backend()), self._level
            )
            self._known[claim.task_path] = known
        return known


def _send(pending: PendingSignal) -> None:
    send = partial(
        pending.signal.send_robust,
        type(pending.result.task.get_backend()),
        task_result=pending.result,
    )
    if pending.exception is None:
        responses = send()
    else:
        try:  # receivers that log read the exception from the except block they are called in
            raise pending.exception
        except BaseException:  # noqa: BLE001 - raised to be handled right here
            responses = send()
    for receiver, error in responses:
        if isinstance(error, Exception):
            # The task's exception is behind one that was raised in the except block above.
            shown = loggable(error, OF_OTHERS)
            logger.error("Receiver %r failed.", receiver, exc_info=shown)
