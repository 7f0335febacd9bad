"""Claim ready tasks, in order, without walking over what was claimed before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...brokers.base import Readable
from ...dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ...models import TaskRecord
from ...routing import QueueSelection
from ...runtime.faults import is_lock_timeout
from ...runtime.time_share import pause_after
from ...statuses import Status
from .. import dialects
from ..retrying import repeated
from ..values import CLAIMED, AnyRequest, Claim, ClaimRequest, Success
from .cursors import QueueCursor, Range

#: Seconds for which the list of queues with ready tasks is good enough under load.
QUEUES_INTERVAL = 0.25


#: Seconds for which locked rows are skipped after somebody's lock was met.
SKIP_LOCKED_FOR = 5.0

T = TypeVar("T")


class RowLocked(Exception):
    """Somebody else has the row of this task locked."""


class Claimer:
    """
    Claims for one process.

    Under load it remembers, per queue, the last place in the order and asks for what lies beyond:
    a snapshot that somebody holds open keeps the entries of claimed rows in the index, and a
    claim that starts at its front walks over all of them. See QueueCursor for what sorts before
    that place.
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
        self.dialect = dialects.dialect_for(self.connection)
        self.queues = queues
        self.worker_id = worker_id
        self.process = process
        self.backend = backend
        self._cursors: dict[str, QueueCursor] = {}
        #: Seconds that a claim takes which goes on behind a cursor.
        self._usual_cost = 0.0
        self._skip_locked_until = 0.0
        self._turn = 0
        self._queue_names: list[str] = []
        self._queues_are_good_until = float("-inf")
        #: Queues that are left out, see exclude().
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
        exchange = _Exchange(self, successes)
        claimed: list[Claim] = []
        unsure: list[str] = []
        self.may_have_more = False
        for queue_name in self._candidates(claimed, unsure, is_woken):
            claimed += self._claim_in(queue_name, limit - len(claimed), exchange, unsure)
            if len(claimed) >= limit:
                self.may_have_more = True
                break
        if not claimed:
            claimed = self._make_sure(unsure, limit, exchange)
        return exchange.record(), claimed

    def _claim_in(
        self, queue_name: str, limit: int, exchange: _Exchange, unsure: list[str]
    ) -> list[Claim]:
        """
        Take up to `limit` tasks of a queue.

        Add it to `unsure` when there may be others that cost too much to look for.
        """
        if not self.dialect.has_claim_cursor:
            return exchange.claim(self._request(queue_name, limit))
        cursor = self._cursors.setdefault(queue_name, QueueCursor())
        began = time.monotonic()
        is_rescan = cursor.begin(began)
        looks_at_all = cursor.range == Range()
        taken = self._claim_along(queue_name, cursor, limit, exchange)
        self._note_look(cursor, began, is_rescan=is_rescan)
        is_sure = bool(taken) or looks_at_all
        if len(taken) < limit and cursor.may_look_at_all(began):
            del self._cursors[queue_name]  # the next claim looks at all
            if not is_sure:
                return self._claim_in(queue_name, limit, exchange, unsure)
        elif not is_sure:
            unsure.append(queue_name)
        return taken

    def _make_sure(
        self, queue_names: Iterable[str], limit: int, exchange: _Exchange
    ) -> list[Claim]:
        """Take tasks of queues that are not known to have none, whatever it costs to find them."""
        for queue_name in queue_names:
            cursor = self._cursors[queue_name]
            for whole in (False, True) if cursor.leaves_out else (True,):
                began = time.monotonic()
                cursor.start_over(whole=whole)
                taken = self._claim_along(queue_name, cursor, limit, exchange)
                self._note_look(cursor, began, is_rescan=True)
                if taken:
                    self.may_have_more = True
                    return taken
        return []

    def _claim_along(
        self, queue_name: str, cursor: QueueCursor, limit: int, exchange: _Exchange
    ) -> list[Claim]:
        taken: list[Claim] = []
        while len(taken) < limit and cursor.range is not None:
            request = self._request(queue_name, limit - len(taken))
            found = exchange.claim(request._replace(**cursor.range._asdict()))
            cursor.advance(found, is_full=len(found) == request.limit)
            taken += found
        return taken

    def _note_look(self, cursor: QueueCursor, began: float, *, is_rescan: bool) -> None:
        now = time.monotonic()
        took = now - began
        cursor.looked(now, took - self._usual_cost, is_rescan=is_rescan, queues=len(self._cursors))
        if not is_rescan:  # one long walk does not make it usual
            self._usual_cost = min(took, 2 * self._usual_cost) or took

    def _request(self, queue_name: str, limit: int) -> ClaimRequest:
        return ClaimRequest(queue_name, limit, self.worker_id, self.process, self.backend)

    @property
    def uses_broker(self) -> bool:
        """Whether a broker hands out ready tasks, so that the table need not be polled."""
        return False

    def watch(self) -> Sequence[Readable]:
        """Return what becomes readable when there may be something to claim."""
        return ()

    def release(self) -> None:
        """Note that this process has no room for a while."""

    def close(self) -> None:
        """Claim no more."""

    def exclude(self, paused: frozenset[str]) -> None:
        """Claim nothing of these queues from now on, and of others again."""
        self.paused = paused

    def finish(self, successes: list[Success]) -> int:
        """Record `successes`; return how many were accepted."""
        return self._record(partial(self.dialect.succeed, self.connection, successes))

    def _succeed_and_claim(
        self, successes: list[Success], request: AnyRequest
    ) -> tuple[int, list[Claim]]:
        return self._record(
            partial(self.dialect.succeed_and_claim, self.connection, successes, request)
        )

    def skip_locked_for_a_while(self) -> None:
        """Wait for no lock for a while: where one row is locked for long, others may be, too."""
        self._skip_locked_until = time.monotonic() + SKIP_LOCKED_FOR

    def _record(self, succeed: Callable[..., T]) -> T:
        """Record successes by the quick statement; skip locked rows after it met a lock."""
        if time.monotonic() >= self._skip_locked_until:
            try:
                return repeated(self.connection.alias, succeed)
            except DatabaseError as error:
                if not is_lock_timeout(error):
                    raise
            self.skip_locked_for_a_while()
        return succeed(skip_locked=True)

    def _candidates(self, claimed: list[Claim], unsure: list[str], is_woken: bool) -> Iterable[str]:
        """Yield the queues to look into, in order; `claimed` grows in the meantime."""
        if only := self.queues.only_queue:
            yield from self._running([only])
            return
        self._turn += 1
        if self._queues_are_known(is_woken):
            yield from self._running(self.queues.ordered(self._queue_names, self._turn))
            if claimed:
                self.may_have_more = True  # in queues that were not looked into
                return
        names = self._ready_queues()
        unsure.clear()  # now it is known which have some
        yield from self._running(self.queues.ordered(names, self._turn))

    def _running(self, queue_names: list[str]) -> list[str]:
        return [name for name in queue_names if name not in self.paused]

    def _queues_are_known(self, is_woken: bool) -> bool:
        """Tell whether to look into the queues that had tasks before asking which have some."""
        # Several patterns are a strict order, which an old list could break.
        may_be_old = is_woken and len(self.queues.patterns) == 1
        return may_be_old or time.monotonic() < self._queues_are_good_until

    def _ready_queues(self) -> list[str]:
        began = time.monotonic()
        names = self.dialect.ready_queues(self.connection, self.backend)
        now = time.monotonic()
        # Not asked more often than its share allows either: it walks to the first task of each.
        pause = pause_after(now - began)
        if len(self.queues.patterns) == 1:
            pause = max(pause, QUEUES_INTERVAL)
        self._queues_are_good_until = now + pause
        if names:  # otherwise keep the last ones: the next task is likely to be in one of them
            self._queue_names = names
        self._cursors = {name: c for name, c in self._cursors.items() if name in names}
        return names

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
        the number of the claim that it follows. Raise RowLocked if somebody else has its row
        locked: it is waited for by nobody.
        """
        alias = self.connection.alias
        row = TaskRecord.objects.using(alias).filter(pk=task_id)
        followed = row.filter(
            dialects.status_is(Status.RUNNING), worker_id=self.worker_id, claims=claims
        )
        with transaction.atomic(using=alias):
            is_locked = not self.dialect.lock_running(self.connection, [task_id])
            if is_locked and followed.exists():
                raise RowLocked(task_id)
            if is_locked or not followed.update(claims=dialects.next_claim(), process=self.process):
                return None
            columns = row.values_list(*CLAIMED).get()
        return Claim._make((*columns, False))


class _Exchange:
    """Records the successes of a process with the first of some claims, where the database can."""

    def __init__(self, claimer: Claimer, successes: list[Success]) -> None:
        self._claimer = claimer
        self._waiting = successes
        self._accepted = 0

    def claim(self, request: ClaimRequest) -> list[Claim]:
        """Take tasks; return them in the order of the queue."""
        claimer, successes = self._claimer, self._waiting
        if successes:
            self._waiting = []
            self._accepted, taken = claimer._succeed_and_claim(successes, request)
        else:
            taken = claimer.dialect.claim(claimer.connection, request)
        taken.sort(key=_claim_order)
        return taken

    def record(self) -> int:
        """Record what no claim did; return how many of the successes were accepted."""
        if self._waiting:
            self._accepted = self._claimer.finish(self._waiting)
        return self._accepted


def _claim_order(claim: Claim) -> tuple[int, int]:
    return -claim.priority, claim.id.int  # UUIDs themselves are compared in Python
