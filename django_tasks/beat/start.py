"""Starting a beat: as a process of its own, as a worker's child, or in a thread of one."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from django.db import connections

from ..runtime.forks import accept_signals
from ..runtime.health import serve
from ..worker.board import Board
from ..worker.config import WorkerConfig
from ..worker.execution.inheritance import inheritance
from ..worker.execution.limits import die_with_parent
from ..worker.supervisor.supervisor import EXIT_FORCED, EXIT_GRACEFUL
from .loop import Beat, BeatConfig

#: Seconds within which two signals count as one: wrappers forward the terminal's Ctrl+C.
SAME_SIGNAL = 0.1


def run_beat(config: BeatConfig, health: tuple[str, int] | None) -> int:
    """Beat until a signal says to stop; return the exit code."""
    beat = Beat(config)
    _stop_at(beat, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if health is not None:
        serve(beat.silence, beat.is_ready, *health)
    _run(beat)
    return EXIT_GRACEFUL


def run_beat_process(config: WorkerConfig, board: Board, parent_pid: int) -> int:
    """Beat in this just forked process of a worker, until its supervisor says to stop."""
    os.setpgid(0, 0)  # so that a Ctrl+C in the terminal reaches the supervisor only
    die_with_parent(parent_pid)
    connections.close_all()
    beat = Beat(beat_config(config), board.beat_scheduler)
    _stop_at(beat, signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    inheritance.withhold()
    accept_signals()
    _run(beat)
    return EXIT_GRACEFUL


def start_beat_thread(config: WorkerConfig, board: Board) -> tuple[Beat, threading.Thread]:
    """Beat in a thread, for a worker that is one process."""
    beat = Beat(beat_config(config), board.beat_scheduler)
    thread = threading.Thread(target=beat.run, name="beat", daemon=True)
    thread.start()
    return beat, thread


def beat_config(config: WorkerConfig) -> BeatConfig:
    """Return the configuration of a worker's beat; it has a row of its own."""
    return BeatConfig(backend=config.backend, database=config.database, host=config.host)


def _run(beat: Beat) -> None:
    """
    Beat in a thread, so that this one, the main thread, can run the handlers of signals.

    A driver written in C keeps the thread that waits for the database from running them.
    """
    with ThreadPoolExecutor(1, "beat") as executor:
        executor.submit(beat.run).result()


def _stop_at(beat: Beat, *numbers: signal.Signals) -> None:
    """Stop gently at the first of these signals, at once at the second."""
    stopped_at = float("inf")

    def on_stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_at
        if time.monotonic() - stopped_at > SAME_SIGNAL:
            os._exit(EXIT_FORCED)  # the transaction in hand is rolled back
        stopped_at = min(stopped_at, time.monotonic())
        beat.stop()

    for number in numbers:
        signal.signal(number, on_stop)
