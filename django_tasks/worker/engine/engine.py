"""
The database side of a process: claim, hand to the pool, record, in one loop of its own thread.

The bodies never wait for it, and it never runs one. It owns its connection (Django's are per
thread), so a body that breaks or closes its own connection does not touch it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from ...brokers.base import Readable
from ...conf import app_settings
from ...definitions import registry
from ...runtime.clock import clock
from ...runtime.faults import CONNECTION_ERRORS
from ...runtime.outages import Outage
from ...runtime.wakeups import WakeUp
from ...signals import task_started
from ...store import dialects
from ...store.tasks import unknown
from ...store.values import Claim, Ending, Success
from ...store.workflows.references import resolved
from ..board import Lane
from ..config import WorkerConfig
from ..execution import contexts
from ..execution.failures import fail
from ..execution.jobs import Job, Outcome
from ..execution.not_run import expired, given_back
from ..pools.base import Pool
from ..quarantine import Quarantined
from ..reporting.logs import log_claims
from ..reporting.signals import Listeners
from .batch_size import FLUSH_AFTER, FLUSH_AT, BatchSize
from .calls import EngineCalls
from .claimers import make_claimer
from .memory import MemoryLimit
from .pauses import Pauses
from .polling import Polling
from .recorder import Recorder

logger = logging.getLogger("django_tasks.worker")

#: Longest sleep of the loop: it shows the supervisor that it lives.
BEAT = 1.0
#: Seconds between two looks for the keeper's lease while there is none.
TRUST_INTERVAL = 0.02


class Engine:
    """Claims for one process and records what became of each claim."""

    def __init__(self, config: WorkerConfig, lane: Lane, process: int, wake_up: WakeUp) -> None:
        self.config = config
        self.lane = lane
        self.process = process
        self.wake_up = wake_up
        self.pool: Pool
        self.outcomes: deque[tuple[Job, Outcome]] = deque()
        self.calls = EngineCalls()
        self.held: dict[int, Job] = {}
        self.quarantined = Quarantined(self)
        self.batch = BatchSize(config.slots)
        self.memory = MemoryLimit(config, process)
        self.pauses = Pauses(config, lane)
        self.outage = Outage("the task database")
        self.claims_left = config.max_tasks
        self.is_stopping = False
        #: Whether it stopped because nothing was ready (burst).
        self.is_drained = False
        self.is_sleeping = False
        self._own_wake = WakeUp()
        self._wake_at = 1
        #: Whether a slow body makes tasks wait that it was thought would not: claim none ahead
        #: until it has ended.
        self._is_blocked = False
        self._flush_at: float | None = None
        self._must_adopt = False

    # --- called by other threads --------------------------------------------------------------

    def post(self, job: Job, outcome: Outcome) -> None:
        """Take over what became of a job."""
        self.lane.end(job.entry)
        self.outcomes.append((job, outcome))
        if self.is_sleeping and len(self.outcomes) >= self._wake_at:
            self.wake()

    def ask(self, function: Callable[[], Any], *, wait: bool) -> Any:
        """
        Call `function` in the engine's thread, on its connection; with `wait`, return its value.

        Raise TimeoutError when the database has not answered for the time of a lease.
        """
        answer = self.calls.add(function)
        if self.is_sleeping:
            self.wake()
        return answer.result(app_settings.LEASE) if wait else None

    @property
    def descriptors(self) -> tuple[int, int]:
        """Those of its own pipe."""
        return self._own_wake.descriptors

    def stop(self) -> None:
        """Claim no more, give back what has not started, finish when the rest is done."""
        self.is_stopping = True
        self.wake()

    def wake(self) -> None:
        """End the loop's sleep."""
        self.is_sleeping = False
        self._own_wake.send()

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped (or, with burst, until nothing is ready), then stop the pool."""
        try:
            self._connect()
            while not self._is_done():
                self._tick()
            self.claimer.close()
        finally:
            self.pool.stop()
            connections.close_all()

    def _connect(self) -> None:
        database = self.config.database
        self.connection = connections[database]
        dialects.dialect_for(self.connection).prepare_claiming_connection(self.connection)
        self.polling = Polling(self.connection, self.wake_up)
        self.claimer = make_claimer(self.config, self.process, self.lane.board)
        self.recorder = Recorder(self.config, self.process, self.claimer, self._forget)
        self.recorder.batches.board = self.lane.board

    def _is_done(self) -> bool:
        if self.held or self.outcomes or self.recorder.is_waiting:
            return False
        return self.is_stopping or self.claims_left == 0

    def _tick(self) -> None:
        self.lane.beat()
        if self.lane.is_retiring:
            self.is_stopping = True
        self._take_slots()
        self._collect()
        now = time.monotonic()
        if self.outage.allows(now):
            self._work(now)
        self._give_back_unstarted(now)
        self._recycle_if_fat(now)
        self._sleep()

    def _take_slots(self) -> None:
        """Run as many at a time as the board says."""
        slots = self.lane.slots
        if slots and slots != self.batch.slots:
            self.batch.slots = slots
            self.pool.resize(slots)

    def _work(self, now: float) -> None:
        try:
            if self.pauses.have_changed:
                self._apply_pauses()
            self.quarantined.look_after_offers(self.claimer)
            room = self._room(now)
            if not (room or self.calls or self._is_flush_due(now) or self._must_adopt):
                return
            if self._must_adopt:
                self._adopt()
            self.calls.run()
            self._exchange(room)
        except CONNECTION_ERRORS as error:
            self._cut_off(error)
        else:
            self.outage.over()
            self._run_quarantined()

    def _apply_pauses(self) -> None:
        """Leave out the queues that are paused now, and give back what of them has not started."""
        self.pauses.apply(self.claimer)
        for job in list(self.held.values()):
            if self.is_to_go(job) and self._is_unstarted(job):
                self.give_back(job)
        self.polling.look_at_once()

    def _collect(self) -> None:
        """Sort what the pool posted into successes and endings."""
        while self.outcomes:
            job, outcome = self.outcomes.popleft()
            if isinstance(outcome, Success):
                self.batch.observe(outcome.run_time)
            elif outcome.attempt is not None and outcome.attempt.run_time is not None:
                self.batch.observe(outcome.attempt.run_time)
            self.recorder.add(job, outcome)
            self.held.pop(job.entry, None)
            if not self._is_unstarted(job):
                self._is_blocked = False
            self.quarantined.discard(job)
            if self._flush_at is None:
                self._flush_at = time.monotonic() + FLUSH_AFTER

    def _is_flush_due(self, now: float) -> bool:
        if self.recorder.retry_at is not None and now >= self.recorder.retry_at:
            return True
        if self._flush_at is None:
            return False
        is_idle = not any(self._is_unstarted(job) for job in self.held.values())
        # What waits to be alone waits for this write.
        is_due = is_idle or bool(self.quarantined.alone) or now >= self._flush_at
        return is_due or self.recorder.waiting >= FLUSH_AT

    def _room(self, now: float) -> int:
        """Return how many tasks to claim now."""
        room = self._free()
        if room and self.polling.is_time(now, is_writing=self._is_flush_due(now)):
            return room
        return 0

    def _free(self) -> int:
        """Return how many tasks this process could take at this moment."""
        if self.is_stopping or self.quarantined.alone or not self._is_trusted:
            return 0
        held = len(self.held) - self.quarantined.offered
        room = self.batch.room(held)
        if self._is_blocked:
            room = max(0, min(room, self.batch.slots - held))
        room = min(room, self.lane.room)  # what is set aside, and offered, has its place there
        return room if self.claims_left is None else min(room, self.claims_left)

    @property
    def _is_trusted(self) -> bool:
        """Whether the keeper holds a lease, and what is paused is known (and for burst, due)."""
        board = self.lane.board
        is_promoted = bool(board.keeper_ticks) or not self.config.burst
        return clock() < board.lease_until and is_promoted and self.pauses.are_known

    def _exchange(self, room: int) -> None:
        """Write the outcomes and claim, in one statement where the database can."""
        self._flush_at = None
        if room:
            self.polling.begin(uses_broker=self.claimer.uses_broker)
        claims = self.recorder.write(room, is_woken=self.polling.take_woken())
        self._must_adopt |= self.recorder.may_have_forgotten
        self.recorder.may_have_forgotten = False
        if room:
            self._plan_next_look(room, len(claims))
        self._hand_over(claims)

    def _forget(self, job: Job) -> None:
        """Clear a job whose end is in the database from the board."""
        self.lane.release(job.entry)
        self.lane.board.finished[self.lane.index] += 1

    def _plan_next_look(self, asked: int, got: int) -> None:
        self._note_idle(got)
        if self.claimer.may_have_more and (got == asked or self.claimer.uses_broker):
            self.polling.look_at_once()
            self.wake_up.send()  # for another process, too
        elif self.claimer.may_have_more:  # in queues that were not looked into
            self.polling.look_with_next_write()
        else:
            is_notified = self.lane.board.is_listening or self.claimer.uses_broker
            self.polling.look_later(is_listening=is_notified)
            if self.config.burst and not got and not self.held and not self.recorder.is_waiting:
                self.is_stopping = self.is_drained = True

    def _note_idle(self, got: int) -> None:
        """Tell the supervisor, which scales by it, since when this process finds nothing."""
        idle_since = self.lane.board.idle_since
        if got:
            self.polling.found()
            idle_since[self.lane.index] = 0.0
        elif not idle_since[self.lane.index]:
            idle_since[self.lane.index] = clock()

    def _hand_over(self, claims: Sequence[Claim]) -> None:
        claims, wrong = resolved(self.config.database, claims)
        jobs = []
        log_claims(claims, self.config)
        metadata = contexts.metadata_of(self.config.database, claims)
        self.recorder.batches.claimed(claims, metadata)
        listeners = Listeners(task_started)
        tasks = [registry.find(claim.task_path) for claim in claims]
        strange = [claim for claim, task in zip(claims, tasks, strict=True) if task is None]
        waited = unknown.waited(self.config.database, strange) if strange else {}
        for claim, task in zip(claims, tasks, strict=True):
            if self.claims_left is not None:
                self.claims_left -= 1
            if task is not None and task.backend != self.config.backend:
                task = task.restored(backend=self.config.backend)  # whose defaults count here
            job = Job(claim, task, self.lane.reserve(claim.id, claim.claims))
            if metadata:
                job.metadata = metadata.get(claim.id)
            if task is None:
                job.waited = waited[claim.id]
            job.sends_started = listeners.listens_to(claim)
            self.held[job.entry] = job
            if wrong and claim.id in wrong:
                self._end_unstarted(job, fail(claim, wrong[claim.id], None))
            elif claim.is_expired:
                self._end_unstarted(job, expired(claim))
            elif claim.lost:
                self.quarantined.add(job, self.batch.slots)
            else:
                jobs.append(job)
        if jobs:
            self.pool.submit(jobs)
        self._run_quarantined()

    # --- for quarantined tasks -------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Hand a job to the pool, as one that was claimed just now: it has waited for its turn."""
        job.claimed_at = time.monotonic()
        self.held[job.entry] = self.held.pop(job.entry)  # the oldest is first
        self.pool.submit([job])

    def give_back(self, job: Job, delay: float = 0.0) -> None:
        """Give a job back that has not started; others may claim it after `delay` seconds."""
        self._end_unstarted(job, given_back(job.claim, delay))

    def let_go(self, job: Job) -> None:
        """Forget a job that is somebody else's now."""
        del self.held[job.entry]
        self.lane.release(job.entry)

    def is_to_go(self, job: Job) -> bool:
        """Tell whether a job is to be given back unless it has started."""
        return self.is_stopping or job.claim.queue_name in self.claimer.paused

    # --- what has not started -------------------------------------------------------------------

    def _run_quarantined(self) -> None:
        """Run the next of those that wait to be alone, if nothing else is left to do or write."""
        if self.quarantined.alone and self.recorder.retry_at is not None:
            # What is set aside waits for a lock for as long as somebody likes: others run them.
            self.quarantined.give_back_unstarted()
        others = len(self.held) - len(self.quarantined.alone) - self.quarantined.offered
        if not others and not self.recorder.is_waiting:
            self.quarantined.start_next()

    def _end_unstarted(self, job: Job, ending: Ending) -> None:
        if job.take():
            self.post(job, ending)

    def _is_unstarted(self, job: Job) -> bool:
        return self.lane.is_unstarted(job.entry)

    def _give_back_unstarted(self, now: float) -> None:
        """Give back what waits behind a slow task, or, when stopping, all that has not started."""
        if not self.held:
            return
        longest_wait = 0.0 if self.is_stopping else app_settings.UNSTARTED_SECONDS
        # Jobs are handed over in order, so the oldest is first.
        for job in list(self.held.values()):
            if now - job.claimed_at < longest_wait:
                break
            if self._is_unstarted(job):
                self._is_blocked = not self.is_stopping
                self.give_back(job)

    def _recycle_if_fat(self, now: float) -> None:
        if not self.is_stopping and self.memory.is_exceeded(now):
            self.stop()

    # --- outages ------------------------------------------------------------------------------

    def _cut_off(self, error: DatabaseError | InterfaceError) -> None:
        """Drop the connection and come back: what is not written stays in memory until then."""
        self._must_adopt = True
        self._flush_at = time.monotonic()
        self.polling.look_at_once()
        self.outage.began(error)
        try:
            self.connection.close()
        except (DatabaseError, InterfaceError) as closing:
            logger.debug("Closing the connection failed: %s", closing)

    def _adopt(self) -> None:
        """Take over claims whose commit's answer was lost with the connection."""
        known = {(job.claim.id, job.claim.claims) for job in self.held.values()}
        known |= self.recorder.waiting_claims()
        claims, room = self.claimer.adopt(known), self.lane.room
        self._hand_over(claims[:room])
        self._must_adopt = len(claims) > room

    # --- sleeping -----------------------------------------------------------------------------

    def _sleep(self) -> None:
        timeout = self._seconds_to_sleep()
        if timeout <= 0:
            return
        waits: list[Readable] = [self._own_wake]
        if self._free() and self.outage.allows(time.monotonic()):
            waits += [self.wake_up, *self.claimer.watch()]
        else:
            self.claimer.release()
        held, waiting = len(self.held) - self.quarantined.offered, self.recorder.waiting
        self._wake_at = 1 if self.is_stopping else self.batch.outcomes_to_wake_for(held, waiting)
        self.is_sleeping = True
        # An outcome that was posted before this line sent no wake-up: do not sleep over it.
        if len(self.outcomes) < self._wake_at and not self.calls and not self._is_done():
            self._wait(waits, timeout)
        self.is_sleeping = False

    def _wait(self, waits: list[Readable], timeout: float) -> None:
        try:
            readable = self.polling.wait(waits, timeout)
        except CONNECTION_ERRORS as error:  # met by a check for changes
            self._cut_off(error)
            return
        if self._own_wake in readable:
            self._own_wake.take(1000)
        if any(ready not in (self._own_wake, self.wake_up) for ready in readable):
            self.polling.look_at_once()  # the broker has something

    def _seconds_to_sleep(self) -> float:
        now = time.monotonic()
        if not self.outage.allows(now):
            return self.outage.seconds_left(now)
        if self.calls or self._must_adopt or self.pauses.have_changed:
            return 0.0
        times = [now + (FLUSH_AFTER if self.batch.is_in_a_rush(len(self.held)) else BEAT)]
        if self._flush_at is not None:
            times.append(now if self._is_flush_due(now) else self._flush_at)
        retries = (self.recorder.retry_at, self.calls.retry_at)
        times += [retry_at for retry_at in retries if retry_at is not None]
        if self._free():
            times.append(self.polling.poll_at)
        elif not self.is_stopping and not self._is_trusted:
            times.append(now + TRUST_INTERVAL)
        unstarted = next((j for j in self.held.values() if self._is_unstarted(j)), None)
        if unstarted is not None:
            times.append(unstarted.claimed_at + app_settings.UNSTARTED_SECONDS)
        return min(times) - now
