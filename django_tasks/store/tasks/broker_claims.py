"""Claim the tasks that a broker hands out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from ...brokers.base import BrokerAway, Readable, Ready, Source
from ...dep14.base import DEFAULT_TASK_BACKEND_ALIAS
from ...routing import QueueSelection
from ...runtime.outages import Outage
from ..values import BrokerClaimRequest, Claim, Success
from .claims import Claimer


class BrokerClaimer(Claimer):
    """
    Claims what a broker points to; while the broker is away, from the table.

    `also_from_table`: look there, too, when the broker points to nothing. `is_refusing`: tells
    whether the broker takes nothing in, so that others may have told it of nothing; then, too.
    """

    def __init__(
        self,
        database: str,
        queues: QueueSelection,
        worker_id: UUID,
        process: int,
        backend: str = DEFAULT_TASK_BACKEND_ALIAS,
        *,
        source: Source,
        outage: Outage,
        also_from_table: bool = False,
        is_refusing: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(database, queues, worker_id, process, backend)
        self.source = source
        self.outage = outage
        self.also_from_table = also_from_table
        self.is_refusing = is_refusing
        #: Taken, and kept while the database does not answer.
        self._in_hand: list[Ready] = []

    @property
    def uses_broker(self) -> bool:
        """Whether the broker points to all there is."""
        return self.outage.since is None and not self.is_refusing()

    def finish_and_claim(
        self, successes: list[Success], limit: int, *, is_woken: bool = False
    ) -> tuple[int, list[Claim]]:
        """Record `successes` and take up to `limit` tasks, in one statement where possible."""
        if not self._take(limit):
            return super().finish_and_claim(successes, limit, is_woken=is_woken)
        pointers = self._in_hand[:limit]
        is_refusing = self.is_refusing()
        self.may_have_more = 0 < limit <= len(pointers) or (is_refusing and bool(pointers))
        if not pointers:
            if self.also_from_table or is_refusing:
                return super().finish_and_claim(successes, limit, is_woken=is_woken)
            return self.finish(successes) if successes else 0, []
        request = self._broker_claim_request(pointers)
        if successes:
            accepted, claims = self._succeed_and_claim(successes, request)
        else:
            accepted, claims = 0, self.dialect.claim(self.connection, request)
        del self._in_hand[:limit]
        self._settle()
        return accepted, _in_order(claims, pointers)

    def _take(self, limit: int) -> bool:
        """Take pointers for up to `limit` tasks in hand; return whether the broker is there."""
        if not self.outage.allows(time.monotonic()):
            return bool(self._in_hand)
        wanted = limit - len(self._in_hand)
        try:
            if wanted > 0:
                self._in_hand += self.source.take(wanted, self.paused)
        except BrokerAway as error:
            self.outage.began(error)
            return bool(self._in_hand)
        if not self.is_refusing():  # it hands out, and that is not all
            self.outage.over()
        return True

    def _broker_claim_request(self, pointers: Sequence[Ready]) -> BrokerClaimRequest:
        return BrokerClaimRequest(
            [pointer.id for pointer in pointers],
            sorted({pointer.queue_name for pointer in pointers}),
            self.worker_id,
            self.process,
            self.backend,
        )

    def _settle(self) -> None:
        try:
            self.source.settle()
        except BrokerAway as error:
            self.outage.began(error)

    def watch(self) -> Sequence[Readable]:
        """Return what becomes readable when the broker points to something."""
        if not self.outage.allows(time.monotonic()):
            return ()
        try:
            return self.source.watch(self.paused)
        except BrokerAway as error:
            self.outage.began(error)
            return ()

    def exclude(self, paused: frozenset[str]) -> None:
        """Claim nothing of these queues from now on, and wait for no id of theirs."""
        super().exclude(paused)
        self.release()

    def release(self) -> None:
        """Leave ready tasks to other processes until the next claim."""
        try:
            if self._in_hand:
                pointers, self._in_hand = self._in_hand, []
                self.source.give_back(pointers)
            self.source.unwatch()
        except BrokerAway as error:
            self.outage.began(error)

    def close(self) -> None:
        """Leave what is in hand to others."""
        self.release()
        self.source.close()


def _in_order(claims: list[Claim], pointers: Sequence[Ready]) -> list[Claim]:
    """Return claims in the order in which the broker handed them out."""
    found = {claim.id: claim for claim in claims}
    return [found.pop(pointer.id) for pointer in pointers if pointer.id in found]
