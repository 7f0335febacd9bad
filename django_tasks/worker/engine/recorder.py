"""Write outcomes in batches, then log them and send their signals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import DatabaseError

from ...redaction.exceptions import summary
from ...runtime.faults import is_lock_timeout, is_outage
from ...store.tasks import attempts, transitions
from ...store.tasks.claims import Claimer
from ...store.tasks.transitions import Settled
from ...store.values import Claim, Ending, EndingKind, Success
from ..config import WorkerConfig
from ..execution.connections import OwnConnections, ReceiverConnections
from ..execution.failures import fail, in_ascii
from ..execution.jobs import Job, Outcome
from ..reporting.batches import BatchTeller
from ..reporting.logs import log_endings, log_late, log_successes
from ..reporting.outcomes import Ended
from ..reporting.signals import SignalSender
from .set_aside import SetAside
from .settling import joined, settle_apart

logger = logging.getLogger("django_tasks.worker")


#: Bytes of values in one statement: MariaDB takes 16 MB by default, in all.
LARGEST_BATCH = 4 << 20


class Recorder:
    """Holds outcomes until they are in the database."""

    def __init__(
        self,
        config: WorkerConfig,
        process: int,
        claimer: Claimer,
        on_written: Callable[[Job], None],
        receivers: ReceiverConnections | OwnConnections | None = None,
    ) -> None:
        self.config = config
        #: Called with each job whose end is in the database, or was refused for good.
        self.on_written = on_written
        self.process = process
        self.signal_sender = SignalSender(
            config.database, receivers or ReceiverConnections(config.database)
        )
        self.batches = BatchTeller(config, process)
        self.claimer = claimer
        #: Whether a statement failed beside others that may have claimed.
        self.may_have_forgotten = False
        self._successes: list[tuple[Job, Success]] = []
        self._endings: list[tuple[Job, Ending]] = []
        #: Successes of steps, for which others may wait.
        self._steps: list[tuple[Job, Success]] = []
        self._settled: list[tuple[Job, Success]] = []
        self._set_aside = SetAside()
        #: Whether to wait for locks on joins: not while somebody holds one for long.
        self._waits = True

    def add(self, job: Job, outcome: Outcome) -> None:
        """Take an outcome to write."""
        if isinstance(outcome, Ending):
            self._endings.append((job, outcome))
        elif job.is_settled:
            self._settled.append((job, outcome))
        elif job.claim.hooks:
            self._steps.append((job, outcome))
        else:
            self._successes.append((job, outcome))

    @property
    def waiting(self) -> int:
        """How many outcomes are to be written with the next batch."""
        successes = len(self._successes) + len(self._steps) + len(self._settled)
        return successes + len(self._endings)

    @property
    def is_waiting(self) -> bool:
        """Whether outcomes are not written."""
        return bool(self.waiting or self._set_aside)

    @property
    def retry_at(self) -> float | None:
        """When to try again what somebody's lock kept from being written, by time.monotonic()."""
        return self._set_aside.retry_at

    def waiting_claims(self) -> set[tuple[UUID, int]]:
        """Return the claims whose outcomes are not written."""
        pairs = [*self._successes, *self._endings, *self._steps, *self._settled, *self._set_aside]
        return {(job.claim.id, job.claim.claims) for job, _ in pairs}

    def write(self, room: int, *, is_woken: bool = False) -> list[Claim]:
        """
        Write all outcomes, claim up to `room` tasks and return the claims.

        Raise OperationalError and its like with what is not written kept for the next call.
        """
        tried_again = self._set_aside.take()
        self._waits = not tried_again
        for job, outcome in tried_again:
            self.claimer.skip_locked_for_a_while()
            self.add(job, outcome)
        self._successes = self._saved(self._successes)
        self._steps = self._saved(self._steps)
        self._write_steps()
        self._write_endings()
        self._send_settled()
        try:
            return self._write_successes(room, is_woken)
        except DatabaseError as error:  # one value that this database refuses
            if is_outage(error):
                raise
            said = summary(error)
        logger.warning("A batch of results was refused (%s); writing them one by one.", said)
        self.may_have_forgotten = True
        # After the except block: receivers take an exception in hand for that of the task.
        self._write_successes_singly()
        return []

    def _saved(self, successes: list[tuple[Job, Success]]) -> list[tuple[Job, Success]]:
        """Set successes aside that wait for a write of their body: see EngineCalls."""
        unsaved = [
            (job, success)
            for job, success in successes
            if job.run is not None and job.run.has_unsaved
        ]
        if not unsaved:
            return successes
        self._set_aside.add(unsaved)
        return [pair for pair in successes if pair not in unsaved]

    def _write_steps(self) -> None:
        """Write successes of steps; a result that the database refuses fails its own task only."""
        most: int | None = None
        while self._steps:
            batch = self._first_batch(self._steps)[:most]
            successes = [success for _, success in batch]
            try:
                accepted = transitions.succeed_steps(
                    self.config.database, successes, waits=self._waits
                )
            except DatabaseError as error:
                is_locked = is_lock_timeout(error)
                self._waits &= not is_locked
                if is_outage(error) and not is_locked:
                    raise
                if len(batch) == 1:
                    self._steps.pop(0)
                    if is_locked:
                        self._set_aside.add(batch)
                    else:
                        self._endings.append((batch[0][0], _refused(*batch[0], error)))
                most = 1
                continue
            late, locked = self._not_accepted(successes, accepted)
            self._steps = self._steps[len(batch) :]
            self._succeed(batch, late, locked)

    def _write_endings(self) -> None:
        while self._endings:
            sizes = (len(e.attempt.traceback) if e.attempt else 0 for _, e in self._endings)
            batch = self._endings[: _fitting(sizes)]
            settled = self._settle_all([ending for _, ending in batch])
            self._endings = self._endings[len(batch) :]
            self._end(batch, settled)

    def _settle_all(self, endings: list[Ending]) -> Settled:
        """Write endings; what the database refuses is written in plain ASCII."""
        settled, odd = settle_apart(self._settle, endings)
        for ending, error in odd:
            logger.warning(
                "What became of task %s was refused (%s); writing it in plain ASCII.",
                ending.id, summary(error),
            )  # fmt: skip
            settled = joined(settled, self._settle([in_ascii(ending)]))
        return settled

    def _settle(self, endings: list[Ending]) -> Settled:
        try:
            return transitions.settle(
                self.config.database,
                endings,
                self.config.worker_id,
                self.process,
                self.config.host,
                waits=self._waits,
            )
        except DatabaseError as error:
            self._waits &= not is_lock_timeout(error)
            raise

    def _end(self, batch: list[tuple[Job, Ending]], settled: Settled) -> None:
        """Report endings, except those that somebody's lock kept from being written."""
        lost = {ending.id for ending in settled.refused}
        locked = {ending.id for ending in settled.locked}
        self._set_aside.add(pair for pair in batch if pair[1].id in locked)
        ended: list[Ended] = []
        for job, ending in batch:
            if ending.id in locked:
                continue
            self.on_written(job)
            if ending.id in lost:
                log_late(job.claim, self.config)
                continue
            if ending.id in settled.cancelled:
                ending = ending._replace(kind=EndingKind.CANCEL)
            ended.append((job.claim, ending, job.exception))
        log_endings(ended, self.config)
        self.batches.ended(ended, [job for job, _ in batch])
        self.signal_sender.send_endings(ended)

    def _send_settled(self) -> None:
        settled, self._settled = self._settled, []
        for job, _ in settled:
            self.on_written(job)
        if settled:
            self._send_successes(settled)

    def _write_successes(self, room: int, is_woken: bool) -> list[Claim]:
        while len(batch := self._first_batch(self._successes)) < len(self._successes):
            self._write_batch(batch, 0, is_woken)
        return self._write_batch(batch, room, is_woken)

    def _first_batch(self, successes: list[tuple[Job, Success]]) -> list[tuple[Job, Success]]:
        """Return as many successes as fit in one statement."""
        return successes[: _fitting(len(s.value or "") for _, s in successes)]

    def _write_batch(
        self, batch: list[tuple[Job, Success]], room: int, is_woken: bool
    ) -> list[Claim]:
        successes = [success for _, success in batch]
        if not room and not successes:
            return []
        claims: list[Claim] = []
        if room:
            accepted, claims = self.claimer.finish_and_claim(successes, room, is_woken=is_woken)
        else:
            accepted = self.claimer.finish(successes)
        late, locked = self._not_accepted(successes, accepted)
        self._successes = self._successes[len(batch) :]
        self._succeed(batch, late, locked)
        return claims

    def _not_accepted(self, successes: list[Success], accepted: int) -> tuple[set[UUID], set[UUID]]:
        """Return which came too late, and which wait for somebody's lock."""
        if accepted == len(successes):
            return set(), set()
        late, locked = attempts.refused_successes(
            self.config.database, successes, self.config.worker_id, self.process, self.config.host
        )
        return set(late), set(locked)

    def _succeed(
        self, batch: list[tuple[Job, Success]], late: set[UUID], locked: set[UUID]
    ) -> None:
        """Report successes, except those that somebody's lock kept from being written."""
        if locked:
            self._set_aside.add(pair for pair in batch if pair[1].id in locked)
            batch = [pair for pair in batch if pair[1].id not in locked]
        for job, _ in batch:
            self.on_written(job)
        if late:
            for job in [job for job, success in batch if success.id in late]:
                log_late(job.claim, self.config)
            batch = [pair for pair in batch if pair[1].id not in late]
        if batch:
            self._send_successes(batch)

    def _write_successes_singly(self) -> None:
        """Write one by one; a result that the database refuses fails its own task only."""
        while self._successes:
            job, success = self._successes[0]
            try:
                accepted = self.claimer.finish([success])
            except DatabaseError as error:
                if is_outage(error):
                    raise
                self._endings.append((job, _refused(job, success, error)))
                self._successes.pop(0)
                continue
            late, locked = self._not_accepted([success], accepted)
            self._successes.pop(0)
            self._succeed([(job, success)], late, locked)
        self._write_endings()

    def _send_successes(self, written: list[tuple[Job, Success]]) -> None:
        claims = [(job.claim, success) for job, success in written]
        log_successes(claims, self.config)
        self.batches.succeeded(written)
        self.signal_sender.send_successes([claim for claim, _ in claims])


def _refused(job: Job, success: Success, error: DatabaseError) -> Ending:
    """Return what becomes of a task whose return value the database refuses."""
    reason = ValueError(f"The database refused the return value: {error}")
    return fail(job.claim, reason, success.run_time)


def _fitting(sizes: Iterable[int]) -> int:
    """Return how many values fit in one statement that every server takes: one at least."""
    count = total = 0
    for size in sizes:
        total += size
        if total > LARGEST_BATCH and count:
            break
        count += 1
    return count
