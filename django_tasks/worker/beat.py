"""A worker's own beat: as a child of its supervisor, or in a thread of its one process."""

from __future__ import annotations

import os
import signal
import threading

from django.db import connections

from ..beat.loop import Beat, BeatConfig
from ..beat.start import run, stop_at
from ..runtime.exit_codes import EXIT_GRACEFUL
from ..runtime.forks import accept_signals
from ..runtime.parents import die_with_parent
from .board import Board
from .config import WorkerConfig
from .execution.inheritance import inheritance


def run_beat_process(config: WorkerConfig, board: Board, parent_pid: int) -> int:
    """Beat in this just forked process of a worker, until its supervisor says to stop."""
    os.setpgid(0, 0)  # so that a Ctrl+C in the terminal reaches the supervisor only
    die_with_parent(parent_pid)
    connections.close_all()
    beat = Beat(beat_config(config), board.beat_scheduler)
    stop_at(beat, signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    inheritance.withhold()
    accept_signals()
    run(beat)
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
