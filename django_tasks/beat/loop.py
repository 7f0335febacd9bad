"""The loop of a beat: tick, sleep until the next slot, show that it lives, prune old runs."""

from __future__ import annotations

import logging
import math
import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.db import connections

from ..conf import app_settings
from ..runtime.clock import clock
from ..runtime.duties import Duties, Duty
from ..runtime.faults import CONNECTION_ERRORS
from ..runtime.outages import Outage
from ..runtime.wakeups import WakeUp
from ..store import dialects
from ..store.schedules import due, sync
from ..store.tasks.retention import runs_age
from ..store.workers import leases
from .tick import disable_unreadable, tick

logger = logging.getLogger("django_tasks.beat")

#: Heartbeats in the time of one lease.
BEATS_PER_LEASE = 4
#: Seconds that pruning may take before other duties have their turn, and then the pause.
PRUNE_FOR, PRUNE_PAUSE = 0.3, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatConfig:
    """What a beat was asked to do."""

    backend: str
    database: str
    host: str = ""
    #: New at each start.
    beat_id: UUID = field(default_factory=uuid4)


class Beat:
    """
    Enqueues what schedules of one database are due for, until stopped.

    `show_life` is called in every round. Create it anywhere; run() uses the database.
    """

    def __init__(self, config: BeatConfig, show_life: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.database = config.database
        self.show_life = show_life
        self.outage = Outage("the schedules' database")
        self.is_stopping = False
        self._wake_up = WakeUp()
        self._lease_until = float("-inf")
        self._shown_at = clock()
        self._is_registered = False
        self._ticking = Duty(self._tick, app_settings.BEAT_INTERVAL)
        duties = [
            Duty(self._renew, app_settings.LEASE / BEATS_PER_LEASE),
            Duty(self._sync, math.inf),
            self._ticking,
        ]
        if app_settings.PRUNE_INTERVAL is not None:
            self._pruning = Duty(self._prune, app_settings.PRUNE_INTERVAL, first_in=5.0)
            duties.append(self._pruning)
        self._duties = Duties("beat", duties, self.database, self.outage)

    def stop(self) -> None:
        """Stop when the transaction in hand has ended. From any thread, or a signal's handler."""
        self.is_stopping = True
        self._wake_up.send()

    def silence(self) -> float:
        """Return the seconds since the loop last turned."""
        return clock() - self._shown_at

    def is_ready(self) -> bool:
        """Tell whether the database answers: the row could be renewed."""
        return clock() < self._lease_until

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Beat until stopped."""
        self._info = leases.WorkerInfo(
            id=self.config.beat_id,
            host=self.config.host,
            pid=os.getpid(),
            backend=self.config.backend,
            queues="",
            pool=leases.BEAT,
            concurrency=0,
            lease=app_settings.LEASE,
        )
        connection = connections[self.database]
        dialects.dialect_for(connection).prepare_worker_connection(connection)
        while not self.is_stopping:
            self._round()
            self._sleep()
        self._leave()

    def _round(self) -> None:
        self._shown_at = clock()
        self.show_life()
        if self._duties.do_due():
            self.outage.over()

    def _sleep(self) -> None:
        select.select([self._wake_up], [], [], self._duties.pause())

    # --- duties -------------------------------------------------------------------------------

    def _sync(self) -> None:
        """Make rows of what the code declares, once; a row that cannot be read stops none."""
        disable_unreadable(self.database)
        sync.sync(self.database)

    def _tick(self) -> None:
        next_in = tick(self.database)
        if next_in is not None:
            self._ticking.next_in(next_in)

    def _renew(self) -> None:
        """Renew the row that says that this beat lives; it counts from before the statement."""
        asked_at = clock()
        if not leases.renew(self.database, self._info):
            if self._is_registered:
                logger.warning("Beat %s was taken for dead; it registers anew.", self._info.id)
            leases.register(self.database, self._info)
        self._is_registered = True
        self._lease_until = asked_at + self._info.lease

    def _prune(self) -> None:
        """Delete runs as old as successful tasks get; no slot comes back for `last_slot_at`."""
        age = runs_age()
        if age is None:
            return
        pruned = due.prune_runs(self.database, age, seconds=PRUNE_FOR)
        if pruned.number:
            logger.info("Pruned %d runs of schedules.", pruned.number)
        if not pruned.is_done:
            self._pruning.next_in(PRUNE_PAUSE)

    def _leave(self) -> None:
        try:
            leases.unregister(self.database, self.config.beat_id)
        except CONNECTION_ERRORS as error:
            logger.warning("Could not sign off (%s); the lease runs out by itself.", error)
        connections.close_all()
        self._wake_up.close()
