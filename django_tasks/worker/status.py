"""How one worker stands, without a question to the database: from its shared memory."""

from __future__ import annotations

from dataclasses import dataclass

from ..brokers.base import Broker
from ..runtime.clock import clock
from .board import STARTED, Board
from .config import WorkerConfig


@dataclass(slots=True)
class Tally:
    """What a keeper did since it started; one that takes its place begins at 0."""

    #: Tasks whose worker or process was lost, and that run again.
    lost_and_retried: int = 0
    #: Those that failed for it.
    lost_and_failed: int = 0
    #: Finished tasks that were deleted.
    pruned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker at one moment."""

    backend: str
    pool: str
    queues: str
    processes: int
    #: Tasks that it runs at the same time, and of these the running ones.
    slots: int
    used: int
    #: Seconds for which it owns its tasks; 0.0: it has no lease.
    lease_left: float
    #: Seconds since the most silent of its parts gave a sign of life.
    silence: float
    is_stopping: bool
    #: None: it has no broker beside the database.
    is_broker_up: bool | None
    tally: Tally


def status_of(config: WorkerConfig, board: Board, broker: Broker, tally: Tally) -> WorkerStatus:
    """Return how the worker stands now."""
    is_up = broker.outage.since is None and not board.is_broker_refusing
    return WorkerStatus(
        backend=config.backend,
        pool=config.pool,
        queues=str(config.queues),
        processes=board.process_count,
        slots=board.concurrency or config.concurrency,
        used=bytes(board.states).count(STARTED),
        lease_left=max(0.0, board.lease_until - clock()),
        silence=board.silence(),
        is_stopping=board.is_stopping,
        is_broker_up=is_up if broker.publishes else None,
        tally=tally,
    )
