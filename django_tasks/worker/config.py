"""What a worker was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from ..routing import QueueSelection

POOLS = ("prefork", "threads", "asyncio", "gevent", "solo")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The options of runworker. Durations are seconds."""

    backend: str
    database: str
    queues: QueueSelection
    pool: str
    #: Processes that run tasks.
    processes: int
    #: Tasks that one of them runs at the same time.
    slots: int
    grace: float
    #: Fewest processes when the worker scales itself; None: it does not.
    autoscale_min: int | None = None
    burst: bool = False
    #: Whether a beat runs beside it.
    beat: bool = False
    max_tasks: int | None = None
    #: Bytes of resident memory after which a process is replaced between tasks.
    max_memory: int | None = None
    health: tuple[str, int] | None = None
    host: str = ""
    verbosity: int = 1
    #: New at each start, so that no other worker is ever taken for this one.
    worker_id: UUID = field(default_factory=uuid4)

    @property
    def concurrency(self) -> int:
        """Tasks that the worker runs at the same time."""
        return self.processes * self.slots
