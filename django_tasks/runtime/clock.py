"""The clock of leases and signs of life."""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def clock() -> float:
        """Return seconds that also pass while the machine sleeps, the same in all processes."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
else:  # macOS: monotonic is the nearest
    clock = time.monotonic
