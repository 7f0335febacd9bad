"""Publish again what a broker has lost, and ask it rather than the table when that is due."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from ...brokers.base import Broker, BrokerAway, Pulse, Ready
from ...conf import app_settings
from ...routing import QueueSelection
from ...runtime.outages import LONGEST_PAUSE
from ...runtime.time_share import pause_after
from ...store import dialects

logger = logging.getLogger("django_tasks.broker")

#: Tasks that the broker is asked about at a time, and how often per queue and round.
CHUNK, MOST_CHUNKS = 1000, 20
#: Seconds after which what was missing is looked for again. What is on its way, from a commit to
#: the broker or from the broker to a claim, has arrived by then.
CONFIRM_AFTER = 0.25
#: Seconds for which the table is left alone while the broker is well and nothing is ready.
REST = 10.0
#: Seconds after an outage for which others may not know that it is over, and publish nothing: a
#: pause of theirs, and an attempt that began before.
GRACE_AFTER_OUTAGE = LONGEST_PAUSE + 3.0

Place = tuple[int, UUID]


class Findings(NamedTuple):
    """What a round leaves to do."""

    #: Seconds from its end to the next one: a broker that is away may have taken long to be so.
    pause: float
    #: Whether a task may be due sooner than it was known, or something be asked of the worker.
    has_later: bool = False
    #: Whether the broker takes nothing in, or not all: processes that can still ask it have to
    #: look into the table, too.
    is_refused: bool = False


class Reconciler:
    """
    Compares the tasks that are next in turn with what the broker holds.

    What lies further back is compared when its turn comes, so a round costs the same however
    many tasks wait. Any number of keepers may do it: publishing twice is as good as once.

    Each round asks the broker how it is, also while it is away: until a keeper has noticed that it
    is back, workers that have noticed wait for what nobody published. As long as it is well the
    table is looked at rarely while nothing is ready there: only a process that died between a
    commit and the broker, or between the broker and a claim, leaves something to be found then.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, backend: str, queues: QueueSelection, broker: Broker
    ) -> None:
        self.connection = connection
        self.dialect = dialects.dialect_for(connection)
        self.backend = backend
        self.queues = queues
        self.broker = broker
        #: Seconds for which the table may be left alone at most.
        self.longest_rest = max(app_settings.POLL_INTERVAL, REST)
        self._pulse: Pulse | None = None
        self._generation: bytes | None = None
        self._compare_at = 0.0
        self._grace_until = 0.0
        self._is_refused = False
        self._missed: set[UUID] = set()
        #: Where the publishing of queues goes on of which everything was lost.
        self._places: dict[str, Place] = {}

    @property
    def rest(self) -> float:
        """Seconds for which the table may be left alone: the broker would tell."""
        return app_settings.POLL_INTERVAL if self._pulse is None else self.longest_rest

    def run(self) -> Findings:
        """Publish what the broker has lost, as far as it is time to look for that."""
        before, self._pulse = self._pulse, None
        outage = self.broker.outage
        self._is_refused = False
        try:
            pulse = self.broker.pulse()
            now = time.monotonic()
            has_lost_all = self._has_lost_all(pulse)
            if has_lost_all or outage.since is not None:
                self._grace_until = now + GRACE_AFTER_OUTAGE
                outage.retry_now()
            if before is None or now >= self._compare_at or now < self._grace_until:
                self._compare_all(now, has_lost_all=has_lost_all)
        except BrokerAway as error:
            outage.began(error)
            self._is_refused = True
        if self._is_refused:
            has_later = before is not None
            return Findings(app_settings.POLL_INTERVAL, has_later=has_later, is_refused=True)
        outage.over()
        self._note(pulse)
        return Findings(
            CONFIRM_AFTER if self._missed or self._places else app_settings.POLL_INTERVAL,
            has_later=pulse is not None and (before is None or before.later != pulse.later),
        )

    def _has_lost_all(self, pulse: Pulse | None) -> bool:
        return pulse is not None and self._generation not in (None, pulse.generation)

    def _note(self, pulse: Pulse | None) -> None:
        self._pulse = pulse
        if pulse is not None:
            self._generation = pulse.generation

    def _compare_all(self, now: float, *, has_lost_all: bool) -> None:
        missed: set[UUID] = set()
        published = 0
        names = self._queue_names()
        for queue_name in names:
            published += self._compare(queue_name, missed, is_lost=has_lost_all)
        if published:
            logger.info("Published %d ready tasks again that the broker did not hold.", published)
        self._missed = missed
        is_soon = missed or self._places
        rest = app_settings.POLL_INTERVAL if names else self.longest_rest
        # A held snapshot makes it walk over all that was ready since.
        rest = max(rest, pause_after(time.monotonic() - now))
        self._compare_at = now if is_soon else now + rest

    def _queue_names(self) -> list[str]:
        """Return the queues with ready tasks."""
        names = self.dialect.ready_queues(self.connection, self.backend)
        return self.queues.ordered(names)

    def _compare(self, queue_name: str, missed: set[UUID], *, is_lost: bool) -> int:
        """Add what is missing for the first time to `missed`; return how many were published."""
        lost: list[Ready] = []
        beyond = self._places.pop(queue_name, None)
        is_lost |= beyond is not None
        for _ in range(MOST_CHUNKS):
            chunk = self._next_in_turn(queue_name, beyond)
            missing = self.broker.missing(chunk)
            lost += [task for task in missing if is_lost or task.id in self._missed]
            if not is_lost:
                missed |= {task.id for task in missing} - self._missed
            if len(chunk) < CHUNK or len(missing) < len(chunk):
                break  # where it holds something it is likely to hold the rest
            beyond = (-chunk[-1].priority, chunk[-1].id)
        else:
            if lost and beyond is not None:
                self._places[queue_name] = beyond
        if lost and not self.broker.publish(lost):  # not before: some brokers can only count
            self._is_refused = True
            return 0
        return len(lost)

    def _next_in_turn(self, queue_name: str, beyond: Place | None) -> list[Ready]:
        rows = self.dialect.next_in_turn(self.connection, self.backend, queue_name, CHUNK, beyond)
        return [Ready(task_id, queue_name, priority) for task_id, priority in rows]
