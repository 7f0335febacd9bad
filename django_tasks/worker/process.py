"""One process of a worker that runs tasks: its pool in the main thread, its engine beside it."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
from types import FrameType

from django.db import connections

from ..definitions.codecs import serializer_of
from ..redaction.exceptions import OF_OTHERS, loggable, loggable_fault
from ..runtime.forks import CRASHED, DONE, LOOK, NOTHING_LEFT, accept_signals
from ..runtime.parents import die_with_parent
from ..runtime.wakeups import WakeUp
from ..signals import worker_started, worker_stopped
from .board import Board
from .config import WorkerConfig
from .engine.engine import Engine
from .execution.inheritance import inheritance
from .execution.runner import Runner
from .execution.uncaught import keep_texts_out_of_logs
from .pools.choice import make_pool
from .quarantine import Offers

logger = logging.getLogger("django_tasks.worker")


def run_process(
    config: WorkerConfig, board: Board, lane_index: int, process: int, wake_up: WakeUp,
    offers: WakeUp, parent_pid: int,
) -> int:  # fmt: skip
    """
    Run tasks in this just forked process until told to stop; return its exit code.

    `wake_up` wakes it for the table, `offers` the quarantine for what processes offer it.
    """
    os.setpgid(0, 0)  # so that a Ctrl+C in the terminal reaches the supervisor only
    die_with_parent(parent_pid)
    detach_from_terminal()
    random.seed()
    connections.close_all()
    if config.pool == "gevent":
        patch_for_gevent()
    engine = build_engine(config, board, lane_index, process, wake_up, offers)
    set_signal_handlers(engine)
    inheritance.withhold(*wake_up.descriptors, *offers.descriptors, *engine.descriptors)
    accept_signals()
    return run_engine(engine)


def build_engine(
    config: WorkerConfig, board: Board, lane_index: int, process: int, wake_up: WakeUp,
    offers: WakeUp | None = None,
) -> Engine:  # fmt: skip
    """Put engine, runner and pool of one process together."""
    lane = board.lane(lane_index)
    lane.open(process)
    # Not by the parent: until it ran again the keeper would take the claims for a dead process'.
    board.pids[lane_index] = os.getpid()
    engine = Engine(config, lane, process, offers if offers and config.is_quarantine else wake_up)
    if offers and config.has_quarantine and not config.is_quarantine:
        engine.quarantined.offers = Offers(lane, offers)
    runner = Runner(config.database, lane, engine, serializer_of(config.backend))
    engine.pool = make_pool(config.pool, runner, engine.post, board, config.slots)
    return engine


def run_engine(engine: Engine) -> int:
    """Run bodies in this thread and the engine in another; return the exit code."""
    keep_texts_out_of_logs()
    worker_id = str(engine.config.worker_id)
    worker_started.send_robust(None, worker_id=worker_id, process=engine.process)
    thread = threading.Thread(target=_run_or_die, args=(engine,), name="engine", daemon=True)
    thread.start()
    try:
        engine.pool.run()
    except BaseException as error:
        # Raised by what a body left running: an asyncio task of its own that called sys.exit().
        shown = loggable(error, OF_OTHERS)
        logger.critical("The pool of process %s failed.", engine.process, exc_info=shown)
        return CRASHED
    thread.join()
    worker_stopped.send_robust(None, worker_id=worker_id, process=engine.process)
    connections.close_all()
    return NOTHING_LEFT if engine.is_drained else DONE


def _run_or_die(engine: Engine) -> None:
    """Run the engine; without it the process would run on without recording anything."""
    try:
        engine.run()
    except BaseException as error:
        shown = loggable_fault(error)
        logger.critical("The engine of process %s failed.", engine.process, exc_info=shown)
        logging.shutdown()
        os._exit(CRASHED)


def set_signal_handlers(engine: Engine) -> None:
    """SIGTERM stops gently; the supervisor's LOOK makes the pool look at its flags."""

    def on_term(number: int, frame: FrameType | None) -> None:
        engine.stop()

    def on_look(number: int, frame: FrameType | None) -> None:
        engine.pool.look()

    def ignore(number: int, frame: FrameType | None) -> None:
        """Unlike SIG_IGN, this is not inherited by the programs that bodies start."""

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, ignore)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, ignore)
    signal.signal(LOOK, on_look)
    signal.set_wakeup_fd(-1)


def detach_from_terminal() -> None:
    """Read from nowhere: a body that asks for input must not wait for a person."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - lives as long as the process


def patch_for_gevent() -> None:
    """Make blocking calls switch greenlets: `slots` bodies run as greenlets of one thread."""
    from gevent import monkey

    monkey.patch_all()
