"""Writing outcomes in batches, telling of them afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from django.db import DatabaseError

from ..exception_texts import summary
from ..store import attempts, transitions
from ..store.claims import Claimer
from ..store.rows import Claim, Ending, EndingKind, Success
from .announcements import Announcer
from .config import WorkerConfig
from .connections import OwnConnections, ReceiverConnections
from .failures import fail, in_ascii
from .faults import is_outage
from .jobs import Job, Outcome
from .logs import log_ending, log_late, log_successes

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
        self.announcer = Announcer(
            config.database, receivers or ReceiverConnections(config.database)
        )
        self.claimer = claimer
        #: Whether a statement failed beside others that may have claimed.
        self.may_have_forgotten = False
        self._successes: list[tuple[Job, Success]] = []
        self._endings: list[tuple[Job, Ending]] = []
        self._settled: list[tuple[Job, Success]] = []

    def add(self, job: Job, outcome: Outcome) -> None:
        """Take an outcome to write."""
        if isinstance(outcome, Ending):
            self._endings.append((job, outcome))
        elif job.is_settled:
            self._settled.append((job, outcome))
        else:
            self._successes.append((job, outcome))

    @property
    def waiting(self) -> int:
        """How many outcomes are not written."""
        return len(self._successes) + len(self._endings) + len(self._settled)

    @property
    def is_waiting(self) -> bool:
        """Whether outcomes are not written."""
        return bool(self._successes or self._endings or self._settled)

    def waiting_claims(self) -> set[tuple[UUID, int]]:
        """Return the claims whose outcomes are not written."""
        pairs = [*self._successes, *self._endings, *self._settled]
        return {(job.claim.id, job.claim.claims) for job, _ in pairs}

    def write(self, room: int, *, is_woken: bool = False) -> list[Claim]:
        """
        Write all outcomes, claim up to `room` tasks and return the claims.

        Raise OperationalError and its like with what is not written kept for the next call.
        """
        self._write_endings()
        self._tell_of_settled()
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

    def _write_endings(self) -> None:
        if not self._endings:
            return
        try:
            settled = self._settle([ending for _, ending in self._endings])
        except DatabaseError as error:
            if is_outage(error):
                raise
            said = summary(error)
            logger.warning("A batch of endings was refused (%s); writing them one by one.", said)
            settled = self._settle_singly()
        written, self._endings = self._endings, []
        lost = {ending.id for ending in settled.refused}
        ended = []
        for job, ending in written:
            self.on_written(job)
            if ending.id in lost:
                log_late(job.claim, self.config)
                continue
            if ending.id in settled.cancelled:
                ending = replace(ending, kind=EndingKind.CANCEL)
            log_ending(job.claim, ending, self.config, job.exception)
            ended.append((job.claim, ending, job.exception))
        self.announcer.tell_of_endings(ended)

    def _settle(self, endings: list[Ending]) -> transitions.Settled:
        return transitions.settle(
            self.config.database,
            endings,
            self.config.worker_id,
            self.process,
            self.config.host,
        )

    def _settle_singly(self) -> transitions.Settled:
        """Write one by one; what the database refuses is written in plain ASCII."""
        all_settled = transitions.Settled([], set())
        for _, ending in self._endings:
            try:
                settled = self._settle([ending])
            except DatabaseError as error:
                if is_outage(error):
                    raise
                settled = self._settle([in_ascii(ending)])
            all_settled.refused.extend(settled.refused)
            all_settled.cancelled.update(settled.cancelled)
        return all_settled

    def _tell_of_settled(self) -> None:
        settled, self._settled = self._settled, []
        for job, _ in settled:
            self.on_written(job)
        if settled:
            self._tell_of_successes(settled)

    def _write_successes(self, room: int, is_woken: bool) -> list[Claim]:
        while len(batch := self._first_batch()) < len(self._successes):
            self._write_batch(batch, 0, is_woken)
        return self._write_batch(batch, room, is_woken)

    def _first_batch(self) -> list[tuple[Job, Success]]:
        """Return as many successes as fit in one statement that every server takes."""
        size = 0
        for index, (_, success) in enumerate(self._successes):
            size += len(success.value or "")
            if size > LARGEST_BATCH and index:
                return self._successes[:index]
        return self._successes

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
        late = self._late(successes) if accepted < len(successes) else set()
        written, self._successes = batch, self._successes[len(batch) :]
        for job, success in written:
            self.on_written(job)
            if success.id in late:
                log_late(job.claim, self.config)
        if written:
            self._tell_of_successes([pair for pair in written if pair[1].id not in late])
        return claims

    def _late(self, successes: list[Success]) -> set[UUID]:
        refused = attempts.refused_successes(
            self.config.database, successes, self.config.worker_id, self.process, self.config.host
        )
        return set(refused)

    def _write_successes_singly(self) -> None:
        """Write one by one; a result that the database refuses fails its own task only."""
        while self._successes:
            job, success = self._successes[0]
            try:
                is_late = not self.claimer.finish([success]) and self._late([success])
            except DatabaseError as error:
                if is_outage(error):
                    raise
                reason = ValueError(f"The database refused the return value: {error}")
                self._endings.append((job, fail(job.claim, reason, success.run_time)))
                self._successes.pop(0)
                continue
            self._successes.pop(0)
            self.on_written(job)
            if is_late:
                log_late(job.claim, self.config)
            else:
                self._tell_of_successes([(job, success)])
        self._write_endings()

    def _tell_of_successes(self, written: list[tuple[Job, Success]]) -> None:
        claims = [(job.claim, success) for job, success in written]
        log_successes(claims, self.config)
        self.announcer.tell_of_successes([claim for claim, _ in claims])
