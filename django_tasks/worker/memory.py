"""How much memory this process holds, and whether that is too much."""

from __future__ import annotations

import resource

#: Seconds between two looks.
INTERVAL = 0.5


class MemoryLimit:
    """Watches the resident memory. `most`: bytes, None for any."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._look_at = 0.0

    def excess(self, now: float) -> int | None:
        """Return how many bytes the process holds if they are too many; looks now and then."""
        if self.most is None or now < self._look_at:
            return None
        self._look_at = now + INTERVAL
        size = resident_bytes()
        return size if size > self.most else None


def resident_bytes() -> int:
    """Return the resident memory of this process; its highest so far where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()
