"""What looks that may get dear, as they walk over what was taken before, may cost."""

from __future__ import annotations

#: The share of its time that a process may spend on looks that walk over what was taken before.
SHARE = 0.1
#: Seconds that such a look may take without being counted.
CHEAP = 0.02


def pause_after(cost: float) -> float:
    """Return the seconds to wait before a look that took `cost` seconds is made again."""
    return 0.0 if cost < CHEAP else cost / SHARE
