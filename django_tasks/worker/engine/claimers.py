"""Choose the claimer of a process, by its backend's broker."""

from __future__ import annotations

from ...brokers import configured as brokers
from ...store.tasks.broker_claims import BrokerClaimer
from ...store.tasks.claims import Claimer
from ..board import Board
from ..config import WorkerConfig
from ..quarantine import OfferClaimer


def make_claimer(config: WorkerConfig, process: int, board: Board) -> Claimer:
    """
    Return what claims for one process, in the thread that will use it.

    `board`: where the keeper says how the broker is.
    """
    whose = (config.database, config.queues, config.worker_id, process, config.backend)
    if config.is_quarantine:
        return OfferClaimer(*whose, board=board)
    broker = brokers.broker_for(config.backend)
    if not broker.publishes:
        return Claimer(*whose)
    # A worker that ends when nothing is ready must not take the broker's word for it.
    return BrokerClaimer(
        *whose,
        source=broker.source(config.queues),
        outage=broker.outage,
        also_from_table=config.burst,
        is_refusing=lambda: board.is_broker_refusing,
    )
