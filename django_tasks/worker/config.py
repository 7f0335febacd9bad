"""The configuration of a worker: its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from ..routing import QueueSelection
from ..runtime.health import Page

#: How many times its size a worker can grow while it runs.
HEADROOM = 4

#: Characters of a pool's name in the worker's row.
LONGEST_POOL_NAME = 20
#: From what tells how the worker stands (status.WorkerStatus), the pages by path.
MakePages = Callable[[Callable[[], Any]], Mapping[str, Page]]

POOLS = ("prefork", "threads", "asyncio", "gevent", "solo")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The options of runworker. Durations are seconds."""

    backend: str
    database: str
    queues: QueueSelection
    #: One of POOLS, or the dotted path of a class.
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
    #: Makes the pages that the health port serves beside the probes; None: there are none.
    pages: MakePages | None = None
    host: str = ""
    verbosity: int = 1
    #: Whether this is the process for what others offer it, see quarantine.py.
    is_quarantine: bool = False
    #: New at each start, so that no other worker is ever taken for this one.
    worker_id: UUID = field(default_factory=uuid4)

    @property
    def pool_name(self) -> str:
        """The pool as people are shown it: of a dotted path the name of the class."""
        return self.pool.rpartition(".")[2][:LONGEST_POOL_NAME]

    @property
    def concurrency(self) -> int:
        """Tasks that the worker runs at the same time when it starts."""
        return self.processes * self.slots

    @property
    def is_scalable(self) -> bool:
        """Whether it can be given more or fewer slots from afar while it runs."""
        return self.pool != "solo" and self.autoscale_min is None

    @property
    def has_quarantine(self) -> bool:
        """Whether a task that may kill its process gets one of its own, beside these."""
        return self.pool not in ("prefork", "solo")

    @property
    def most_processes(self) -> int:
        """Processes that it can have: the shared memory is made before the first one."""
        if self.pool != "prefork" or not self.is_scalable:
            return self.processes
        return max(HEADROOM * self.processes, 32)

    @property
    def most_slots(self) -> int:
        """Tasks that one of its processes can be given to run at the same time."""
        if self.pool == "prefork" or not self.is_scalable:
            return self.slots
        return max(HEADROOM * self.slots, 100)

    @property
    def max_concurrency(self) -> int | None:
        """Slots that it can be given; None: it keeps those that it has."""
        return self.most_processes * self.most_slots if self.is_scalable else None
