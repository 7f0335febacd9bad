"""
The parent of a worker's processes: starts, replaces, limits and stops them.

Single-threaded and without a database connection, so that its forks are clean. What dead
processes had in hand it reads from the board and tells the keeper, who writes it down.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from ...conf import app_settings
from ...runtime.clock import clock
from ...runtime.exit_codes import EXIT_FORCED, EXIT_GRACEFUL
from ...runtime.forks import LOOK, NOTHING_LEFT, fork
from ...runtime.wakeups import WakeUp
from .. import quarantine
from ..board import Board, Entry
from ..config import WorkerConfig
from ..keeper import lost_tasks
from ..process import run_process
from .children import Child, how_it_died, kill, retire
from .managed_process import ManagedProcess
from .scaling import Scaling
from .stopping import Stop

logger = logging.getLogger("django_tasks.supervisor")

#: Seconds between two looks at deadlines, the lease and the load.
LOOK_INTERVAL = 0.2
#: Seconds before the lease ends at which tasks are stopped that cannot be renewed.
LEASE_MARGIN = 0.15
#: Seconds after its start in which a process dies early, and the longest pause after several.
EARLY, LONGEST_RESPAWN_PAUSE = 2.0, 30.0
#: Seconds for which a process may be silent at least, however short the lease is.
SHORTEST_SILENCE = 10.0

StartKeeper = Callable[[WorkerConfig, Board, WakeUp, int], None]
StartBeat = Callable[[WorkerConfig, Board], int]


class Supervisor:
    """Runs one worker."""

    def __init__(
        self, config: WorkerConfig, start_keeper: StartKeeper, start_beat: StartBeat
    ) -> None:
        self.config = config
        self.start_keeper = start_keeper
        entries = 4 * app_settings.BATCH_SIZE + 2 * config.most_slots
        self.board = Board(config.most_processes + config.has_quarantine, entries)
        self.wake_up = WakeUp()
        self.offers = WakeUp()
        self.children: dict[int, Child] = {}
        self.keeper_pid = 0
        self.beat = ManagedProcess(
            "beat",
            lambda: fork(lambda: self._start_beat(start_beat)),
            self.board.beat_scheduler,
            self.board.scheduler_silence,
        )
        self.stop = Stop(config, self.board)
        self.scaling = Scaling(config, self.board)
        self._next_number = 1
        self._crashes = 0
        self._spawn_from = 0.0
        self._keeper_spawn_from = 0.0
        self._unreported: list[bytes] = []
        self._signals = WakeUp()
        self._reports_read, self._reports_write = os.pipe()
        os.set_blocking(self._reports_write, False)
        self._drained = False
        self._look_again_after = float("-inf")

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> int:
        """Run until stopped (or, with burst, until nothing is left); return the exit code."""
        self._set_signal_handlers()
        gc.collect()
        gc.freeze()  # keep the pages shared that hold code and classes
        self.board.beat_supervisor()
        self._spawn_keeper()
        while not self._is_over():
            self._fill_lanes()
            self._keep_quarantine()
            self._wait()
            self._reap()
            self.board.beat_supervisor()
            self.stop.step(self.children.values())
            self._keep_beat()
            self._enforce_deadlines()
            self._guard_lease()
            self._guard_silence()
            if not self.stop.has_begun:
                self.scaling.step(self._runners)
            self._flush_reports()
        self._stop_keeper()
        self._clean_up()
        return EXIT_FORCED if self.stop.is_forced else EXIT_GRACEFUL

    def _is_over(self) -> bool:
        if self.children or self.beat.pid:
            return False
        return self.stop.has_begun or self._drained

    def _wait(self) -> None:
        if not self._signals.take(64):
            select.select([self._signals], [], [], LOOK_INTERVAL)
            self._signals.take(64)

    def _set_signal_handlers(self) -> None:
        def on_stop(number: int, frame: FrameType | None) -> None:
            self.stop.hear(number)

        def on_child(number: int, frame: FrameType | None) -> None:
            """Only to end the sleep: the wake-up descriptor does it."""

        signal.set_wakeup_fd(self._signals._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, on_stop)
        signal.signal(signal.SIGCHLD, on_child)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(LOOK, signal.SIG_IGN)

    # --- starting -----------------------------------------------------------------------------

    @property
    def _runners(self) -> list[Child]:
        """The processes that claim from the table."""
        return [child for child in self.children.values() if not child.is_quarantine]

    def _fill_lanes(self) -> None:
        if self._drained or not self._may_spawn:
            return
        busy = {child.lane for child in self._runners}
        for lane in range(self.config.most_processes):
            if lane not in busy and len(self._runners) < self.scaling.wanted:
                self._spawn(self.config, lane)
                self.scaling.share_slots([c for c in self._runners if not c.is_retiring])

    @property
    def _may_spawn(self) -> bool:
        return not self.stop.has_begun and time.monotonic() >= self._spawn_from

    def _spawn(self, config: WorkerConfig, lane: int) -> None:
        number, self._next_number = self._next_number, self._next_number + 1
        self.board.lane(lane).open(number)
        wake_ups, parent = (self.wake_up, self.offers), os.getpid()

        def run() -> int:
            self._close_own()
            os.close(self._reports_read)
            return run_process(config, self.board, lane, number, *wake_ups, parent)

        pid = fork(run)
        self.children[pid] = Child(
            pid, number, lane, time.monotonic(), is_quarantine=config.is_quarantine
        )

    def _keep_quarantine(self) -> None:
        """Start it when something is offered to it; end it when nothing has been for a while."""
        if not self.config.has_quarantine:
            return
        child = next((c for c in self.children.values() if c.is_quarantine), None)
        if child is None:
            if self.board.has_offers and self._may_spawn:
                config = replace(self.config, slots=1, burst=False, is_quarantine=True)
                self._spawn(config, self.config.most_processes)
        elif not child.is_retiring:
            rest = 0.0 if self._drained and not self._runners else quarantine.REST
            if self.scaling.idle_for(child, clock()) > rest:
                retire(child, self.board)

    def _close_own(self) -> None:
        """Close what only the supervisor writes to or reads, in a process that was just forked."""
        os.close(self._reports_write)
        self._signals.close()

    def _spawn_keeper(self) -> None:
        def keep() -> int:
            self._close_own()
            self.start_keeper(self.config, self.board, self.wake_up, self._reports_read)
            return 0

        self.board.beat_keeper()
        self.keeper_pid = fork(keep)

    def _start_beat(self, start_beat: StartBeat) -> int:
        self._close_own()
        os.close(self._reports_read)
        return start_beat(self.config, self.board)

    def _keep_beat(self) -> None:
        if not self.config.beat:
            return
        if self.stop.has_begun:
            self.beat.stop()
        self.beat.keep()
        self.beat.kill_if_silent(max(app_settings.LEASE, SHORTEST_SILENCE))
        if self.board.is_interrupting:
            self.beat.kill()

    # --- the dead -----------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.keeper_pid:
                self._keeper_died(status)
            elif pid == self.beat.pid:
                self.beat.ended(how_it_died(status))
            elif pid in self.children:
                self._child_died(self.children.pop(pid), status)

    def _keeper_died(self, status: int) -> None:
        self.keeper_pid = 0
        if self._is_over():
            return
        logger.error("The keeper died (%s); starting another.", how_it_died(status))
        self.board.is_listening = False
        pause = 0.0 if time.monotonic() > self._keeper_spawn_from + 5 else 1.0
        self._keeper_spawn_from = time.monotonic()
        time.sleep(pause)
        self._spawn_keeper()

    def _child_died(self, child: Child, status: int) -> None:
        lane = self.board.lane(child.lane)
        left = list(lane.taken())
        exit_code = os.waitstatus_to_exitcode(status)
        if left:
            self._report(child, left, exit_code)
        self.board.pids[child.lane] = 0  # after the report: the keeper sweeps for the unreported
        if self.config.burst and not self._has_ended_idle(child, exit_code):
            self._note_end(child, found_nothing=exit_code == NOTHING_LEFT)
        if exit_code not in (0, NOTHING_LEFT) and child.verdict == "lost":
            logger.error(
                "Process %s (pid %s) died: %s.", child.number, child.pid, how_it_died(status)
            )
            self._pause_after_crash(child, has_worked=any(entry.is_started for entry in left))
        else:
            self._crashes = 0

    def _has_ended_idle(self, child: Child, exit_code: int) -> bool:
        """Tell whether this was a quarantine that ran nothing."""
        return child.is_quarantine and not exit_code and not self.board.finished[child.lane]

    def _note_end(self, child: Child, *, found_nothing: bool) -> None:
        """
        Note whether anything is left, with burst.

        A process that ended for another reason may have enqueued or given back something after
        the others looked, whichever of them is reaped first: only one that began later knows.
        """
        if not found_nothing:
            self._drained = False
            self._look_again_after = time.monotonic()
        elif child.started_at > self._look_again_after:
            self._drained = True
            for other in self._runners:
                other.is_retiring = True

    def _pause_after_crash(self, child: Child, *, has_worked: bool) -> None:
        """
        Do not burn a core on processes that die as soon as they start.

        One that has run a task could start: what ended it says nothing of the others.
        """
        has_worked |= bool(self.board.finished[child.lane])
        is_early = time.monotonic() - child.started_at < EARLY and not has_worked
        self._crashes = self._crashes + 1 if is_early else 0
        if self._crashes > 3:
            pause = min(2.0 ** (self._crashes - 3), LONGEST_RESPAWN_PAUSE)
            self._spawn_from = time.monotonic() + pause

    def _report(self, child: Child, left: list[Entry], exit_code: int) -> None:
        now = clock()
        entries = [
            {
                "id": str(entry.id),
                "claims": entry.claims,
                "verdict": _verdict(entry, child, now),
                "run_time": round(now - entry.started_at, 3) if entry.is_started else None,
            }
            for entry in left
        ]
        report = lost_tasks.report(
            child.number,
            child.pid,
            entries,
            signal_number=-exit_code if exit_code < 0 else None,
            exit_code=exit_code if exit_code >= 0 else None,
        )
        self._unreported.append(lost_tasks.to_line(report))
        self._flush_reports()

    def _flush_reports(self) -> None:
        """Write to the keeper's pipe; what it never reads it finds in the table by its sweep."""
        while self._unreported:
            try:
                written = os.write(self._reports_write, self._unreported[0])
            except BlockingIOError:
                return
            rest = self._unreported[0][written:]
            if rest:
                self._unreported[0] = rest
                return
            self._unreported.pop(0)

    # --- limits -------------------------------------------------------------------------------

    def _enforce_deadlines(self) -> None:
        now = clock()
        for child in self.children.values():
            if child.verdict == "lost" and self.board.lane(child.lane).first_deadline() <= now:
                kill(child, "overdue")

    def _guard_lease(self) -> None:
        """
        Stop tasks before the lease ends that the keeper cannot renew: others will take them.

        A process whose bodies have all ended only waits to say so: it is heard, or refused, later.
        """
        margin = min(1.0, app_settings.LEASE * LEASE_MARGIN)
        if clock() < self.board.lease_until - margin:
            return
        for child in self.children.values():
            if self.board.lane(child.lane).is_in_a_body and child.verdict == "lost":
                logger.warning("The lease cannot be renewed: stopping process %s.", child.number)
                kill(child, "interrupted")

    def _guard_silence(self) -> None:
        """
        Replace what a dead line to the database holds: a read without an answer waits for ever.

        A process whose body holds the interpreter is silent, too, and is left alone.
        """
        if self.keeper_pid and self.board.keeper_silence() > app_settings.LEASE:
            logger.error("The keeper has been silent for a lease; starting another.")
            self.board.beat_keeper()
            os.kill(self.keeper_pid, signal.SIGKILL)
        limit = clock() - max(app_settings.LEASE, SHORTEST_SILENCE)
        for child in self.children.values():
            is_silent = self.board.beats[child.lane] < limit
            if is_silent and not self.board.lane(child.lane).is_in_a_body:
                logger.error("Process %s has been silent for too long; replacing it.", child.number)
                kill(child, "interrupted")

    # --- stopping -----------------------------------------------------------------------------

    def _stop_keeper(self) -> None:
        """
        Let the keeper write the last reports and sign off.

        It is told so: that the pipe is at its end it may not see, if a stranger holds it open.
        """
        self._unreported.append(lost_tasks.to_line(lost_tasks.LAST))
        end = time.monotonic() + max(5.0, app_settings.LEASE)
        while self.keeper_pid and time.monotonic() < end:
            self._flush_reports()
            self._reap()
            if self.keeper_pid:
                select.select([self._signals], [], [], 0.1)
                self._signals.take(64)
        if self.keeper_pid:
            os.kill(self.keeper_pid, signal.SIGKILL)
            os.waitpid(self.keeper_pid, 0)

    def _clean_up(self) -> None:
        """Leave nothing behind: whoever called may go on."""
        signal.set_wakeup_fd(-1)
        self._close_own()
        os.close(self._reports_read)
        for wake_up in (self.wake_up, self.offers):
            wake_up.close()
        gc.unfreeze()


def _verdict(entry: Entry, child: Child, now: float) -> str:
    if not entry.is_started:
        return "unstarted"
    if child.verdict == "overdue":
        if entry.deadline <= now:
            return "cancelled" if entry.is_cancelled else "timeout"
        return "interrupted"  # shared a process with the one that was overdue
    return child.verdict
