"""
The process that keeps a worker's promises: heartbeat, promotion, expiry, rescue, pruning, wake-ups.

It runs no body, so that nothing a body does can keep the lease from being renewed. Every worker
has one and each sweeps for all: there is no single sweeper to lose.
"""

from __future__ import annotations

import logging
import math
import os
import random
import select
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from ...brokers.base import Broker, Listener
from ...conf import app_settings
from ...redaction.exceptions import loggable_fault
from ...runtime.clock import clock
from ...runtime.duties import LOCK_PAUSE, Duties, Duty
from ...runtime.faults import CONNECTION_ERRORS, is_outage
from ...runtime.forks import LOOK
from ...runtime.outages import Outage
from ...runtime.wakeups import WakeUp
from ...store import dialects
from ...store.dialects import CONTROL_REQUEST
from ...store.rollups import counting
from ...store.tasks import ends, pruning, transitions
from ...store.workers import leases
from ...store.workflows import pruning as workflows
from ..board import Board
from ..config import WorkerConfig
from ..status import Tally
from . import lost_tasks
from .reconciler import Reconciler
from .requests import RequestReader
from .rescues import Rescues

logger = logging.getLogger("django_tasks.keeper")

#: Heartbeats in the time of one lease.
BEATS_PER_LEASE = 4
#: Seconds after its start at which a running task is looked after for cancellation.
CANCEL_AFTER = 0.3
CANCEL_INTERVAL = 1.0
#: Seconds between two proofs that the listening connection still works.
PING_INTERVAL = 10.0
#: Seconds that counting what finished may take before other duties have their turn, and then the
#: pause.
COUNT_FOR, COUNT_PAUSE = 0.1, 0.1
#: Seconds that making tasks ready may take before other duties have their turn, and expiring them.
PROMOTE_FOR, EXPIRE_FOR = 0.3, 0.3
#: Seconds between two looks for steps of workflows that are decided upon, and what carrying that
#: out may take before other duties have their turn.
CARRY_ON_INTERVAL, CARRY_ON_FOR = 1.0, 0.3
#: As for counting, for pruning.
PRUNE_FOR, PRUNE_PAUSE = 0.3, 0.1
#: Keepers begin to count a minute within so many seconds of each other.
COUNT_SPREAD = 5.0


class Keeper:
    """Keeps one worker. `reports` is the supervisor's pipe: a JSON line per dead process."""

    def __init__(
        self,
        config: WorkerConfig,
        board: Board,
        wake_up: WakeUp,
        reports: int,
        broker: Broker,
        tally: Tally | None = None,
    ) -> None:
        self.config = config
        self.database = config.database
        self.board = board
        self.wake_up = wake_up
        self.reports = reports
        os.set_blocking(reports, False)
        self.broker = broker
        self.info = leases.WorkerInfo(
            id=config.worker_id,
            host=config.host,
            pid=os.getppid() if config.pool != "solo" else os.getpid(),
            backend=config.backend,
            queues=str(config.queues)[:1000],
            pool=config.pool_name,
            concurrency=config.concurrency,
            max_concurrency=config.max_concurrency,
            lease=app_settings.LEASE,
        )
        self.connection = connections[self.database]
        self.dialect = dialects.dialect_for(self.connection)
        self.dialect.prepare_worker_connection(self.connection)
        self._tally = tally or Tally()
        self._rescues = Rescues(config, self._tally)
        self.outage = Outage("the task database")
        self.is_stopping = False
        self.request_reader = RequestReader(config, board)
        self._is_registered = False
        self._unread = b""
        self._dead: list[dict[str, Any]] = []
        self._listener: Listener | None = None
        self._reconciler = Reconciler(self.connection, config.backend, config.queues, broker)
        self._duties = Duties("keeper", self._plan(), self.database, self.outage)
        self._sweep_from = 0.0

    def _plan(self) -> list[Duty]:
        settings = app_settings
        duties = [
            Duty(self._renew, settings.LEASE / BEATS_PER_LEASE),
            # Whoever requests something wakes it.
            Duty(self._apply_requests, self._reconciler.longest_rest),
            Duty(self._report, settings.POLL_INTERVAL),
            Duty(self._record_lost, 0.05),
            Duty(self._send_signals, math.inf),
            Duty(self._promote_and_expire, self._reconciler.longest_rest, keeps_to_share=True),
            Duty(self._carry_on, CARRY_ON_INTERVAL, keeps_to_share=True),
            Duty(self._sweep, settings.SWEEP_INTERVAL, keeps_to_share=True),
            Duty(self._pass_cancellations_on, CANCEL_INTERVAL, keeps_to_share=True),
            Duty(self._listen, PING_INTERVAL),
            Duty(self._count_finished, 60.0, first_in=_spread()),
        ]
        if self.broker.publishes:
            duties.append(Duty(self._reconcile, settings.POLL_INTERVAL))
        if settings.PRUNE_INTERVAL is not None:
            duties.append(Duty(self._prune, settings.PRUNE_INTERVAL, first_in=5.0))
        return duties

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Keep until the supervisor says that it was the last report, and all are written."""
        while not (self.is_stopping and not self._dead and not self._rescues.has_unsent):
            self._round()
            if not self.is_stopping:
                self._sleep()
            elif self._dead or self._rescues.has_unsent:
                time.sleep(self.outage.seconds_left(time.monotonic()) or 0.01)
            if self.is_stopping and clock() > self.board.lease_until:
                break  # the database is away for longer than the lease: others take over
        self._leave()

    def _round(self) -> None:
        self.board.beat_keeper()
        if not self._duties.do_due():
            self._stop_listening()
            return
        away = self.outage.over()
        if away is not None and away > self.info.lease / BEATS_PER_LEASE:
            # Others were cut off, too: let the living renew before they are taken for dead.
            self._sweep_from = time.monotonic() + app_settings.LEASE
        self.board.beat_keeper(finished_round=True)

    def _sleep(self) -> None:
        """Sleep until a duty is due, and pass wake-ups on in the meantime."""
        until = time.monotonic() + self._duties.pause(
            without=None if self._dead else self._record_lost
        )
        waits: list[Any] = [self.reports]
        if self._listener is not None:
            waits.append(self._listener)
        while True:
            left = until - time.monotonic()
            readable, _, _ = select.select(waits, [], [], max(0.0, left))
            if self.reports in readable:
                self._read_reports()
                return
            # Back to sleep without a round: whom it woke often waits for this very processor.
            if self._listener not in readable or not self._pass_wake_ups_on() or left <= 0:
                return

    # --- lease --------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Renew the lease; it counts from before the statement: never longer than the row says."""
        asked_at = clock()
        self.info = self._now()
        # A keeper that replaces a dead one finds the row of its predecessor.
        if not leases.renew(self.database, self.info):
            if self._is_registered:
                logger.warning(
                    "Worker %s was taken for dead; it registers anew. Results of tasks that"
                    " others took over will be refused.",
                    self.info.id,
                )
            leases.register(self.database, self.info)
        self._is_registered = True
        self.board.lease_until = asked_at + self.info.lease

    def _now(self) -> leases.WorkerInfo:
        """Return what the worker's row is to say."""
        return replace(
            self.info,
            concurrency=self.board.concurrency or self.info.concurrency,
            is_stopping=self.board.is_stopping,
            paused=self.request_reader.applied_pauses,
        )

    def _leave(self) -> None:
        try:
            leases.unregister(self.database, self.info.id)
        except CONNECTION_ERRORS as error:
            logger.warning("Could not sign off (%s); the lease runs out by itself.", error)
        self._stop_listening()
        connections.close_all()

    # --- control requests -----------------------------------------------------------------------

    def _apply_requests(self) -> None:
        """Read control requests, and apply them."""
        if self.request_reader.look():
            self._wake_all()
        if not self.board.is_listening:  # at most the broker wakes it for the next request
            self._duties.of(self._apply_requests).next_in(self._reconciler.rest)

    def _report(self) -> None:
        """Have the worker's row say how it is now."""
        if self._now() != self.info:
            self._duties.of(self._renew).make_due()

    # --- the dead -----------------------------------------------------------------------------

    def _read_reports(self) -> None:
        while not self.is_stopping:
            try:
                chunk = os.read(self.reports, 1 << 16)
            except BlockingIOError:
                return
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            reports = [report for line in lines if (report := lost_tasks.of_line(line))]
            self.is_stopping = not chunk or lost_tasks.LAST in reports
            self._dead += [report for report in reports if report != lost_tasks.LAST]

    def _record_lost(self) -> bool:
        """Write the ends of what a dead process of this worker had claimed."""
        self._finish_rescues()
        if not self._dead:
            return False
        report = self._dead.pop(0)
        is_written = False
        try:
            decided = lost_tasks.of_process(self.database, report, self.config.host)
            is_written = self._rescues.write(decided, self.info.id, report["process"])
            self._note_rescues()
        except Exception as error:
            if not is_outage(error):
                shown = loggable_fault(error)
                logger.error("A dead process' report fails; the sweep settles it.", exc_info=shown)
                return bool(self._dead)
            self._dead.insert(0, report)
            raise
        if not is_written:  # somebody has a row locked: others first
            self._dead.append(report)
        return is_written and bool(self._dead)

    def _sweep(self) -> bool:
        """Rescue tasks of dead workers, and of processes of this one that nobody reported."""
        self._finish_rescues()
        signs = leases.signs(self.database, self.info, self._accounted_for())
        if not (signs.has_control_requests or self.request_reader.excludes_queues):
            self._duties.of(self._apply_requests).put_off()
        has_more = False
        if signs.has_own_orphans:
            own = leases.lock_orphans_of_process
            whose = (self.database, self.info.id, self._accounted_for())
            has_more = self._rescue(partial(own, *whose))
        is_due = signs.has_orphans or signs.has_dead_workers
        if is_due and time.monotonic() >= self._sweep_from and self._database_is_settled():
            others = partial(leases.lock_orphans_of_dead_workers, self.database)
            has_more |= self._rescue(others)
            leases.forget_dead(self.database)
        return has_more

    def _rescue(self, lock_orphans: Callable[[], list[leases.Orphan]]) -> bool:
        has_more = self._rescues.rescue(lock_orphans)
        self._note_rescues()
        return has_more

    def _finish_rescues(self) -> None:
        """Find out what became of a batch whose answer was lost, and write the rest of it."""
        self._rescues.finish()
        self._note_rescues()

    def _note_rescues(self) -> None:
        """Have processes look at once for what runs again, and send the signals."""
        if self._rescues.has_unsent:
            self._duties.of(self._send_signals).make_due()
            self._wake_all()

    def _send_signals(self) -> bool:
        return self._rescues.send_signals()

    def _accounted_for(self) -> list[int]:
        """Return this worker's processes that live, or whose death was reported."""
        alive = [n for n, pid in zip(self.board.processes, self.board.pids, strict=True) if pid]
        self._read_reports()  # after `alive`: who is in neither died without a report
        return [*alive, *(report["process"] for report in self._dead)]

    def _database_is_settled(self) -> bool:
        """Tell whether the server is up for a lease, so that living workers could renew."""
        return self.dialect.uptime(self.connection) > app_settings.LEASE

    def _carry_on(self) -> bool:
        """Release and cancel steps of workflows that were too many for one transaction."""
        return ends.finish_decided(self.database, seconds=CARRY_ON_FOR)

    # --- due and overdue ----------------------------------------------------------------------

    def _promote_and_expire(self) -> bool:
        """Do what is due; return whether it may have left more behind."""
        due_in, expiry_in = self.dialect.seconds_until_next(self.connection)
        promoted, expired = set[str](), 0
        if due_in <= 0:
            promoted = transitions.promote(self.database, seconds=PROMOTE_FOR)
            if any(map(self.request_reader.serves, promoted)):
                self._wake_all()
        if expiry_in <= 0:
            expired = transitions.expire(self.database, seconds=EXPIRE_FOR)
        if promoted or expired:
            return True
        following = min(due_in, expiry_in, self._reconciler.rest)
        # What is due and was not to be had is held by somebody.
        self._duties.of(self._promote_and_expire).next_in(
            following if following > 0 else LOCK_PAUSE
        )
        return False

    # --- cancellation -------------------------------------------------------------------------

    def _pass_cancellations_on(self) -> None:
        """Set the flags of running tasks that somebody cancelled, and make their process look."""
        if not self._has_running_tasks():
            return
        cancelled = set(leases.cancelled_tasks(self.database, self.info.id))
        for index in range(self.board.lane_count):
            self._flag(index, cancelled)

    def _has_running_tasks(self) -> bool:
        limit = clock() - CANCEL_AFTER
        lanes = (self.board.lane(i) for i in range(self.board.lane_count) if self.board.pids[i])
        return any(e.is_started and e.started_at < limit for lane in lanes for e in lane.taken())

    def _flag(self, lane_index: int, cancelled: set[tuple[UUID, int]]) -> None:
        pid = self.board.pids[lane_index]
        for entry in self.board.lane(lane_index).taken() if pid else ():
            if (entry.id, entry.claims) not in cancelled:
                continue
            if not entry.is_cancelled:
                # A body that does not stop within the grace period is killed.
                self.board.cancel(entry, clock() + self.config.grace)
            try:
                os.kill(pid, LOOK)
            except ProcessLookupError:
                return  # it has just died; the supervisor reports it

    # --- wake-ups -----------------------------------------------------------------------------

    def _listen(self) -> None:
        """Start listening, or prove that it still works: a cut line is silent."""
        if self._listener is not None:
            self._listener.ping()
            self._pass_wake_ups_on()  # what came before the ping's answer leaves the line silent
            return
        self._listener = self.broker.listen(partial(self.dialect.listener, self.connection))
        self.board.is_listening = self._listener is not None
        if self._listener is not None:
            self._wake_all()  # for what came before it listened
            self._duties.of(self._apply_requests).make_due()

    def _wake_all(self) -> None:
        self.wake_up.send(max(self.config.processes, self.board.process_count))

    def _pass_wake_ups_on(self) -> bool:
        """Wake processes for what is ready; return whether that was all that there was to do."""
        assert self._listener is not None
        try:
            queues = self._listener.read()
        except CONNECTION_ERRORS as error:
            self._duties.cut_off(error)
            self._stop_listening()
            return False
        has_control_request = CONTROL_REQUEST in queues
        queues.discard(CONTROL_REQUEST)
        if matching := sum(map(self.request_reader.serves, queues)):
            self.wake_up.send(matching)
        if has_control_request:
            self._duties.of(self._apply_requests).make_due()
        return not has_control_request

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        self.board.is_listening = False
        if listener is not None:
            try:
                listener.close()
            except (DatabaseError, InterfaceError) as error:
                logger.debug("Closing the listening connection failed: %s", error)

    # --- what the broker lost -----------------------------------------------------------------

    def _reconcile(self) -> None:
        findings = self._reconciler.run()
        self._duties.of(self._reconcile).next_in(findings.pause)
        if findings.is_refused != self.board.is_broker_refusing:
            self.board.is_broker_refusing = findings.is_refused
            self._wake_all()
        if findings.has_later:
            self._duties.of(self._promote_and_expire).make_due()
            self._duties.of(self._apply_requests).make_due()

    # --- counting and pruning -----------------------------------------------------------------

    def _count_finished(self) -> None:
        """Count finished tasks for the charts, a bit at a time: the lease comes first."""
        until = time.monotonic() + COUNT_FOR
        while (more_in := counting.count_next(self.database)) == 0.0:
            if time.monotonic() >= until:
                self._duties.of(self._count_finished).next_in(COUNT_PAUSE)
                return
        self._duties.of(self._count_finished).next_in(more_in + _spread())

    def _prune(self) -> None:
        """Delete tasks that are due, some at a time; not before they are counted."""
        late = counting.COUNTED_AFTER.total_seconds()
        pruned = pruning.prune_due(self.database, late=late, seconds=PRUNE_FOR)
        self._tally.pruned += pruned.number
        if pruned.number:
            logger.info("Pruned %d finished tasks.", pruned.number)
        steps = workflows.prune_due(self.database, late=late, seconds=PRUNE_FOR)
        if steps.number:
            logger.info("Pruned %d steps of finished workflows.", steps.number)
        if not (pruned.is_done and steps.is_done):
            self._duties.of(self._prune).next_in(PRUNE_PAUSE)


def _spread() -> float:
    return random.uniform(0.0, COUNT_SPREAD)  # noqa: S311 - not all at the same time
