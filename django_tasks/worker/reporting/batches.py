"""Telling the subscribers of `instrumentation` what a process has claimed and ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from ... import instrumentation
from ...instrumentation import Batch, Event, Outcome, TaskEvent
from ...runtime.clock import clock
from ...store.values import Claim, EndingKind, Success
from ..board import Board
from ..config import WorkerConfig
from ..execution.jobs import Job
from .outcomes import Ended

OUTCOMES = {
    EndingKind.FAIL: Outcome.FAILED,
    EndingKind.RETRY: Outcome.RETRIED,
    EndingKind.SNOOZE: Outcome.SNOOZED,
    EndingKind.RELEASE: Outcome.RELEASED,
    EndingKind.LOSE: Outcome.LOST,
    EndingKind.POISON: Outcome.POISONED,
    EndingKind.CANCEL: Outcome.CANCELLED,
    EndingKind.EXPIRE: Outcome.EXPIRED,
    EndingKind.LATE: Outcome.LATE,
}


class BatchTeller:
    """
    Makes batches of what one process writes, if somebody listens.

    Nobody listening costs one truth test per batch: all that is told was known before.
    """

    def __init__(self, config: WorkerConfig, process: int) -> None:
        self.config = config
        self.process = process
        #: Where it stands since when a body ran. None: in a keeper, which runs none.
        self.board: Board | None = None

    def claimed(self, claims: Sequence[Claim], metadata: Mapping[UUID, str]) -> None:
        """Tell of tasks that were claimed just now."""
        if not claims or not instrumentation.subscribers():
            return
        now = instrumentation.now()
        tasks = [
            _event(claim)._replace(claimed_at=now, metadata=metadata.get(claim.id))
            for claim in claims
        ]
        self._tell(Event.CLAIMED, tasks)

    def succeeded(self, written: Sequence[tuple[Job, Success]]) -> None:
        """Tell of successes that are written."""
        if not instrumentation.subscribers():
            return
        tasks = [
            self._ended(_event(job.claim), job, success.run_time)._replace(
                outcome=Outcome.SUCCEEDED
            )
            for job, success in written
        ]
        self._tell(Event.ENDED, tasks)

    def ended(self, ended: Sequence[Ended], jobs: Sequence[Job] = ()) -> None:
        """Tell of what else is written. `jobs`: of those, if a process of ours ran them."""
        if not ended or not instrumentation.subscribers():
            return
        known = {job.claim.id: job for job in jobs}
        tasks = []
        for claim, ending, exception in ended:
            attempt = ending.attempt
            run_time = attempt.run_time if attempt else None
            event = self._ended(_event(claim), known.get(claim.id), run_time)
            tasks.append(
                event._replace(
                    outcome=OUTCOMES[ending.kind],
                    delay=ending.delay,
                    exception=exception,
                    exception_path=attempt.exception_path if attempt else "",
                )
            )
        self._tell(Event.ENDED, tasks)

    def _ended(self, event: TaskEvent, job: Job | None, run_time: float | None) -> TaskEvent:
        """Add the times of a task that ended, and what travelled with it."""
        if job is None:
            return event._replace(ended_at=instrumentation.now(), run_time=run_time)
        claimed_at = _moment(time.monotonic() - job.claimed_at)
        started_at, ended_at = None, instrumentation.now()
        if self.board is not None and run_time is not None:
            started_at = _moment(clock() - self.board.started_at[job.entry])
            ended_at = started_at + timedelta(seconds=run_time)
        return event._replace(
            claimed_at=claimed_at,
            started_at=started_at,
            ended_at=ended_at,
            run_time=run_time,
            metadata=job.metadata,
        )

    def _tell(self, event: Event, tasks: Sequence[TaskEvent]) -> None:
        config = self.config
        instrumentation.tell(
            Batch(event, config.backend, tasks, config.worker_id, self.process, config.host)
        )


def _event(claim: Claim) -> TaskEvent:
    return TaskEvent(
        claim.id,
        claim.task_path,
        claim.queue_name,
        claim.priority,
        claim.attempts,
        instrumentation.enqueued_at(claim.id),
    )


def _moment(seconds_ago: float) -> datetime:
    return instrumentation.now() - timedelta(seconds=seconds_ago)
