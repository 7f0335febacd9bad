"""Rescue lost tasks: write how they go on, then log it and send signals, once each."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError, transaction

from ...redaction.exceptions import loggable_fault
from ...runtime.faults import is_outage
from ...store.tasks import transitions
from ...store.values import Claim, Ending, EndingKind
from ...store.workers.leases import SWEEP_CHUNK, Orphan
from ..config import WorkerConfig
from ..engine.settling import Refused, settle_apart
from ..execution.connections import ReceiverConnections
from ..reporting.batches import BatchTeller
from ..reporting.logs import log_endings
from ..reporting.outcomes import Ended
from ..reporting.signals import SignalSender
from ..status import Tally
from . import lost_tasks

logger = logging.getLogger("django_tasks.keeper")

#: Seconds that receivers of signals may take before other duties have their turn. One that takes
#: longer is waited for.
SEND_FOR = 0.1
#: Endings whose signals are sent without a look at the time.
SENT_AT_ONCE = 20


class _Batch(NamedTuple):
    """Decisions, and the process that they are about, or this worker for those of many."""

    decided: list[tuple[Claim, Ending]]
    worker_id: UUID
    process: int


class Rescues:
    """The endings of lost tasks, until they are written and their signals sent."""

    def __init__(self, config: WorkerConfig, tally: Tally | None = None) -> None:
        self.config = config
        self.tally = tally or Tally()
        self.signal_sender = SignalSender(config.database, ReceiverConnections(config.database))
        self.batches = BatchTeller(config, 0)
        #: What may be written or not: the database went away meanwhile.
        self._in_hand: _Batch | None = None
        self._unsent: deque[Ended] = deque()

    @property
    def has_unsent(self) -> bool:
        """Whether signals wait to be sent."""
        return bool(self._unsent)

    def write(self, decided: list[tuple[Claim, Ending]], worker_id: UUID, process: int) -> bool:
        """Write what became of tasks of one process; return False if some rows are locked."""
        self._in_hand = _Batch(decided, worker_id, process)
        return self.finish()

    def rescue(self, lock_orphans: Callable[[], list[Orphan]]) -> bool:
        """Rescue a chunk of orphans; return whether there may be more."""
        me = self.config.worker_id
        try:
            with transaction.atomic(using=self.config.database):
                orphans = lock_orphans()
                decided = [(o.claim, lost_tasks.of_orphan(o, me)) for o in orphans]
                self._in_hand = _Batch(decided, me, 0)
                settled = self._settle(self._in_hand, [ending for _, ending in decided])
        except DatabaseError as error:
            if is_outage(error) or self._in_hand is None:
                raise
            self.finish()  # without those that are odd
            return False
        self._end(settled, [])
        return len(orphans) >= SWEEP_CHUNK

    def finish(self) -> bool:
        """
        Write what is in hand; return False if some rows are locked.

        It may have been written before, and only the answer to it been lost.
        """
        if self._in_hand is None:
            return True
        endings = [ending for _, ending in self._in_hand.decided]
        settled, odd = settle_apart(partial(self._settle, self._in_hand), endings)
        self._end(settled, odd)
        return not settled.locked

    def send_signals(self) -> bool:
        """Send the signals of some rescued tasks; return whether there are more."""
        until = time.monotonic() + SEND_FOR
        while self._unsent and time.monotonic() < until:
            some = [self._unsent.popleft() for _ in range(min(SENT_AT_ONCE, len(self._unsent)))]
            self.signal_sender.send_endings(some)
        return self.has_unsent

    def _settle(self, batch: _Batch, endings: list[Ending]) -> transitions.Settled:
        return transitions.settle(
            self.config.database,
            endings,
            batch.worker_id,
            batch.process,
            self.config.host,
            writes_late=False,
            waits=False,
        )

    def _end(self, settled: transitions.Settled, odd: Refused) -> None:
        """Log what is written, and keep it for the receivers of signals."""
        assert self._in_hand is not None
        batch, self._in_hand = self._in_hand, None
        for ending, error in odd:
            shown = loggable_fault(error)
            logger.error("The end of task %s cannot be written.", ending.id, exc_info=shown)
        # The owner wrote the end itself, or it is to be tried again.
        passed_over = [*settled.refused, *settled.locked, *(ending for ending, _ in odd)]
        unwritten = {ending.id for ending in passed_over}
        ended: list[Ended] = []
        for claim, ending in batch.decided:
            if claim.id in unwritten:
                continue
            if claim.id in settled.cancelled:
                ending = ending._replace(kind=EndingKind.CANCEL)
            ended.append((claim, ending, None))
        kinds = [ending.kind for _, ending, _ in ended]
        self.tally.lost_and_retried += kinds.count(EndingKind.LOSE)
        self.tally.lost_and_failed += kinds.count(EndingKind.POISON)
        log_endings(ended, self.config)
        self.batches.ended(ended)
        self._unsent.extend(ended)
