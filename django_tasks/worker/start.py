"""Start a worker from its configuration."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import connections

from ..brokers import configured as brokers
from ..runtime.forks import accept_signals
from ..runtime.health import serve
from ..runtime.parents import die_with_parent
from ..runtime.wakeups import WakeUp
from .beat import run_beat_process, start_beat_thread
from .board import Board
from .config import WorkerConfig
from .execution.inheritance import HANDLED, inheritance
from .keeper.keeper import Keeper
from .pools.solo import run_solo
from .status import Tally, status_of
from .supervisor.supervisor import Supervisor


def close_for_fork() -> None:
    """Close every connection, also those that a pool keeps open: forks would share the sockets."""
    connections.close_all()
    for connection in connections.all(initialized_only=True):
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()


@contextmanager
def restored_signals() -> Iterator[None]:
    """Put this process' signal handlers back afterwards."""
    old = {number: signal.getsignal(number) for number in HANDLED}
    wake_up = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wake_up)
        for number, handler in old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def run_worker(config: WorkerConfig) -> int:
    """Run a worker until it stops; return its exit code."""
    close_for_fork()
    with restored_signals():
        return _run_worker(config)


def _run_worker(config: WorkerConfig) -> int:
    if config.pool == "solo":
        return run_solo(config, start_keeper_thread, start_beat_thread)
    parent_pid = os.getpid()

    def start_keeper(config: WorkerConfig, board: Board, wake_up: WakeUp, reports: int) -> None:
        os.setpgid(0, 0)
        die_with_parent(parent_pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends after the processes, by its pipe
        inheritance.withhold(reports, *wake_up.descriptors)
        accept_signals()
        start_keeper_thread(config, board, wake_up, reports)

    def start_beat(config: WorkerConfig, board: Board) -> int:
        return run_beat_process(config, board, parent_pid)

    return Supervisor(config, start_keeper, start_beat).run()


def start_keeper_thread(config: WorkerConfig, board: Board, wake_up: WakeUp, reports: int) -> None:
    """Run the keeper in this thread until it has read the last report."""
    broker = brokers.broker_for(config.backend)
    tally = Tally()
    if config.health is not None:
        # Ready without its broker, too: it claims from the table meanwhile.
        describe = broker.outage.describe
        status = partial(status_of, config, board, broker, tally)
        pages = None if config.pages is None else config.pages(status)
        listening = serve(board.silence, lambda: board.is_well, *config.health, describe, pages)
        inheritance.withhold(listening.fileno())
    Keeper(config, board, wake_up, reports, broker, tally).run()
