"""The solo pool: bodies, engine and keeper in one process. For debugging."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol

from ...conf import app_settings
from ...runtime.exit_codes import EXIT_FORCED, EXIT_GRACEFUL
from ...runtime.forks import LOOK, NOTHING_LEFT
from ...runtime.wakeups import WakeUp
from ..board import Board
from ..config import WorkerConfig
from ..execution.inheritance import inheritance
from ..keeper import lost_tasks
from ..process import build_engine, run_engine
from ..supervisor.stopping import INTERRUPTION_TIME
from ..supervisor.supervisor import LOOK_INTERVAL, StartKeeper


class Stoppable(Protocol):
    """A beat, as far as this module knows it."""

    def stop(self) -> None:
        """Stop soon."""


StartBeatThread = Callable[[WorkerConfig, Board], tuple[Stoppable, threading.Thread]]


def run_solo(config: WorkerConfig, start_keeper: StartKeeper, start_beat: StartBeatThread) -> int:
    """
    Run until stopped; return the exit code.

    A body that holds the interpreter for longer than the lease is taken for dead, and hard time
    limits are not enforced: nobody is there to do it.
    """
    board = Board(1, 4 * app_settings.BATCH_SIZE + 2)
    wake_up = WakeUp()
    reports_read, reports_write = os.pipe()
    engine = build_engine(config, board, 0, 1, wake_up)
    inheritance.withhold(*wake_up.descriptors, *engine.descriptors, reports_read, reports_write)
    board.beat_supervisor()
    board.concurrency = 1
    grace = Grace(board, config.grace, engine.stop)

    def on_stop(number: int, frame: FrameType | None) -> None:
        grace.begin_or_end()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    keeper = threading.Thread(
        target=start_keeper, args=(config, board, wake_up, reports_read), name="keeper"
    )
    keeper.start()
    watch = threading.Thread(target=grace.watch, name="grace", daemon=True)
    watch.start()
    beats = [start_beat(config, board)] if config.beat else []
    try:
        code = run_engine(engine)
    finally:
        for beat, thread in beats:
            beat.stop()
            thread.join(INTERRUPTION_TIME)
        board.pids[0] = 0
        os.write(reports_write, lost_tasks.to_line(lost_tasks.LAST))
        keeper.join()
        grace.end()
        watch.join()
        inheritance.stop()
        for end in (reports_read, reports_write, *wake_up.descriptors, *engine.descriptors):
            os.close(end)
    if code in (0, NOTHING_LEFT):
        return EXIT_FORCED if grace.was_too_short else EXIT_GRACEFUL
    return code


class Grace:
    """
    Stops the worker at the first signal, or when somebody asks for it from afar; interrupts the
    running body some time later, or at the second signal.
    """

    def __init__(self, board: Board, seconds: float, stop: Callable[[], None]) -> None:
        self.board = board
        self.seconds = seconds
        self.stop = stop
        self.was_too_short = False
        self._is_over = False
        # A SimpleQueue may be put to from signal handlers.
        self._signals: SimpleQueue[None] = SimpleQueue()

    def begin_or_end(self) -> None:
        """Note a signal to stop; called in its handler."""
        self._begin()
        self._signals.put(None)

    def end(self) -> None:
        """Watch no more: the worker has ended."""
        self._is_over = True
        self._signals.put(None)

    def _begin(self) -> None:
        self.board.begin_to_stop()
        self.stop()

    def watch(self) -> None:
        """Show that this process lives, wait for signals, and interrupt when it is time."""
        while not self._next_signal(LOOK_INTERVAL):
            self.board.beat_supervisor()
            if self.board.is_asked_to_stop:
                self._begin()
                break
        if not self._is_over:
            self._next_signal(self.seconds)
        if self._is_over:
            return
        self.was_too_short = self.board.lane(0).is_running_tasks
        self.board.interrupt()
        while not self._is_over:
            os.kill(os.getpid(), LOOK)
            time.sleep(LOOK_INTERVAL)

    def _next_signal(self, timeout: float) -> bool:
        try:
            self._signals.get(timeout=timeout)
        except Empty:
            return False
        return True
