"""Taking ready tasks, in order, without walking over what was taken before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..brokers.base import Readable
from ..dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ..models import TaskRecord
from ..routing import QueueSelection
from ..statuses import Status
from . import dialects
from .rows import CLAIMED, Claim, ClaimRequest, Success

#: Seconds after which a claim looks at the whole queue again, not only behind the last claim.
RESCAN_INTERVAL = 0.5
#: Seconds for which the list of queues with ready tasks is good enough under load.
QUEUES_INTERVAL = 0.25


class Claimer:
    """
    Claims for one process.

    Under load it remembers, per queue, the last place in the order and asks for what lies beyond:
    a snapshot that somebody holds open keeps the entries of claimed rows in the index, and a
    claim that starts at its front walks over all of them. A task that sorts before that place
    (higher priority, or requeued) is found at the next rescan.
    """

    def __init__(
        self,
        database: str,
        queues: QueueSelection,
        worker_id: UUID,
        process: int,
        backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    ) -> None:
        self.connection: BaseDatabaseWrapper = connections[database]
        self.dialect = dialects.of(self.connection)
        self.queues = queues
        self.worker_id = worker_id
        self.process = process
        self.backend = backend
        self._beyond: dict[str, tuple[int, UUID]] = {}
        self._rescan_at = 0.0
        self._turn = 0
        self._queue_names: list[str] = []
        self._queues_read_at = float("-inf")
        #: Queues that are left out, see leave_out().
        self.paused: frozenset[str] = frozenset()
        #: Whether the last claim left ready tasks, as far as it looked.
        self.may_have_more = False

    def claim(self, limit: int, *, is_woken: bool = False) -> list[Claim]:
        """Take up to `limit` tasks; `may_have_more` tells whether it is worth asking again."""
        return self.finish_and_claim([], limit, is_woken=is_woken)[1]

    def finish_and_claim(
        self, successes: list[Success], limit: int, *, is_woken: bool = False
    ) -> tuple[int, list[Claim]]:
        """
        Record `successes` and take up to `limit` tasks, in one statement where that is possible.

        `is_woken`: somebody said that there is work, so look into the queue that had some last
        before asking which queues do. Return how many of the successes were accepted, and the
        claims.
        """
        claimed: list[Claim] = []
        accepted: int | None = None if successes else 0
        self.may_have_more = False
        for queue_name in self._candidates(claimed, is_woken):
            request = self._request(queue_name, limit - len(claimed))
            if accepted is None:
                accepted, taken = self.dialect.succeed_and_claim(
                    self.connection, successes, request
                )
            else:
                taken = self.dialect.claim(self.connection, request)
            if not taken and request.beyond:
                del self._beyond[queue_name]
                request = self._request(queue_name, limit - len(claimed))
                taken = self.dialect.claim(self.connection, request)
            claimed += self._remember(queue_name, request, taken)
            if len(claimed) >= limit:
                self.may_have_more = True
                break
        if accepted is None:
            accepted = self.dialect.succeed(self.connection, successes)
        return accepted, claimed

    @property
    def is_guided(self) -> bool:
        """Whether somebody tells where ready tasks are, so that the table need not be looked at."""
        return False

    def watch(self) -> Sequence[Readable]:
        """Return what becomes readable when there may be something to claim."""
        return ()

    def rest(self) -> None:
        """Note that this process has no room for a while."""

    def close(self) -> None:
        """Claim no more."""

    def leave_out(self, paused: frozenset[str]) -> None:
        """Claim nothing of these queues from now on, and of others again."""
        self.paused = paused

    def finish(self, successes: list[Success]) -> int:
        """Record `successes`; return how many were accepted."""
        return self.dialect.succeed(self.connection, successes)

    def _candidates(self, claimed: list[Claim], is_woken: bool) -> Iterable[str]:
        """Yield the queues to look into, in order; `claimed` grows in the meantime."""
        if only := self.queues.only_queue:
            yield from self._running([only])
            return
        self._turn += 1
        known: list[str] = []
        # Several patterns are a strict order, which an old list could break.
        if len(self.queues.patterns) == 1 and (is_woken or self._queues_are_fresh()):
            known = self._running(self.queues.ordered(self._queue_names, self._turn))
            yield from known
            if claimed:
                self.may_have_more = True  # in queues that were not looked into
                return
        names = self.dialect.ready_queues(self.connection, self.backend)
        self._queues_read_at = time.monotonic()
        if names:  # otherwise keep the last ones: the next task is likely to be in one of them
            self._queue_names = names
        yield from self._running(self.queues.ordered(names, self._turn))

    def _running(self, queue_names: list[str]) -> list[str]:
        return [name for name in queue_names if name not in self.paused]

    def _queues_are_fresh(self) -> bool:
        return time.monotonic() < self._queues_read_at + QUEUES_INTERVAL

    def _request(self, queue_name: str, limit: int) -> ClaimRequest:
        now = time.monotonic()
        if now >= self._rescan_at:
            self._beyond.clear()
            self._rescan_at = now + RESCAN_INTERVAL
        beyond = self._beyond.get(queue_name)
        return ClaimRequest(queue_name, limit, self.worker_id, self.process, self.backend, beyond)

    def _remember(self, queue_name: str, request: ClaimRequest, taken: list[Claim]) -> list[Claim]:
        if not taken:
            return taken
        taken.sort(key=_claim_order)
        if len(taken) == request.limit and self.dialect.has_claim_cursor:
            self._beyond[queue_name] = (-taken[-1].priority, taken[-1].id)
        else:
            self._beyond.pop(queue_name, None)
        return taken

    def adopt(self, known: set[tuple[UUID, int]]) -> list[Claim]:
        """
        Return the tasks that this process owns without knowing it.

        A claim whose commit succeeded but whose answer was lost with the connection leaves such.
        """
        rows = (
            TaskRecord.objects.using(self.connection.alias)
            .filter(
                dialects.status_is(Status.RUNNING),
                worker_id=self.worker_id,
                process=self.process,
            )
            .values_list(*CLAIMED)
        )
        claims = [Claim._make((*row, False)) for row in rows]
        return [claim for claim in claims if (claim.id, claim.claims) not in known]

    def claim_again(self, task_id: UUID, claims: int) -> Claim | None:
        """
        Take a task over that a process of this worker claimed and has not started.

        By a new claim, so that of two who try only one succeeds; None for the other. `claims` is
        the number of the claim that it follows.
        """
        row = TaskRecord.objects.using(self.connection.alias).filter(pk=task_id)
        held = row.filter(
            dialects.status_is(Status.RUNNING), worker_id=self.worker_id, claims=claims
        )
        if not held.update(claims=claims + 1, process=self.process):
            return None
        columns = row.filter(claims=claims + 1).values_list(*CLAIMED).first()
        return None if columns is None else Claim._make((*columns, False))


def _claim_order(claim: Claim) -> tuple[int, UUID]:
    return -claim.priority, claim.id
