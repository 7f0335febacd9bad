"""Measure the memory of this process, and whether it is too much."""

from __future__ import annotations

import logging
import resource

from ..config import WorkerConfig

logger = logging.getLogger("django_tasks.worker")

#: Seconds between two looks.
INTERVAL = 0.5


class MemoryLimit:
    """Watches the resident memory of one process."""

    def __init__(self, config: WorkerConfig, process: int) -> None:
        self.most = config.max_memory
        self.process = process
        self.worker = str(config.worker_id)
        self._look_at = 0.0

    def is_exceeded(self, now: float) -> bool:
        """Tell, and log, whether the process holds too much; looks now and then."""
        if self.most is None or now < self._look_at:
            return False
        self._look_at = now + INTERVAL
        size = resident_bytes()
        if size <= self.most:
            return False
        logger.info(
            "Process %s holds %d MB; it is replaced after its running tasks.",
            self.process, size >> 20, extra={"worker": self.worker},
        )  # fmt: skip
        return True


def resident_bytes() -> int:
    """Return the resident memory of this process; its highest so far where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()
