"""Which claimer a process works with, by its backend's broker."""

from __future__ import annotations

from ..brokers import known as brokers
from ..store.claims import Claimer
from ..store.guided import GuidedClaimer
from .board import Board
from .config import WorkerConfig
from .quarantine import OfferClaimer


def make_claimer(config: WorkerConfig, process: int, board: Board | None = None) -> Claimer:
    """
    Return what claims for one process, in the thread that will use it.

    `board`: where a quarantine finds what is offered to it; others need none.
    """
    whose = (config.database, config.queues, config.worker_id, process, config.backend)
    if config.is_quarantine and board is not None:
        return OfferClaimer(*whose, board=board)
    broker = brokers.of(config.backend)
    if not broker.publishes:
        return Claimer(*whose)
    # A worker that ends when nothing is ready must not take the broker's word for it.
    return GuidedClaimer(
        *whose,
        source=broker.source(config.queues),
        outage=broker.outage,
        also_from_table=config.burst,
    )
