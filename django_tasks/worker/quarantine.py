"""
Quarantine: run tasks alone that lost their worker before, and so may kill this one, too.

In a pool of one slot it is enough that the process holds nothing else when its turn comes. A pool
of many slots is never empty while it is busy. So its processes offer such tasks on the board, and
go on with others; one process beside them, of one slot, takes them over, one at a time. The
supervisor starts it when something is offered, and ends it when nothing was for a while.

An offer is taken over, and taken back, by a new claim of the same row: only one of both succeeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..conf import app_settings
from ..runtime.wakeups import WakeUp
from ..store.tasks.claims import Claimer, RowLocked
from ..store.values import Claim, Success
from .board import Board, Lane
from .engine.set_aside import PAUSE
from .execution.jobs import Job

#: Seconds after which a task that lost its worker once runs among others, if the quarantine is
#: busy. One that lost two waits for its turn there: it shall not cost others a third time.
QUARANTINE_WAIT = 10.0
#: Most tasks that a process keeps on offer. With more, a worker or a machine has died, and hardly
#: any of them was the reason.
MOST_OFFERED = 100
#: Seconds that one beyond those waits in the table if it lost its worker twice.
DELAY = 5.0
#: Seconds without an offer after which the quarantine ends.
REST = 30.0


class OfferClaimer(Claimer):
    """Claims what the processes of the same worker offer; nothing from the table."""

    def __init__(self, *whose: Any, board: Board) -> None:
        super().__init__(*whose)
        self.board = board

    def finish_and_claim(
        self, successes: list[Success], limit: int, *, is_woken: bool = False
    ) -> tuple[int, list[Claim]]:
        """Record `successes` and take over a task, whatever the limit: each runs alone."""
        accepted = self.finish(successes) if successes else 0
        self.may_have_more = False
        if not limit:
            return accepted, []
        for entry in self.board.offers():
            try:
                claim = self.claim_again(entry.id, entry.claims)
            except RowLocked:
                continue  # it stays on offer
            self.board.take_over(entry)  # also when it was too late: it is nobody's any more
            if claim is not None:
                self.may_have_more = True
                return accepted, [claim]
        return accepted, []


class Offers:
    """What one process offers to the quarantine."""

    def __init__(self, lane: Lane, wake_up: WakeUp) -> None:
        self.lane = lane
        self.wake_up = wake_up
        self._jobs: dict[int, Job] = {}
        #: The others keep room for what the process claims for itself, and what it cannot write.
        self._most = min(MOST_OFFERED, lane.board.entries // 4)
        #: Until when none is taken back, as somebody had one's row locked.
        self._locked_until = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> bool:
        """Offer a job; return False if there are too many."""
        if len(self._jobs) >= self._most:
            return False
        self._jobs[job.entry] = job
        self.lane.offer(job.entry)
        self.wake_up.send()
        return True

    def taken_over(self) -> Iterator[Job]:
        """Yield the jobs that are the quarantine's now, and forget them."""
        for entry in list(self._jobs):
            if self.lane.is_taken_over(entry):
                yield self._jobs.pop(entry)

    def taken_back(
        self, claimer: Claimer, wants: Callable[[Job], bool]
    ) -> Iterator[tuple[Job, bool]]:
        """
        Claim again those of the jobs that `wants` is true for, and forget them.

        Yield each, and whether it is this process' again: else the quarantine was faster, or the
        task has ended. One whose row somebody else has locked is tried again after a PAUSE.
        """
        if time.monotonic() < self._locked_until:
            return
        for entry, job in list(self._jobs.items()):
            if not wants(job):
                continue
            try:
                claim = claimer.claim_again(job.claim.id, job.claim.claims)
            except RowLocked:
                self._locked_until = time.monotonic() + PAUSE
                continue
            del self._jobs[entry]
            if claim is not None:
                # With the arguments of before: in them, results of other steps have their places.
                job.claim = claim._replace(args=job.claim.args, kwargs=job.claim.kwargs)
                self.lane.withdraw(entry, claim.claims)
            yield job, claim is not None


class Holder(Protocol):
    """What a process does with the quarantined tasks that it holds."""

    lane: Lane

    def start(self, job: Job) -> None:
        """Hand a job to the pool."""

    def give_back(self, job: Job, delay: float = 0.0) -> None:
        """Give a job back; others may claim it after `delay` seconds."""

    def let_go(self, job: Job) -> None:
        """Forget a job that is somebody else's now."""

    def is_to_go(self, job: Job) -> bool:
        """Tell whether a job is to be given back unless it has started."""


class Quarantined:
    """The tasks of one process that lost their worker before, until they start or leave."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        #: None: there is no quarantine, and all wait to be alone here.
        self.offers: Offers | None = None
        #: Those that wait to be alone here, and the one that is.
        self.alone: list[Job] = []

    @property
    def offered(self) -> int:
        """How many wait for the quarantine: they keep nobody from running."""
        return len(self.offers or ())

    def add(self, job: Job, slots: int) -> None:
        """Let a job run where it takes nothing along that is started or not written."""
        if self.offers is None or slots == 1:
            self.alone.append(job)
        elif self.offers.add(job):
            return
        elif _may_cost_others(job):
            self._holder.start(job)
        else:
            self._holder.give_back(job, DELAY)

    def discard(self, job: Job) -> None:
        """Forget a job that has ended, if it was one of those that run alone here."""
        if job in self.alone:
            self.alone.remove(job)

    def start_next(self) -> None:
        """Start the next of those that wait to be alone; called when nothing else is left."""
        if self.alone and self._holder.lane.is_unstarted(self.alone[0].entry):
            self._holder.start(self.alone[0])

    def give_back_unstarted(self) -> None:
        """Give those back that wait to be alone here: it may be long until they are."""
        for job in list(self.alone):
            if self._holder.lane.is_unstarted(job.entry):
                self._holder.give_back(job, DELAY)

    def look_after_offers(self, claimer: Claimer) -> None:
        """Forget what the quarantine has taken over, and take back what should not wait for it."""
        if not self.offers:
            return
        for job in self.offers.taken_over():
            self._holder.let_go(job)
        for job, is_own in self.offers.taken_back(claimer, self._wants_back):
            if not is_own:
                self._holder.let_go(job)
            elif self._holder.is_to_go(job):
                self._holder.give_back(job)
            else:
                self._holder.start(job)

    def _wants_back(self, job: Job) -> bool:
        has_waited = _may_cost_others(job) and time.monotonic() > job.claimed_at + QUARANTINE_WAIT
        return has_waited or self._holder.is_to_go(job)


def _may_cost_others(job: Job) -> bool:
    """Tell whether a job may run among others: another loss would not make it FAIL yet."""
    return job.claim.lost == 1 and app_settings.MAX_LOST > 2
