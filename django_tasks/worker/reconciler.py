"""Publishing again what a broker has lost."""

from __future__ import annotations

import logging
import time
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from ..brokers.base import Broker, BrokerAway, Ready
from ..dep14.base import DEFAULT_TASK_QUEUE_NAME
from ..routing import QueueSelection
from ..store import dialects

logger = logging.getLogger("django_tasks.broker")

#: Tasks that the broker is asked about at a time, and how often per queue and round.
CHUNK, MOST_CHUNKS = 1000, 20
#: Seconds after which what was missing is looked for again. What is on its way, from a commit to
#: the broker or from the broker to a claim, has arrived by then.
CONFIRM_AFTER = 0.25


class Reconciler:
    """
    Compares the tasks that are next in turn with what the broker holds.

    What lies further back is compared when its turn comes, so a round costs the same however
    many tasks wait. Any number of keepers may do it: publishing twice is as good as once.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, backend: str, queues: QueueSelection, broker: Broker
    ) -> None:
        self.connection = connection
        self.dialect = dialects.of(connection)
        self.backend = backend
        self.queues = queues
        self.broker = broker
        self._missed: set[UUID] = set()

    def run(self) -> bool:
        """Publish what was missing before and still is; tell whether more may be missing."""
        if not self.broker.outage.allows(time.monotonic()):
            return False
        missed: set[UUID] = set()
        published = 0
        try:
            if self.broker.outage.since is not None:
                self._find_out_whether_it_is_back()
            for queue_name in self._queue_names():
                published += self._compare(queue_name, missed)
        except BrokerAway as error:
            self.broker.outage.began(error)
            return False
        self.broker.outage.over()
        if published:
            logger.info("Published %d ready tasks again that the broker did not hold.", published)
        self._missed = missed
        return bool(missed)

    def _find_out_whether_it_is_back(self) -> None:
        """Ask what nobody needs to know: without ready tasks there is nothing else to ask."""
        queue_name = self.queues.only_queue or DEFAULT_TASK_QUEUE_NAME
        self.broker.missing([Ready(UUID(int=0), queue_name, 0)])

    def _queue_names(self) -> list[str]:
        if only := self.queues.only_queue:
            return [only]
        names = self.dialect.ready_queues(self.connection, self.backend)
        return self.queues.ordered(names)

    def _compare(self, queue_name: str, missed: set[UUID]) -> int:
        """Add what is missing for the first time to `missed`; return how many were published."""
        lost: list[Ready] = []
        beyond = None
        for _ in range(MOST_CHUNKS):
            chunk = self._next_in_turn(queue_name, beyond)
            missing = self.broker.missing(chunk)
            lost += [task for task in missing if task.id in self._missed]
            missed |= {task.id for task in missing} - self._missed
            if len(chunk) < CHUNK or len(missing) < len(chunk):
                break  # where it holds something it is likely to hold the rest
            beyond = (-chunk[-1].priority, chunk[-1].id)
        if lost:  # not before all were compared: some brokers can only count
            self.broker.publish(lost)
        return len(lost)

    def _next_in_turn(self, queue_name: str, beyond: tuple[int, UUID] | None) -> list[Ready]:
        rows = self.dialect.next_in_turn(self.connection, self.backend, queue_name, CHUNK, beyond)
        return [Ready(task_id, queue_name, priority) for task_id, priority in rows]
